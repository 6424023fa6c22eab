"""The examination of a destination: every operation, what is refused, and that nothing stays."""

from typing import Any

import pytest

from dataset_export.destinations.contract import Store
from dataset_export.destinations.policy import Operation
from dataset_export.destinations.s3 import S3Destination
from dataset_export.errors import AccessDenied, ConfigError, TransientError
from dataset_export.export.doctor import PROBE_BYTES, PROBE_FOLDER, Examination, Outcome, examine
from dataset_export_tests.places.contract import Place
from dataset_export_tests.servers.weed import ONE_BUCKET, READ_ONLY, REGION, Credentials, Weed


def outcomes(found: Examination) -> dict[Operation, Outcome]:
    return {row.operation: row.outcome for row in found.rows}


def answer(found: Examination, operation: Operation) -> str:
    return next(row.answer for row in found.rows if row.operation is operation)


def s3(weed: Weed, bucket: str, credentials: Credentials) -> S3Destination:
    return S3Destination(
        bucket=bucket,
        region_name=REGION,
        endpoint_url=weed.endpoint,
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        allow_insecure=True,
    )


class Broken:
    """A store of which one method fails."""

    def __init__(self, store: Store, method: str, error: Exception, *, after: bool = False) -> None:
        self._store, self._method, self._error, self._after = store, method, error, after

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name != self._method:
            return method

        def fail(*args: Any, **kwargs: Any) -> Any:
            if self._after:
                method(*args, **kwargs)
            raise self._error

        return fail


def test_a_healthy_destination_passes_every_row_and_keeps_nothing(place: Place) -> None:
    before = place.witness.everything()
    found = examine(place.another_store, place.destination.policy())
    assert [row.operation for row in found.rows] == list(Operation)
    assert {row.outcome for row in found.rows} == {Outcome.OK}, found.rows
    assert found.healthy
    assert found.latency_seconds is not None
    assert found.bytes_per_second is not None
    assert found.bytes_per_second > 0
    assert [one for one in place.witness.everything() if one not in before and "probe" in one] == []
    assert list(place.store.leftovers("")) == []


def test_credentials_that_may_only_read(weed: Weed, bucket: str) -> None:
    destination = s3(weed, bucket, READ_ONLY)
    found = examine(destination.build_store, destination.policy())
    shown = outcomes(found)
    assert not found.healthy
    assert {shown[one] for one in (Operation.STAGE, Operation.PUT, Operation.DELETE)} == {Outcome.FAILED}
    assert {shown[one] for one in (Operation.CONFIRM, Operation.PUBLISH, Operation.REPLACE)} == {Outcome.SKIPPED}
    assert {shown[one] for one in (Operation.LIST, Operation.READ)} == {Outcome.OK}
    needs = {row.operation: row.permissions for row in found.rows}
    assert "s3:PutObject" in needs[Operation.STAGE]
    assert needs[Operation.DELETE] == ("s3:DeleteObject",)
    assert needs[Operation.LIST] == ()
    assert found.left == ()


def test_credentials_of_another_bucket(weed: Weed, bucket: str) -> None:
    destination = s3(weed, bucket, ONE_BUCKET)
    found = examine(destination.build_store, destination.policy())
    assert Outcome.OK not in set(outcomes(found).values())
    assert found.left == ()


def test_a_wrong_key_and_a_missing_bucket_are_rows(weed: Weed, bucket: str) -> None:
    wrong = s3(weed, bucket, Credentials("testadmin", "marked-secret"))
    refused = examine(wrong.build_store, wrong.policy())
    assert outcomes(refused)[Operation.CHECK] is Outcome.FAILED
    assert outcomes(refused)[Operation.LIST] is Outcome.FAILED
    assert "marked-secret" not in str(refused)
    absent = s3(weed, "no-such-bucket", Credentials("testadmin", "testsecret123"))
    missing = examine(absent.build_store, absent.policy())
    assert outcomes(missing)[Operation.CHECK] is Outcome.FAILED
    assert {outcomes(missing)[one] for one in Operation if one is not Operation.CHECK} == {Outcome.SKIPPED}
    assert "no-such-bucket" in answer(missing, Operation.CHECK)


def test_a_store_that_cannot_be_made_is_a_row(place: Place) -> None:
    def open_store() -> Store:
        raise ConfigError("the variable KEY is not set")

    found = examine(open_store, place.destination.policy())
    assert (outcomes(found)[Operation.CHECK], answer(found, Operation.CHECK)) == (
        Outcome.FAILED,
        "the variable KEY is not set",
    )
    assert found.latency_seconds is None


@pytest.mark.parametrize(
    ("method", "operation"),
    [
        ("confirm", Operation.CONFIRM),
        ("publish", Operation.PUBLISH),
        ("put", Operation.PUT),
        ("discard_leftover", Operation.DISCARD),
        ("delete", Operation.DELETE),
    ],
)
def test_a_failed_row_does_not_end_the_examination(place: Place, method: str, operation: Operation) -> None:
    broken: Any = Broken(place.store, method, AccessDenied("no"))
    found = examine(lambda: broken, place.destination.policy())
    failed = [row for row in found.rows if row.outcome is Outcome.FAILED]
    assert [row.operation for row in failed] == [operation]
    assert failed[0].permissions == place.destination.policy().permissions[operation]
    cannot_clean = method in ("discard_leftover", "delete")
    assert bool(found.left) == cannot_clean
    assert (bool(list(place.store.list(PROBE_FOLDER))) or bool(list(place.store.leftovers("")))) == cannot_clean


def test_a_lost_answer_is_cleaned_up_too(place: Place) -> None:
    broken: Any = Broken(place.store, "publish", TransientError("lost"), after=True)
    found = examine(lambda: broken, place.destination.policy())
    assert outcomes(found)[Operation.PUBLISH] is Outcome.FAILED
    assert list(place.store.list(PROBE_FOLDER)) == []


def test_bytes_that_come_back_changed_are_seen(place: Place) -> None:
    class Changing:
        def __getattr__(self, name: str) -> Any:
            return getattr(place.store, name)

        def publish(self, staged: Any) -> None:
            place.store.publish(staged)
            place.witness.plant(staged.path, b"x" * PROBE_BYTES)

    changing: Any = Changing()
    found = examine(lambda: changing, place.destination.policy())
    assert outcomes(found)[Operation.READ] is Outcome.FAILED
    assert "another SHA-256" in answer(found, Operation.READ)


def test_an_interrupted_examination_leaves_nothing(place: Place) -> None:
    broken: Any = Broken(place.store, "leftovers", KeyboardInterrupt())  # type: ignore[arg-type]

    class Interrupted:
        calls = 0

        def __getattr__(self, name: str) -> Any:
            if name == "leftovers":
                Interrupted.calls += 1
                return getattr(broken if Interrupted.calls == 1 else place.store, name)
            return getattr(place.store, name)

    interrupted: Any = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        examine(lambda: interrupted, place.destination.policy())
    assert list(place.store.list(PROBE_FOLDER)) == []
    assert list(place.store.leftovers("")) == []
