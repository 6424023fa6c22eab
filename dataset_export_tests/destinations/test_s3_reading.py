"""Streams over objects whose connections break."""

import hashlib
from typing import Any

import pytest

from dataset_export.destinations import retry
from dataset_export.destinations.retry import TRIES
from dataset_export.destinations.s3 import S3Store
from dataset_export.errors import IntegrityError, TransientError
from dataset_export_tests.servers.weed import Weed

MIB = 1 << 20
DATA = hashlib.shake_256(b"object").digest(8 * MIB)


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_WAIT_SECONDS", 0.01)


class Breaking:
    """A body that stops with a broken connection after some bytes."""

    def __init__(self, body: Any, after: int) -> None:
        self._body = body
        self._left = after

    def read(self, size: int) -> bytes:
        if size > self._left:
            raise ConnectionResetError("reset by a test")
        self._left -= size
        return self._body.read(size)

    def close(self) -> None:
        self._body.close()


def break_bodies(client: Any, after: int, *, times: float = float("inf")) -> list[str]:
    """Have the next `times` bodies of objects break. Returns a list that grows with the ranges that were asked for."""
    get, ranges = client.get_object, list[str]()

    def breaking(**arguments: Any) -> Any:
        ranges.append(arguments.get("Range", ""))
        answer = get(**arguments)
        return answer if len(ranges) > times else {**answer, "Body": Breaking(answer["Body"], after)}

    client.get_object = breaking
    return ranges


@pytest.mark.usefixtures("short_waits")
class TestBrokenStreams:
    @pytest.fixture
    def client(self, weed: Weed, bucket: str) -> Any:
        client = weed.client()
        client.put_object(Bucket=bucket, Key="file", Body=DATA)
        return client

    def test_reading_goes_on_where_it_stopped(self, client: Any, bucket: str) -> None:
        ranges = break_bodies(client, 3 * MIB)
        with S3Store(lambda: client, bucket).open("file") as file:
            assert file.read() == DATA
        assert ranges == ["", f"bytes={3 * MIB}-", f"bytes={6 * MIB}-"]

    def test_break_at_the_end(self, client: Any, bucket: str) -> None:
        ranges = break_bodies(client, 8 * MIB)
        with S3Store(lambda: client, bucket).open("file") as file:
            assert file.read() == DATA
        assert ranges == [""]

    def test_no_progress(self, client: Any, bucket: str) -> None:
        ranges = break_bodies(client, 0)
        with S3Store(lambda: client, bucket).open("file") as file, pytest.raises(TransientError, match="get_object"):
            file.read()
        assert len(ranges) == TRIES

    @pytest.mark.parametrize("data", [DATA[::-1], None])
    def test_object_that_changes_meanwhile(self, weed: Weed, client: Any, bucket: str, data: bytes | None) -> None:
        break_bodies(client, 3 * MIB, times=1)
        with S3Store(lambda: client, bucket).open("file") as file:
            assert file.read(MIB) == DATA[:MIB]
            if data is None:
                weed.client().delete_object(Bucket=bucket, Key="file")
            else:
                weed.client().put_object(Bucket=bucket, Key="file", Body=data)
            with pytest.raises(IntegrityError, match=r"file in the bucket .* replaced or deleted"):
                file.read()

    def test_server_that_knows_no_ranges(self, client: Any, bucket: str) -> None:
        break_bodies(client, 3 * MIB, times=1)
        client.meta.events.register("before-sign.s3.GetObject", without_range)
        with (
            S3Store(lambda: client, bucket).open("file") as file,
            pytest.raises(IntegrityError, match="something else"),
        ):
            file.read()


def without_range(request: Any, **_: Any) -> None:
    del request.headers["Range"]
