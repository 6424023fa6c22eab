"""What only S3 does: parts, credentials, and answers that get lost."""

import contextlib
import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dataset_export.destinations.retry import TRIES
from dataset_export.destinations.s3 import S3Destination, S3Store
from dataset_export.destinations.s3_parts import MIN_PART_BYTES, Part, composite_checksum
from dataset_export.errors import (
    AccessDenied,
    ConfigError,
    Conflict,
    IntegrityError,
    NotFound,
    TransientError,
)
from dataset_export_tests.destinations.contents import read, stage
from dataset_export_tests.servers.weed import ONE_BUCKET, ONE_BUCKET_NAME, READ_ONLY, Credentials, Weed, free_ports

MIB = 1 << 20


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataset_export.destinations.retry.FIRST_WAIT_SECONDS", 0.01)


def a_store(weed: Weed, bucket: str, client: Any = None) -> S3Store:
    client = client or weed.client()
    return S3Store(lambda: client, bucket, part_size=MIN_PART_BYTES)


def lose_answers(client: Any, method: str, how_many: int, *, landed: bool = True, marker: str = "") -> list[str]:
    """Break the connection of the next `how_many` requests of `method` whose URL holds `marker`, after (`landed`) or
    before the server got them. Returns a list that grows with what was done."""
    from botocore.exceptions import ConnectionClosedError

    session, done = client._endpoint.http_session, list[str]()
    send: Callable[[Any], Any] = session.send
    left = iter(range(how_many))  # taking from it is atomic, and parts are sent from several threads

    def lossy(request: Any) -> Any:
        if request.method != method or marker not in request.url or next(left, None) is None:
            return send(request)
        status = send(request).status_code if landed else "not sent"
        done.append(f"{request.method} {status}")
        raise ConnectionClosedError(endpoint_url=request.url)

    session.send = lossy
    return done


class TestLostAnswers:
    """The server did it and the answer never came."""

    def test_p4_complete_once(self, weed: Weed, bucket: str) -> None:
        client = weed.client()
        store = a_store(weed, bucket, client)
        staged = stage(store, "file", b"rows")
        done = lose_answers(client, "POST", 1, marker="uploadId")
        store.publish(staged)
        assert done == ["POST 200"]
        assert read(store, "file") == b"rows"

    def test_p4_complete_every_time(self, weed: Weed, bucket: str) -> None:
        client = weed.client()
        store = a_store(weed, bucket, client)
        staged = stage(store, "file", b"rows")
        done = lose_answers(client, "POST", TRIES, marker="uploadId")
        store.publish(staged)
        assert done == ["POST 200"] + ["POST 412"] * (TRIES - 1)
        assert read(store, "file") == b"rows"

    def test_complete_that_never_arrived_is_transient(self, weed: Weed, bucket: str) -> None:
        client = weed.client()
        store = a_store(weed, bucket, client)
        staged = stage(store, "file", b"rows")
        lose_answers(client, "POST", TRIES, marker="uploadId", landed=False)
        with pytest.raises(TransientError, match="complete_multipart_upload"):
            store.publish(staged)
        assert list(store.list("")) == []
        store.publish(staged)
        assert read(store, "file") == b"rows"

    def test_complete_lost_and_foreign_file_there(self, weed: Weed, bucket: str) -> None:
        client = weed.client()
        store = a_store(weed, bucket, client)
        staged = stage(store, "file", b"rows")
        weed.client().put_object(Bucket=bucket, Key="file", Body=b"ROWS")
        lose_answers(client, "POST", TRIES, marker="uploadId")
        with pytest.raises(Conflict):
            store.publish(staged)
        assert read(store, "file") == b"ROWS"

    def test_p2_put_once_and_the_retry_meets_its_own_file(self, weed: Weed, bucket: str) -> None:
        client = weed.client()
        store = a_store(weed, bucket, client)
        done = lose_answers(client, "PUT", 1)
        store.put("m.json", b"{}")
        assert done == ["PUT 200"]
        assert read(store, "m.json") == b"{}"

    @pytest.mark.parametrize("replacing", [False, True])
    def test_p2_put_every_time(self, weed: Weed, bucket: str, replacing: bool) -> None:
        client = weed.client()
        store = a_store(weed, bucket, client)
        done = lose_answers(client, "PUT", TRIES)
        store.put("m.json", b"{}", replace=replacing)
        assert done == ["PUT 200"] + ["PUT 200" if replacing else "PUT 412"] * (TRIES - 1)
        assert read(store, "m.json") == b"{}"

    def test_put_that_never_arrived_is_transient(self, weed: Weed, bucket: str) -> None:
        client = weed.client()
        store = a_store(weed, bucket, client)
        lose_answers(client, "PUT", TRIES, landed=False)
        with pytest.raises(TransientError):
            store.put("m.json", b"{}")
        assert list(store.list("")) == []

    def test_part_sent_again(self, weed: Weed, bucket: str) -> None:
        client = weed.client()
        store = a_store(weed, bucket, client)
        done = lose_answers(client, "PUT", 2, marker="partNumber")
        staged = stage(store, "file", bytes(20 * MIB))
        assert len(done) == 2
        store.confirm(staged)
        store.publish(staged)
        assert hashlib.sha256(read(store, "file")).hexdigest() == staged.sha256

    def test_p6_part_that_never_arrives(self, weed: Weed, bucket: str) -> None:
        client = weed.client()
        store = a_store(weed, bucket, client)
        lose_answers(client, "PUT", TRIES, marker="partNumber=2", landed=False)
        with pytest.raises(TransientError, match="upload_part"):
            stage(store, "file", bytes(20 * MIB))
        assert list(store.leftovers()) == []

    def test_abort_that_fails_does_not_hide_the_error(self, weed: Weed, bucket: str) -> None:
        client = weed.client()
        store = a_store(weed, bucket, client)
        upload = store.stage("file")
        lose_answers(client, "DELETE", TRIES, landed=False)

        def fail() -> None:
            with upload:
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError) as caught:
            fail()
        assert "could not be removed" in caught.value.__notes__[0]


class TestSameBytesInOtherParts:
    def test_published_before_with_other_part_sizes(self, weed: Weed, bucket: str) -> None:
        data = bytes(20 * MIB)
        weed.client().put_object(Bucket=bucket, Key="file", Body=data)
        store = a_store(weed, bucket)
        store.publish(stage(store, "file", data))
        assert list(store.leftovers()) == []

    def test_part_replaced_between_confirm_and_publish(self, weed: Weed, bucket: str) -> None:
        store = a_store(weed, bucket)
        staged = stage(store, "file", b"rows")
        weed.client().upload_part(
            Bucket=bucket, Key="file", UploadId=staged.handle["upload_id"], PartNumber=1, Body=b"ROWS",
            ChecksumAlgorithm="SHA256",
        )  # fmt: skip
        # Amazon refuses (InvalidPart); this server keeps both and takes the one that the receipt names.
        with contextlib.suppress(IntegrityError):
            store.publish(staged)
        assert [read(store, one.path) for one in store.list("")] in ([], [b"rows"])

    def test_part_that_the_server_does_not_have(self, weed: Weed, bucket: str) -> None:
        store = a_store(weed, bucket)
        staged = stage(store, "file", b"rows")
        [[_, sha256, size]] = staged.handle["parts"]
        other = replace(staged, handle={**staged.handle, "parts": [["0" * 32, sha256, size]]})
        with pytest.raises(IntegrityError, match="are not those sent"):
            store.confirm(other)
        with pytest.raises(IntegrityError, match="gone"):
            store.publish(other)
        assert list(store.list("")) == []

    def test_checksum_is_the_one_the_server_keeps(self, weed: Weed, bucket: str) -> None:
        store = a_store(weed, bucket)
        staged = stage(store, "file", bytes(20 * MIB))
        store.publish(staged)
        head = weed.client().head_object(Bucket=bucket, Key="file", ChecksumMode="ENABLED")
        assert head["ChecksumSHA256"] == composite_checksum([Part(*part) for part in staged.handle["parts"]])
        assert head["ChecksumType"] == "COMPOSITE"


class TestRefusals:
    def test_wrong_secret(self, weed: Weed, bucket: str) -> None:
        store = a_store(weed, bucket, weed.client(Credentials("testadmin", "wrong")))
        with pytest.raises(AccessDenied, match=rf"{bucket}.*SignatureDoesNotMatch.*credentials"):
            store.check()

    def test_unknown_key(self, weed: Weed, bucket: str) -> None:
        store = a_store(weed, bucket, weed.client(Credentials("nobody", "wrong")))
        with pytest.raises(AccessDenied, match="InvalidAccessKeyId"):
            store.check()

    def test_secret_is_in_no_message(self, weed: Weed, bucket: str) -> None:
        store = a_store(weed, bucket, weed.client(Credentials("testadmin", "hunter2hunter2")))
        with pytest.raises(AccessDenied) as caught:
            store.put("m.json", b"")
        assert "hunter2" not in repr(caught.value) + repr(caught.value.__cause__)

    def test_read_only_credentials(self, weed: Weed, bucket: str) -> None:
        a_store(weed, bucket).put("seen", b"rows")
        staged = stage(a_store(weed, bucket), "file", b"rows")
        store = a_store(weed, bucket, weed.client(READ_ONLY))
        assert [one.path for one in store.list("")] == ["seen"]
        assert read(store, "seen") == b"rows"
        for call in (
            lambda: stage(store, "other", b""),
            lambda: store.put("m.json", b""),
            lambda: store.delete("seen"),
            lambda: store.publish(staged),
        ):
            with pytest.raises(AccessDenied):
                call()
        assert [one.path for one in store.list("")] == ["seen"]

    def test_bucket_of_another(self, weed: Weed, bucket: str) -> None:
        store = a_store(weed, bucket, weed.client(ONE_BUCKET))
        with pytest.raises(AccessDenied):
            store.check()
        allowed = a_store(weed, weed.create_bucket(ONE_BUCKET_NAME), weed.client(ONE_BUCKET))
        allowed.check()
        staged = stage(allowed, "file", b"rows")
        allowed.confirm(staged)
        allowed.publish(staged)
        assert read(allowed, "file") == b"rows"

    def test_missing_bucket(self, weed: Weed) -> None:
        store = a_store(weed, "no-such-bucket")
        for call in (store.check, lambda: store.put("m", b""), lambda: list(store.list("")), lambda: store.open("m")):
            with pytest.raises(NotFound, match=r"no-such-bucket.*create the bucket"):
                call()
        with pytest.raises(NotFound):
            stage(store, "file", b"")

    def test_bad_bucket_name(self, weed: Weed) -> None:
        with pytest.raises(ConfigError, match="Invalid bucket name"):
            a_store(weed, "not a bucket").check()

    def test_nobody_listens(self) -> None:
        client = Weed(f"http://127.0.0.1:{free_ports(1)[0]}").client()
        began = time.monotonic()
        with pytest.raises(TransientError, match="can be reached"):
            S3Store(lambda: client, "bucket").check()
        assert time.monotonic() - began < 15

    def test_no_credentials(self, weed: Weed, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
        destination = S3Destination(
            bucket=bucket, endpoint_url=weed.endpoint, region_name="us-east-1", allow_insecure=True
        )
        with pytest.raises(AccessDenied, match="access key id"):
            destination.store().check()

    def test_missing_profile(self, bucket: str) -> None:
        with pytest.raises(ConfigError, match="nobody"):
            S3Destination(bucket=bucket, profile_name="nobody").store().check()


class TestFolder:
    @pytest.mark.parametrize("folder", ["", "/", "a/b", "/a/b/"])
    def test_folder_is_the_root(self, weed: Weed, bucket: str, folder: str) -> None:
        store = S3Store(weed.client, bucket, folder)
        store.put("x/m.json", b"")
        key = "/".join(filter(None, [folder.strip("/"), "x/m.json"]))
        assert [one["Key"] for one in weed.client().list_objects_v2(Bucket=bucket)["Contents"]] == [key]
        assert [one.path for one in store.list("")] == ["x/m.json"]
        assert store.uri("x/m.json") == f"s3://{bucket}/{key}"

    def test_folder_that_leaves_is_refused(self) -> None:
        with pytest.raises(ConfigError):
            S3Store(lambda: None, "bucket", "a/../b")

    def test_neighbours_are_not_seen(self, weed: Weed, bucket: str) -> None:
        S3Store(weed.client, bucket, "team-b").put("m.json", b"")
        stage(S3Store(weed.client, bucket, "team-b"), "file", b"")
        store = S3Store(weed.client, bucket, "team")
        assert list(store.list("")) == []
        assert list(store.leftovers()) == []
