"""What only Google Cloud Storage does: hidden objects, copies, and answers that get lost."""

import hashlib
import itertools
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from dataset_export.destinations import gcs_upload, retry
from dataset_export.destinations.contract import HIDDEN_FOLDER, Leftover, Staged
from dataset_export.destinations.gcs import GCSDestination, GCSStore
from dataset_export.destinations.gcs_calls import GCSCalls
from dataset_export.destinations.gcs_checksums import CRC32C, hash_header, stored_crc32c
from dataset_export.destinations.gcs_upload import MAX_PARTS, began
from dataset_export.destinations.part_upload import first_part_size, part_size
from dataset_export.errors import ConfigError, Conflict, IntegrityError, StorageFull, TransientError
from dataset_export_tests.destinations.contents import read, stage
from dataset_export_tests.servers.gcs import CloudStorage
from dataset_export_tests.servers.gcs_bucket import Body, Bucket
from dataset_export_tests.servers.proxy import ALL, Answer, LoseAnswer, Proxy, Reset, running_proxy

MIB = 1 << 20
COPY, DROP = "/file$", "/staging/"


@pytest.fixture
def name(cloud_storage: CloudStorage) -> str:
    return cloud_storage.create_bucket()


@pytest.fixture
def bucket(cloud_storage: CloudStorage, name: str) -> Bucket:
    return cloud_storage.buckets[name]


@pytest.fixture(scope="module")
def proxy(cloud_storage: CloudStorage) -> Iterator[Proxy]:
    with running_proxy(cloud_storage.port) as running:
        yield running


@pytest.fixture
def store(cloud_storage: CloudStorage, name: str, proxy: Proxy) -> GCSStore:
    """Through the proxy, with parts of 5 MiB."""
    proxy.disarm()
    destination = GCSDestination(
        bucket=name, endpoint_url=f"http://127.0.0.1:{proxy.port}", allow_insecure=True,
        hmac_access_id=cloud_storage.access.hmac_id, hmac_secret=cloud_storage.access.hmac_secret,
    )  # fmt: skip
    return GCSStore(GCSCalls(name, f"http://127.0.0.1:{proxy.port}", destination._sign_in), part_bytes=5 * MIB)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(retry, "FIRST_WAIT_SECONDS", 0.01)
    yield
    assert not [one.name for one in threading.enumerate() if one.name.startswith("google_cloud_storage-part")]


def plant(bucket: Bucket, key: str, data: bytes) -> None:
    bucket.put(key, Body.written(bucket.folder, [data]), {}, "text/plain")


def hidden(staged: Staged) -> str:
    return f"{HIDDEN_FOLDER}/staging/{staged.path}/{staged.handle['token']}"


class TestLostAnswers:
    """The service did it and the answer never came."""

    @pytest.mark.parametrize("times", [1, retry.TRIES])
    def test_p4_copy(self, store: GCSStore, bucket: Bucket, proxy: Proxy, times: int) -> None:
        staged = stage(store, "file", b"rows")
        fault = proxy.arm(LoseAnswer(target=COPY, times=times))
        store.publish(staged)
        assert len(fault.struck) == times
        assert bucket.everything() == ["file"]
        assert read(store, "file") == b"rows"

    def test_p4_copy_and_the_removal_of_the_hidden_object(self, store: GCSStore, bucket: Bucket, proxy: Proxy) -> None:
        staged = stage(store, "file", b"rows")
        faults = [proxy.arm(LoseAnswer(target=target)) for target in (COPY, DROP)]
        store.publish(staged)
        assert [one.method for fault in faults for one in fault.struck] == ["PUT", "DELETE"]
        assert bucket.everything() == ["file"]

    def test_p4_removal_fails_after_the_copy(self, store: GCSStore, bucket: Bucket, proxy: Proxy) -> None:
        staged = stage(store, "file", b"rows")
        proxy.arm(Answer(status=503, methods=frozenset({"DELETE"}), times=retry.TRIES))
        with pytest.raises(TransientError, match="Delete Object"):
            store.publish(staged)
        assert bucket.everything() == sorted([hidden(staged), "file"])
        store.publish(staged)
        assert bucket.everything() == ["file"]

    def test_copy_that_never_arrived_is_transient(self, store: GCSStore, bucket: Bucket, proxy: Proxy) -> None:
        staged = stage(store, "file", b"rows")
        proxy.arm(Answer(status=503, target=COPY, times=retry.TRIES))
        with pytest.raises(TransientError, match="Copy Object"):
            store.publish(staged)
        assert bucket.everything() == [hidden(staged)]
        proxy.disarm()
        store.publish(staged)
        assert bucket.everything() == ["file"]

    def test_p6_copy_lost_and_foreign_file_there(self, store: GCSStore, bucket: Bucket, proxy: Proxy) -> None:
        staged = stage(store, "file", b"rows")
        plant(bucket, "file", b"ROWS")
        proxy.arm(LoseAnswer(target=COPY))
        with pytest.raises(Conflict):
            store.publish(staged)
        assert read(store, "file") == b"ROWS"

    @pytest.mark.parametrize("times", [1, 2])
    @pytest.mark.parametrize("target", [r"\?uploads$", r"partNumber=", r"\?uploadId="])
    def test_each_step_of_staging(self, store: GCSStore, bucket: Bucket, proxy: Proxy, target: str, times: int) -> None:
        fault = proxy.arm(LoseAnswer(target=target, times=times))
        staged = stage(store, "file", data := bytes(11 * MIB))
        assert len(fault.struck) == times
        store.confirm(staged)
        store.publish(staged)
        assert read(store, "file") == data
        # An initiation whose answer was lost leaves an upload that nobody knows of: the next try or a sweep finds it.
        lost = times if "uploads" in target else 0
        assert [one.path for one in store.leftovers()] == ["file"] * lost
        for leftover in list(store.leftovers()):
            store.discard_leftover(leftover)
        assert bucket.everything() == ["file"]

    @pytest.mark.parametrize("replacing", [False, True])
    @pytest.mark.parametrize("times", [1, retry.TRIES])
    def test_p2_put(self, store: GCSStore, proxy: Proxy, replacing: bool, times: int) -> None:
        fault = proxy.arm(LoseAnswer(times=times))
        store.put("m.json", b"{}", replace=replacing)
        assert len(fault.struck) == times
        assert read(store, "m.json") == b"{}"

    def test_p6_part_that_never_arrives(self, store: GCSStore, bucket: Bucket, proxy: Proxy) -> None:
        proxy.arm(Reset(target="partNumber=", times=100))
        with pytest.raises(TransientError, match="Upload Part"):
            stage(store, "file", bytes(11 * MIB))
        assert bucket.everything() == []

    def test_drop_that_fails_does_not_hide_the_error(self, store: GCSStore, proxy: Proxy) -> None:
        def fail() -> None:
            with store.stage("file") as upload:
                upload.write(bytes(6 * MIB))
                proxy.arm(Answer(status=503, methods=frozenset({"DELETE"}), times=retry.TRIES))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError) as caught:
            fail()
        assert "could not be removed" in caught.value.__notes__[0]
        [leftover] = store.leftovers()
        assert (leftover.path, leftover.bytes) == ("file", None)

    def test_reading_goes_on_where_it_broke(self, store: GCSStore, bucket: Bucket, proxy: Proxy) -> None:
        data = hashlib.shake_256(b"seed").digest(9 * MIB)
        plant(bucket, "file", data)
        fault = proxy.arm(LoseAnswer(methods=ALL, skip=1, times=2))
        assert read(store, "file") == data
        assert len(fault.struck) == 2


class TestBusy:
    @pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
    def test_then_success(self, store: GCSStore, proxy: Proxy, status: int) -> None:
        fault = proxy.arm(Answer(status=status, times=2))
        store.put("m.json", b"{}")
        assert len(fault.struck) == 2
        assert read(store, "m.json") == b"{}"

    def test_waits_as_long_as_it_is_asked_to(
        self, store: GCSStore, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waits = list[float]()
        monkeypatch.setattr(retry.time, "sleep", waits.append)
        proxy.arm(Answer(status=503, headers={"Retry-After": "7"}))
        store.put("m.json", b"{}")
        assert [7 <= wait < 8 for wait in waits] == [True]

    def test_nothing_else_tries_again(self, store: GCSStore, proxy: Proxy) -> None:
        fault = proxy.arm(Answer(status=503, times=100))
        with pytest.raises(TransientError, match="503"):
            store.put("m.json", b"{}")
        assert len(fault.struck) == retry.TRIES

    @pytest.mark.parametrize("body", [b"<html>busy", b"<Error><Code>InternalError</Code></Error>", b"<Other/>"])
    def test_p4_copy_that_fails_after_its_status_was_sent(self, store: GCSStore, proxy: Proxy, body: bytes) -> None:
        staged = stage(store, "file", b"rows")
        fault = proxy.arm(Answer(status=200, body=body, target=COPY))
        store.publish(staged)
        assert len(fault.struck) == 1
        assert read(store, "file") == b"rows"

    def test_listing_of_something_else(self, store: GCSStore, proxy: Proxy) -> None:
        proxy.arm(Answer(status=200, body=b"<html><body>Sign in</body></html>", methods=ALL, times=retry.TRIES))
        with pytest.raises(TransientError, match="is not one of Google Cloud Storage"):
            store.check()

    def test_listing_that_never_ends(self, store: GCSStore, proxy: Proxy) -> None:
        body = b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"
        proxy.arm(Answer(status=200, body=body, methods=ALL, times=100))
        with pytest.raises(ConfigError, match="does not page"):
            list(store.list(""))

    @pytest.mark.parametrize(
        ("code", "status", "error", "advice"),
        [
            ("UserProjectAccountProblem", 403, ConfigError, "billing"),
            ("CloudKmsDisabledKey", 400, ConfigError, "KMS"),
            ("RetentionPolicyNotMet", 403, ConfigError, "retention policy"),
            ("CrcMismatch", 400, IntegrityError, "changed on their way"),
            ("PermanentRedirect", 301, ConfigError, "check the fields"),
        ],
    )
    def test_what_stays_wrong_is_not_tried_again(
        self, store: GCSStore, proxy: Proxy, code: str, status: int, error: type[Exception], advice: str
    ) -> None:
        body = f"<Error><Code>{code}</Code><Message>As it is.</Message><Details>more</Details></Error>"
        fault = proxy.arm(Answer(status=status, body=body.encode(), times=100))
        with pytest.raises(error, match=rf"{code} \({status}, As it is, request id unknown\); .*{advice}"):
            store.put("m.json", b"{}")
        assert len(fault.struck) == 1

    def test_a_full_service(self, store: GCSStore, proxy: Proxy) -> None:
        proxy.arm(Answer(status=413, body=b"<Error><Code>EntityTooLarge</Code></Error>"))
        with pytest.raises(StorageFull, match="limit the bytes per file"):
            store.put("m.json", b"{}")


class TestStaging:
    def test_two_tries_never_mix(self, store: GCSStore, bucket: Bucket) -> None:
        """A first try is still sending while a second one begins and ends."""
        first = store.stage("file")
        first.__enter__()
        first.write(b"first")
        second = stage(store, "file", b"second")
        with pytest.raises(IntegrityError):
            first.__exit__(None, None, None)
        store.publish(second)
        assert read(store, "file") == b"second"
        assert bucket.everything() == ["file"]

    def test_another_object_under_the_hidden_name_is_not_published(self, store: GCSStore, bucket: Bucket) -> None:
        staged = stage(store, "file", b"rows")
        plant(bucket, hidden(staged), b"rows")
        for call in (store.confirm, store.publish):
            with pytest.raises(IntegrityError):
                call(staged)
        assert [entry.path for entry in store.list("")] == []

    def test_the_object_carries_its_checksums(self, store: GCSStore, bucket: Bucket) -> None:
        data = bytes(range(256)) * 50_000
        store.publish(stage(store, "file", data))
        blob = bucket.objects["file"]
        assert blob.metadata == {"x-goog-meta-sha256": hashlib.sha256(data).hexdigest()}
        assert blob.body.sha256 == hashlib.sha256(data).hexdigest()

    @pytest.mark.parametrize("size", [4, 11 * MIB])
    def test_service_checks_what_arrives(
        self, store: GCSStore, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, size: int
    ) -> None:
        monkeypatch.setattr(gcs_upload, "hash_header", lambda body: hash_header(b"what was meant to be sent"))
        with pytest.raises(IntegrityError, match="changed on their way"):
            stage(store, "file", bytes(size))
        assert bucket.everything() == []

    def test_the_whole_is_checked_too(self, store: GCSStore, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every part arrives as it was sent, and they are put together in another order."""
        real = gcs_upload.GCSUpload._complete
        monkeypatch.setattr(gcs_upload.GCSUpload, "_complete", lambda self, parts: real(self, parts[:1]))
        with pytest.raises(IntegrityError, match="is not what was sent"):
            stage(store, "file", hashlib.shake_256(b"seed").digest(11 * MIB))
        assert bucket.everything() == []

    def test_same_bytes_of_another_tool_are_ours(self, store: GCSStore, bucket: Bucket) -> None:
        plant(bucket, "file", b"rows")
        store.publish(stage(store, "file", b"rows"))
        assert bucket.everything() == ["file"]

    def test_parts_are_sent_at_the_same_time(
        self, store: GCSStore, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        together, put_part = threading.Barrier(4, timeout=20), bucket.put_part

        def wait_for_others(key: str, id: str, number: int, body: Body) -> None:
            together.wait()
            put_part(key, id, number, body)

        monkeypatch.setattr(bucket, "put_part", wait_for_others)
        store.confirm(stage(store, "file", bytes(20 * MIB)))

    def test_what_is_not_ours_is_no_leftover(self, store: GCSStore, bucket: Bucket) -> None:
        plant(bucket, f"{HIDDEN_FOLDER}/staging/file/theirs", b"")
        bucket.initiate("file", {}, "")
        stage(store, "file", b"rows")
        stage(store, "file/below", b"rows")
        assert sorted(one.path for one in store.leftovers()) == ["file", "file/below"]
        assert [one.path for one in store.leftovers("file")] == ["file/below"]
        assert "upload of file" in bucket.everything()

    def test_leftovers_of_more_than_a_page(
        self, store: GCSStore, bucket: Bucket, cloud_storage: CloudStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cloud_storage, "page", 2)
        for number in range(5):
            bucket.initiate(f"{HIDDEN_FOLDER}/staging/u{number // 3}/1795516109.{number:016x}", {}, "")
            stage(store, f"o{number}", b"rows")
        found: list[Leftover] = list(store.leftovers())
        assert [one.path for one in found] == ["o0", "o1", "o2", "o3", "o4", "u0", "u0", "u0", "u1", "u1"]
        for leftover in found:
            store.discard_leftover(leftover)
        assert bucket.everything() == []

    def test_replaced_while_it_is_read(self, store: GCSStore, bucket: Bucket) -> None:
        plant(bucket, "file", bytes(12 * MIB))
        with store.open("file") as file:
            file.read(1)
            plant(bucket, "file", bytes(13 * MIB))
            with pytest.raises(TransientError, match="replaced"):
                file.read()

    def test_folders_of_a_console_are_no_files(self, store: GCSStore, bucket: Bucket) -> None:
        plant(bucket, "a/", b"")
        plant(bucket, "a/ m.json ", b"{}")
        assert [entry.path for entry in store.list("")] == ["a/ m.json "]

    def test_too_many_parts(self, store: GCSStore, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
        upload: Any = store.stage("file")
        upload._max_parts = 1
        monkeypatch.setattr("dataset_export.destinations.part_upload.part_size", lambda *_: 5 * MIB)
        with pytest.raises(StorageFull, match="limit the bytes per file"), upload:
            upload.write(bytes(11 * MIB))
        assert bucket.everything() == []

    def test_without_a_hint_parts_grow(self) -> None:
        sizes = [part_size(number, 8 * MIB, MAX_PARTS) for number in range(1, MAX_PARTS + 1)]
        assert all(later >= earlier for earlier, later in itertools.pairwise(sizes))
        assert sum(sizes) > 400 << 30
        assert first_part_size(8 * MIB, 5 << 40, MAX_PARTS) * MAX_PARTS >= 5 << 40

    def test_too_small_parts_are_refused(self) -> None:
        with pytest.raises(ConfigError, match="too small"):
            GCSStore(GCSCalls("b", "https://x", lambda session: None), part_bytes=MIB)  # pyright: ignore[reportArgumentType]


class TestNamesAndChecksums:
    def test_names_say_when_staging_began(self) -> None:
        assert began("1795516109.ba697db3dde28496") is not None
        assert [began(other) for other in ("", "1795516109", "x.ba697db3dde28496", "1795516109.BA697DB3DDE28496")] == [
            None
        ] * 4

    def test_crc32c(self) -> None:
        """The check value of the algorithm (RFC 3720 calls it CRC32C): 0xE3069283 for these digits."""
        checksum = CRC32C()
        for digit in b"123456789":
            checksum.update(memoryview(bytearray([digit])))
        assert checksum.text() == "4waSgw=="
        assert hash_header(b"123456789") == "crc32c=4waSgw=="

    def test_header_with_both_checksums(self) -> None:
        assert stored_crc32c({"x-goog-hash": "crc32c=4waSgw==, md5=x=="}) == "4waSgw=="
        assert stored_crc32c({"x-goog-hash": "md5=x=="}) == ""
