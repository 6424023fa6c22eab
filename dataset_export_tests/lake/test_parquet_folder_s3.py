"""Folders of parquet files on a real S3 server, which dates files to the second and keeps marks of empty folders."""

import io
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_export.errors import AccessDenied, CorruptFile, NotFound, VersionGone
from dataset_export.lake.open import TableLocation, open_table
from dataset_export.lake.table import Table
from dataset_export_tests.lake.delta_tables import read
from dataset_export_tests.lake.test_delta_s3 import options
from dataset_export_tests.servers.weed import Weed


class BucketFolder:
    """A folder of a bucket that a test changes."""

    def __init__(self, weed: Weed) -> None:
        self.bucket = weed.create_bucket()
        self.uri = f"s3://{self.bucket}/lake/a folder"
        self.options = options(weed)
        self._client = weed.client()

    def put(self, name: str, *ids: int) -> None:
        out = io.BytesIO()
        pq.write_table(pa.table({"id": pa.array(ids, pa.int64())}), out)
        self.put_bytes(name, out.getvalue())

    def put_bytes(self, name: str, data: bytes) -> None:
        self._client.put_object(Bucket=self.bucket, Key=f"lake/a folder/{name}", Body=data)

    def delete(self, name: str) -> None:
        self._client.delete_object(Bucket=self.bucket, Key=f"lake/a folder/{name}")

    def table(self, settle_minutes: int = 0) -> Table:
        return open_table(TableLocation("parquet", self.uri, self.options, settle_minutes=settle_minutes))


@pytest.fixture
def folder(weed: Weed) -> BucketFolder:
    return BucketFolder(weed)


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


def newest(table: Table) -> int:
    found = table.newest_before(soon())
    assert found is not None
    return found.number


def test_slices_and_what_is_no_data(folder: BucketFolder) -> None:
    for mark in ("", "day=1/", "empty/"):
        folder.put_bytes(mark, b"")
    folder.put_bytes("_SUCCESS", b"")
    folder.put("day=1/a b.parquet", 1, 2)
    folder.put("day=a%2Fb/c.parquet", 3)
    table = folder.table()
    upper = newest(table)
    found = table.slice(None, upper)
    assert {file.path: file.rows for file in found.added} == {"day=1/a b.parquet": 2, "day=a%2Fb/c.parquet": 1}
    assert {file.partition["day"] for file in found.added} == {"1", "a/b"}
    assert read(table, found.added, table.schema(upper)).total() == 3
    assert folder.table(settle_minutes=60).newest_before(soon()) is None


def test_changes_are_told(folder: BucketFolder) -> None:
    folder.put("a.parquet", 1)
    folder.put("b.parquet", 2)
    upper = newest(folder.table())
    table = folder.table()
    assert len(table.slice(None, upper).added) == 2
    exported = table.fingerprint(upper)
    (first, _) = table.slice(None, upper).added
    folder.put("a.parquet", 1, 11)
    with pytest.raises(CorruptFile, match=r"a\.parquet .* was changed while"):
        table.open(first)
    folder.delete("b.parquet")
    with pytest.raises(VersionGone, match=r"a\.parquet was changed.*b\.parquet was removed"):
        folder.table().require(upper, exported)


def test_a_file_within_the_same_second_is_told(folder: BucketFolder) -> None:
    """Without a settle time: what comes after the look, with the same time, belongs to a version that was exported."""
    folder.put("a.parquet", 1)
    table = folder.table()
    upper = newest(table)
    exported = table.fingerprint(upper)
    folder.put("b.parquet", 2)
    table = folder.table()
    if newest(table) == upper:
        with pytest.raises(VersionGone, match=r"b\.parquet came afterwards"):
            table.require(upper, exported)
    else:
        assert [file.path for file in table.slice(upper, newest(table)).added] == ["b.parquet"]


def test_a_place_with_nothing_in_it(folder: BucketFolder) -> None:
    for uri in (folder.uri, "s3://nobucket-here/folder"):
        with pytest.raises(NotFound, match="there is no table at"):
            open_table(TableLocation("parquet", uri, folder.options)).versions()


def test_refused_credentials(folder: BucketFolder, weed: Weed) -> None:
    wrong = options(weed, AWS_SECRET_ACCESS_KEY="wrong")
    with pytest.raises(AccessDenied, match="credentials"):
        open_table(TableLocation("parquet", folder.uri, wrong)).versions()
