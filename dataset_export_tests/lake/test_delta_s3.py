"""The same tables on a real S3 server."""

from datetime import UTC, datetime, timedelta

import pytest

from dataset_export.errors import AccessDenied, CorruptFile, NotFound, VersionGone
from dataset_export.lake.open import TableLocation, open_table
from dataset_export_tests.lake.delta_tables import DeltaBuilder, day, net_new
from dataset_export_tests.servers.weed import ADMIN, REGION, Weed


def options(weed: Weed, **changes: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": weed.endpoint,
        "AWS_ACCESS_KEY_ID": ADMIN.access_key,
        "AWS_SECRET_ACCESS_KEY": ADMIN.secret_key,
        "AWS_REGION": REGION,
        "AWS_ALLOW_HTTP": "true",
        **changes,
    }


@pytest.fixture
def delta(weed: Weed) -> DeltaBuilder:
    bucket = weed.create_bucket()
    return DeltaBuilder(f"s3://{bucket}/lake/a table", options(weed))


def test_slices(delta: DeltaBuilder) -> None:
    delta.append(1, 2)
    delta.append(3)
    delta.compact()
    delta.delete("id = 1")
    delta.update("id = 2", name="'x'")
    delta.append(7)
    table = delta.table()
    for lower, upper in [(None, 0), (None, 5), (0, 1), (0, 2), (1, 2), (1, 3), (0, 5), (3, 5)]:
        assert net_new(table, table.slice(lower, upper)) == delta.state(upper) - delta.state(lower)


def test_versions_across_a_checkpoint(delta: DeltaBuilder) -> None:
    for number in range(4):
        delta.append(number)
        if number == 2:
            delta.raw().create_checkpoint()
    table = delta.table()
    assert [version.number for version in table.versions()] == [3, 2, 1, 0]
    assert table.newest_before(datetime.now(UTC) + timedelta(hours=1)).number == 3  # type: ignore[union-attr]
    assert table.newest_before(day(1) - timedelta(days=9999)) is None
    assert table.row_count(3) == 4


def test_lost_files_and_log(delta: DeltaBuilder, weed: Weed) -> None:
    delta.append(1)
    delta.append(2)
    delta.append(3)
    bucket, _, prefix = delta.uri.removeprefix("s3://").partition("/")
    table = delta.table()
    (file,) = table.slice(1, 2).added
    client = weed.client()
    client.delete_object(Bucket=bucket, Key=f"{prefix}/{file.path}")
    with pytest.raises(CorruptFile, match="missing"):
        table.open(file)
    client.delete_object(Bucket=bucket, Key=f"{prefix}/_delta_log/{1:020}.json")
    with pytest.raises(VersionGone, match="no longer has version 1"):
        table.slice(0, 2)


def test_a_missing_table_and_a_missing_bucket(delta: DeltaBuilder) -> None:
    for uri in (delta.uri, "s3://nobucket-here/table"):
        for ask in (lambda t: t.versions(), lambda t: t.slice(None, 0), lambda t: t.schema(0)):
            with pytest.raises(NotFound, match="there is no"):
                ask(open_table(TableLocation("delta", uri, delta.options)))


def test_refused_credentials(delta: DeltaBuilder, weed: Weed) -> None:
    delta.append(1)
    for changes in ({"AWS_SECRET_ACCESS_KEY": "wrong"}, {"AWS_ACCESS_KEY_ID": "nobody"}):
        for ask in (lambda t: t.versions(), lambda t: t.slice(None, 0), lambda t: t.schema(0)):
            with pytest.raises(AccessDenied, match="credentials") as caught:
                ask(open_table(TableLocation("delta", delta.uri, options(weed, **changes))))
            assert "wrong" not in str(caught.value)
