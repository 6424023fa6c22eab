"""Which datasets may be exported under which licence (spec S1)."""

import pytest

from dataset_export.export.dataflow import Behavior, Dataset, Kind, Origin
from dataset_export.governance.eligibility import JOURNEY_OPTIMIZER_DATASETS, why_not
from dataset_export.governance.licenses import AddOn, Application, License, LicensedAddOn, Licenses, Tier

CDP, AJO, CJA = Application.REAL_TIME_CDP, Application.JOURNEY_OPTIMIZER, Application.CUSTOMER_JOURNEY_ANALYTICS
PRIME, ULTIMATE = Tier.PRIME, Tier.ULTIMATE
COLLECTED = (
    Origin.SOURCES,
    Origin.WEB_SDK,
    Origin.MOBILE_SDK,
    Origin.ANALYTICS_DATA_CONNECTOR,
    Origin.AUDIENCE_MANAGER,
)


def dataset(
    kind: Kind | None, origin: Origin | None = None, *, name: str = "A dataset", profile_enabled: bool = False
) -> Dataset:
    return Dataset(
        id="a",
        name=name,
        behavior=Behavior.RECORD,
        uri="/lake/a",
        kind=kind,
        origin=origin,
        profile_enabled=profile_enabled,
    )


def licensed(*bought: tuple[Application, Tier], distiller: bool = False) -> Licenses:
    add_ons = (LicensedAddOn(AddOn.DATA_DISTILLER, 10**12),) if distiller else ()
    return Licenses(tuple(License(application, tier, 1000) for application, tier in bought), add_ons)


PROFILE = dataset(Kind.PROFILE, Origin.SOURCES, profile_enabled=True)
EVENTS = dataset(Kind.EXPERIENCE_EVENT, Origin.WEB_SDK)
SNAPSHOT = dataset(Kind.PROFILE_SNAPSHOT)
SYSTEM = dataset(Kind.SYSTEM, name="Journeys")
DERIVED = dataset(Kind.DERIVED)

EVERYTHING = {"profile": PROFILE, "events": EVENTS, "snapshot": SNAPSHOT, "system": SYSTEM, "derived": DERIVED}

COVERED = [
    (licensed((CDP, PRIME)), {"profile", "events"}),
    (licensed((CDP, ULTIMATE)), {"profile", "events", "snapshot"}),
    (licensed((AJO, PRIME)), {"system"}),
    (licensed((AJO, ULTIMATE)), {"system"}),
    (licensed((CJA, PRIME)), {"profile", "events"}),
    (licensed((CJA, ULTIMATE)), {"profile", "events"}),
    (licensed((CDP, PRIME), distiller=True), {"profile", "events", "derived"}),
    (licensed((CDP, ULTIMATE), (AJO, PRIME), distiller=True), set(EVERYTHING)),
    (None, set(EVERYTHING)),
]


@pytest.mark.parametrize(("licenses", "covered"), COVERED)
def test_s1_each_licence_covers_its_datasets_and_no_others(licenses: Licenses | None, covered: set[str]) -> None:
    assert {name for name, one in EVERYTHING.items() if why_not(one, licenses) is None} == covered


@pytest.mark.parametrize("kind", [Kind.PROFILE, Kind.EXPERIENCE_EVENT])
@pytest.mark.parametrize("application", [CDP, CJA])
def test_s1_profile_and_event_datasets_that_were_collected(application: Application, kind: Kind) -> None:
    licenses = licensed((application, PRIME))
    for origin in COLLECTED:
        assert why_not(dataset(kind, origin, profile_enabled=True), licenses) is None
    other = why_not(dataset(kind, Origin.OTHER, profile_enabled=True), licenses)
    assert other == (
        "its origin is other, and only analytics_data_connector, audience_manager, mobile_sdk, sources or web_sdk may be "
        "exported"
    )
    assert str(why_not(dataset(kind, profile_enabled=True), licenses)).startswith(
        "its origin is not declared; add origin: analytics_data_connector, "
    )


def test_s1_a_profile_dataset_has_to_be_enabled_for_profile() -> None:
    licenses = licensed((CDP, ULTIMATE), (CJA, PRIME))
    reason = why_not(dataset(Kind.PROFILE, Origin.SOURCES), licenses)
    assert reason == "it is not enabled for profile; enable it there and add profile_enabled: true here"
    assert why_not(dataset(Kind.EXPERIENCE_EVENT, Origin.SOURCES), licenses) is None


def test_s1_journey_optimizer_covers_21_system_datasets_by_name() -> None:
    licenses = licensed((AJO, PRIME))
    assert len(set(JOURNEY_OPTIMIZER_DATASETS)) == 21
    for name in JOURNEY_OPTIMIZER_DATASETS:
        assert why_not(dataset(Kind.SYSTEM, name=name), licenses) is None
    for written in ("decision object repository – fallback offers", "ODE DecisionEvents — prod  decisioning"):  # noqa: RUF001
        assert why_not(dataset(Kind.SYSTEM, name=written), licenses) is None
    assert why_not(dataset(Kind.SYSTEM, name="Journey"), licenses) == (
        "Adobe Journey Optimizer covers system datasets by name, and 'Journey' is none of the 21"
    )


@pytest.mark.parametrize(
    ("one", "licenses", "would"),
    [
        (SNAPSHOT, licensed((CDP, PRIME)), "profile_snapshot; Real-Time CDP Ultimate would"),
        (PROFILE, licensed((AJO, PRIME)), "profile; Real-Time CDP or Customer Journey Analytics would"),
        (SYSTEM, licensed((CDP, ULTIMATE)), "system; Adobe Journey Optimizer would"),
        (DERIVED, licensed((CDP, ULTIMATE)), "derived; Data Distiller would"),
    ],
)
def test_s1_the_reason_names_the_licence_that_would_cover_it(one: Dataset, licenses: Licenses, would: str) -> None:
    assert why_not(one, licenses) == f"no licence of the organization covers a dataset of kind {would}"


def test_s1_under_licences_a_dataset_needs_a_kind() -> None:
    assert why_not(dataset(None), None) is None
    assert why_not(dataset(None), licensed((CDP, PRIME))) == (
        "its kind is not declared, and licences cover kinds of datasets; add kind: derived, experience_event, profile, "
        "profile_snapshot or system"
    )
