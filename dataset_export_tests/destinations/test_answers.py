"""What answers mean: by code, by status, and how long a store asks to wait."""

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_export.destinations.answers import BY_STATUS, Rule, meaning, retry_after
from dataset_export.destinations.s3_calls import answer_meaning
from dataset_export.errors import (
    AccessDenied,
    ConfigError,
    Conflict,
    ExportError,
    IntegrityError,
    NotFound,
    StorageFull,
    TransientError,
)

RULES = (
    Rule(NotFound, {"NoSuchThing"}, (404,), "make it"),
    Rule(Conflict, {"Taken", "NoSuchThing"}, (409,), "move it"),
)


@pytest.mark.parametrize(
    ("code", "status", "expected", "advice"),
    [
        ("NoSuchThing", 500, NotFound, "make it"),
        ("Taken", 404, Conflict, "move it"),
        ("", 404, NotFound, "make it"),
        ("Other", 409, Conflict, "move it"),
        ("", 401, AccessDenied, "doctor"),
        ("", 403, AccessDenied, "doctor"),
        ("", 408, TransientError, "again"),
        ("", 429, TransientError, "again"),
        ("", 507, StorageFull, "quota"),
        ("", 400, ConfigError, "fields"),
        ("", 0, ConfigError, "fields"),
    ],
)
def test_s8_code_then_status_then_the_table_of_all(
    code: str, status: int, expected: type[ExportError], advice: str
) -> None:
    error = meaning("the thing answered", RULES, code=code, status=status)
    assert type(error) is expected
    assert str(error).startswith("the thing answered; ")
    assert advice in str(error)


@given(st.integers(500, 599))
def test_s8_failures_of_a_server_are_transient(status: int) -> None:
    assert type(meaning("s", (), code="", status=status)) is (StorageFull if status == 507 else TransientError)


@given(st.text(max_size=9), st.integers(0, 599))
def test_every_answer_has_one_meaning(code: str, status: int) -> None:
    assert str(meaning("it said", RULES, code=code, status=status)).startswith("it said; ")


def test_the_table_decides_no_status_twice() -> None:
    statuses = [status for rule in BY_STATUS for status in rule.statuses if status != 507]
    assert len(statuses) == len(set(statuses))


class TestRetryAfter:
    @given(st.integers(0, 10**6), st.sampled_from(["Retry-After", "retry-after", "RETRY-AFTER"]))
    def test_seconds(self, seconds: int, name: str) -> None:
        assert retry_after({"Other": "1", name: f" {seconds} "}) == seconds

    @given(st.integers(5, 10**6), st.integers(-12, 12))
    def test_a_moment_in_any_zone(self, seconds: int, zone: int) -> None:
        moment = datetime.now(timezone(timedelta(hours=zone))) + timedelta(seconds=seconds)
        asked = retry_after({"Retry-After": format_datetime(moment)})
        assert asked is not None
        assert seconds - 3 <= asked <= seconds

    def test_a_moment_that_has_passed(self) -> None:
        past = format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True)
        assert retry_after({"Retry-After": past}) == 0

    @given(st.text(max_size=30))
    def test_anything_else_is_no_wait(self, written: str) -> None:
        asked = retry_after({"Retry-After": written})
        assert asked is None or asked >= 0

    @pytest.mark.parametrize(
        "written", ["", "soon", "-1", "1.5", "²", "Mon, 99 Foo 2026 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 -0100"]
    )
    def test_unreadable(self, written: str) -> None:
        assert retry_after({"Retry-After": written}) is None

    def test_without_the_header(self) -> None:
        assert retry_after({}) is None

    def test_is_kept_by_transient_errors(self) -> None:
        error = meaning("s", (), code="", status=503, headers={"retry-after": "7"})
        assert isinstance(error, TransientError)
        assert error.retry_after == 7


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("SlowDown", 503, TransientError),
        ("RequestTimeout", 400, TransientError),
        ("Anything", 500, TransientError),
        ("ConditionalRequestConflict", 409, TransientError),
        ("ExpiredToken", 400, AccessDenied),
        ("Anything", 403, AccessDenied),
        ("403", 403, AccessDenied),
        ("NoSuchBucket", 404, NotFound),
        ("PermanentRedirect", 301, ConfigError),
        ("RequestTimeTooSkewed", 403, ConfigError),
        ("XMinioStorageFull", 507, StorageFull),
        ("QuotaExceeded", 403, StorageFull),
        ("BadDigest", 400, IntegrityError),
        ("EntityTooLarge", 400, StorageFull),
        ("InvalidStorageClass", 400, ConfigError),
        ("InvalidArgument", 400, ConfigError),
    ],
)
def test_answers_of_s3(code: str, status: int, expected: type[ExportError]) -> None:
    answer = {"Error": {"Code": code, "Message": "why"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error = answer_meaning(answer, "put_object", "exports")
    assert type(error) is expected
    assert "exports" in str(error)
    assert "put_object" in str(error)
