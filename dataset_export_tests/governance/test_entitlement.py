"""How many bytes a year the licences entitle to, and which year (spec S9)."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_export.governance.entitlement import LicenseYear, entitled_bytes, license_year
from dataset_export.governance.licenses import AddOn, Application, License, LicensedAddOn, Licenses, Tier

CDP, AJO, CJA = Application
PRIME, ULTIMATE = Tier.PRIME, Tier.ULTIMATE


def test_s9_entitlement_is_profiles_times_500_or_700_kilobytes_of_1000_bytes() -> None:
    assert entitled_bytes(Licenses((License(CDP, PRIME, 1_000_000),))) == 500 * 1000 * 1_000_000
    assert entitled_bytes(Licenses((License(CDP, ULTIMATE, 1_000_000),))) == 700 * 1000 * 1_000_000


def test_s9_of_several_applications_the_largest_counts() -> None:
    many_prime, few_ultimate = License(CDP, PRIME, 10), License(AJO, ULTIMATE, 3)
    assert entitled_bytes(Licenses((many_prime, few_ultimate))) == 10 * 500_000
    assert entitled_bytes(Licenses((License(CJA, PRIME, 3), few_ultimate))) == 3 * 700_000


def test_s9_add_ons_are_added() -> None:
    add_on = LicensedAddOn(AddOn.DATA_DISTILLER, 250)
    assert entitled_bytes(Licenses((License(CDP, PRIME, 1),), (add_on,))) == 500_250


LICENSES = st.builds(License, st.sampled_from(Application), st.sampled_from(Tier), st.integers(1, 10**9))
ADD_ONS = st.builds(LicensedAddOn, st.just(AddOn.DATA_DISTILLER), st.integers(1, 10**15))


@given(st.lists(LICENSES, min_size=1, max_size=3), st.lists(ADD_ONS, max_size=2))
def test_s9_formula(applications: list[License], add_ons: list[LicensedAddOn]) -> None:
    kilobytes = {PRIME: 500, ULTIMATE: 700}
    largest = 0
    for one in applications:
        largest = max(largest, one.profiles * kilobytes[one.tier] * 1000)
    for one in add_ons:
        largest += one.bytes
    assert entitled_bytes(Licenses(tuple(applications), tuple(add_ons))) == largest


@pytest.mark.parametrize(
    ("now", "begin", "end"),
    [
        (datetime(2027, 3, 31, 23, 59, tzinfo=UTC), date(2026, 4, 1), date(2027, 4, 1)),
        (datetime(2027, 4, 1, tzinfo=UTC), date(2027, 4, 1), date(2028, 4, 1)),
        (datetime(2028, 2, 29, tzinfo=UTC), date(2027, 4, 1), date(2028, 4, 1)),
        (datetime(2027, 4, 1, 1, tzinfo=timezone(timedelta(hours=2))), date(2026, 4, 1), date(2027, 4, 1)),
    ],
)
def test_s9_the_licence_year_begins_on_a_day_of_the_year(now: datetime, begin: date, end: date) -> None:
    licenses = Licenses((License(CDP, PRIME, 1),), year_start=(4, 1))
    assert license_year(licenses, now) == LicenseYear(begin, end)


def test_without_licences_the_year_is_the_calendars() -> None:
    year = license_year(None, datetime(2026, 7, 1, tzinfo=UTC))
    assert str(year) == "2026-01-01 to 2026-12-31"
    assert year.begins_at == datetime(2026, 1, 1, tzinfo=UTC)
