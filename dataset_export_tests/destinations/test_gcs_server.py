"""Whether the Google Cloud Storage server of these tests is one: by Google's own client, by obstore, and beside an emulator."""

import base64
import hashlib
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import google_crc32c
import obstore
import pytest
import requests
from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import BadRequest, NotFound, PreconditionFailed
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import RefreshError
from google.cloud.storage import Client, transfer_manager
from google.oauth2.credentials import Credentials

from dataset_export.destinations.gcs import GCSDestination
from dataset_export_tests.places.google_cloud_storage import obstore_client
from dataset_export_tests.servers.gcs import CloudStorage
from dataset_export_tests.servers.gcs_emulator import running_emulator

MIB = 1 << 20
NAMES = ["a/b", "a b+c", "ünïcödé-数据", "x%20y#z?"]


def google_client(endpoint: str, credentials: Any) -> Any:
    return Client("tests", credentials, client_options=ClientOptions(api_endpoint=endpoint))


@pytest.fixture
def bucket(cloud_storage: CloudStorage) -> str:
    return cloud_storage.create_bucket()


@pytest.fixture
def google(cloud_storage: CloudStorage) -> Any:
    return google_client(cloud_storage.endpoint, Credentials(cloud_storage.access.token()))


@pytest.fixture(scope="module")
def emulator() -> Iterator[str]:
    with running_emulator() as endpoint:
        yield endpoint


class Raw:
    """Requests of the XML API with a token, and nothing of the store's code."""

    def __init__(self, server: CloudStorage, bucket: str) -> None:
        self.url = f"{server.endpoint}/{bucket}"
        self.token = server.access.token()

    def __call__(self, method: str, key: str, body: bytes = b"", **headers: str) -> requests.Response:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        given["Authorization"] = f"Bearer {self.token}"
        return requests.request(method, f"{self.url}/{key}", data=body, headers=given, timeout=10)

    def initiate(self, key: str) -> str:
        return self("POST", f"{key}?uploads").text.partition("<UploadId>")[2].partition("<")[0]

    def complete(self, key: str, upload: str, *etags: str, **headers: str) -> requests.Response:
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
            for number, etag in enumerate(etags, start=1)
        )
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>"
        return self("POST", f"{key}?uploadId={upload}", body.encode(), **headers)


@pytest.fixture
def raw(cloud_storage: CloudStorage, bucket: str) -> Raw:
    return Raw(cloud_storage, bucket)


def behaviour(client: Any, bucket: str) -> list[Any]:
    """What a server shows of a series of calls by Google's client."""
    shown: list[Any] = []

    def record(call: Callable[[], Any]) -> None:
        try:
            shown.append(call())
        except (NotFound, PreconditionFailed) as error:
            shown.append(type(error).__name__)

    def about(blob: Any) -> Any:
        return blob and (blob.name, blob.size, blob.crc32c, blob.md5_hash, blob.content_type)

    here = client.bucket(bucket)
    for name in NAMES:
        record(lambda name=name: here.blob(name).upload_from_string(name, if_generation_match=0))
        record(lambda name=name: here.blob(name).upload_from_string(b"again", if_generation_match=0))
        record(lambda name=name: here.blob(name).download_as_bytes())
        record(lambda name=name: about(here.get_blob(name)))
    record(lambda: here.blob("empty").upload_from_string(b""))
    record(lambda: sorted(about(one) for one in client.list_blobs(bucket)))
    record(lambda: [one.name for one in client.list_blobs(bucket, prefix="a")])
    record(lambda: [one.name for one in client.list_blobs(bucket, prefix="none")])
    record(lambda: here.blob("a/b").upload_from_string(b"replaced"))
    record(lambda: here.blob("a/b").download_as_bytes())
    record(lambda: here.blob("a/b").delete())
    record(lambda: here.blob("a/b").delete())
    record(lambda: here.get_blob("a/b"))
    record(lambda: here.blob("a/b").download_as_bytes())
    return shown


class TestBesideAnEmulator:
    def test_both_answer_alike(self, google: Any, bucket: str, emulator: str) -> None:
        other = google_client(emulator, AnonymousCredentials())
        other.create_bucket(bucket)
        shown = behaviour(google, bucket)
        assert shown.count("PreconditionFailed") == len(NAMES)
        assert shown == behaviour(other, bucket)


class TestGooglesClient:
    def test_reads_what_the_store_delivered(self, cloud_storage: CloudStorage, google: Any, bucket: str) -> None:
        store = GCSDestination(
            bucket=bucket, endpoint_url=cloud_storage.endpoint, allow_insecure=True,
            hmac_access_id=cloud_storage.access.hmac_id, hmac_secret=cloud_storage.access.hmac_secret,
        ).store()  # fmt: skip
        data = os.urandom(11 * MIB)
        with store.stage("a b/数据") as upload:
            upload.write(data)
        assert [one.name.startswith(".dataset_export/") for one in google.list_blobs(bucket)] == [True]
        store.publish(upload.staged)
        [blob] = google.list_blobs(bucket)
        assert (blob.name, blob.size, blob.md5_hash) == ("a b/数据", len(data), None)
        assert blob.crc32c == base64.b64encode(google_crc32c.Checksum(data).digest()).decode()
        assert blob.metadata == {"sha256": hashlib.sha256(data).hexdigest()}
        assert blob.download_as_bytes() == data

    def test_uploads_in_parts(self, google: Any, bucket: str, tmp_path: Path) -> None:
        file = tmp_path / "file"
        file.write_bytes(data := os.urandom(12 * MIB))
        blob = google.bucket(bucket).blob("big")
        transfer_manager.upload_chunks_concurrently(str(file), blob, chunk_size=5 * MIB, worker_type="thread")
        assert google.bucket(bucket).blob("big").download_as_bytes() == data

    def test_pages(self, google: Any, bucket: str, cloud_storage: CloudStorage) -> None:
        for number in range(7):
            google.bucket(bucket).blob(f"{number}").upload_from_string(b"")
        pages = [len(list(page)) for page in google.list_blobs(bucket, page_size=3).pages]
        assert pages == [3, 3, 1]

    def test_wrong_checksum(self, google: Any, bucket: str) -> None:
        blob = google.bucket(bucket).blob("x")
        blob.md5_hash = base64.b64encode(hashlib.md5(b"other").digest()).decode()
        with pytest.raises(BadRequest):
            blob.upload_from_string(b"rows")

    def test_wrong_token(self, cloud_storage: CloudStorage, bucket: str) -> None:
        # The client met a 401 and wants another token.
        with pytest.raises(RefreshError):
            list(google_client(cloud_storage.endpoint, Credentials("wrong")).list_blobs(bucket))


class TestObstore:
    """The Rust client: its XML is parsed and written by other code than ours."""

    def test_lists_copies_and_uploads_in_parts(self, cloud_storage: CloudStorage, bucket: str) -> None:
        client, data = obstore_client(cloud_storage, bucket), os.urandom(12 * MIB)
        obstore.put(client, "a/big", data, use_multipart=True, chunk_size=5 * MIB)
        assert bytes(client.get("a/big").bytes()) == data
        assert bytes(client.get_range("a/big", start=5, end=9)) == data[5:9]
        client.put("a/other", b"theirs", mode="create")
        with pytest.raises(obstore.exceptions.AlreadyExistsError):
            client.put("a/other", b"again", mode="create")
        with pytest.raises(obstore.exceptions.AlreadyExistsError):
            client.copy("a/big", "a/other", overwrite=False)
        client.copy("a/big", "a/copy", overwrite=False)
        found = sorted((one["path"], one["size"]) for page in client.list("a") for one in page)
        assert found == [("a/big", len(data)), ("a/copy", len(data)), ("a/other", 6)]
        assert f"POST /{bucket}/a/big?uploads=" in {unquote(request) for request in cloud_storage.requests}


class TestStrictness:
    """What the reference says is refused."""

    @pytest.mark.parametrize("condition", ["x_goog_if_generation_match", "if_none_match"])
    def test_multipart_uploads_take_no_conditions(self, raw: Raw, condition: str) -> None:
        upload = raw.initiate("x")
        etag = raw("PUT", f"x?partNumber=1&uploadId={upload}", b"rows").headers["ETag"]
        refused = raw.complete("x", upload, etag, **{condition: "0"})
        assert (refused.status_code, "<Code>NotImplemented</Code>" in refused.text) == (400, True)
        raw("PUT", "x", b"theirs")
        assert raw.complete("x", upload, etag).ok  # so completing at the file's own name would replace it
        assert raw("GET", "x").content == b"rows"

    @pytest.mark.parametrize(
        ("etags", "code"),
        [(["1", "2"], "InvalidPart"), ([], "MalformedXML"), (["real", "real"], "EntityTooSmall")],
    )
    def test_parts(self, raw: Raw, etags: list[str], code: str) -> None:
        upload = raw.initiate("x")
        for number in (1, 2):
            real = raw("PUT", f"x?partNumber={number}&uploadId={upload}", b"small").headers["ETag"]
        refused = raw.complete("x", upload, *(real if etag == "real" else etag for etag in etags))
        assert f"<Code>{code}</Code>" in refused.text
        assert raw("GET", "x").status_code == 404

    @pytest.mark.parametrize(
        ("given", "code"), [("crc32c=AAAAAA==", "CrcMismatch"), ("md5=AAAAAAAAAAAAAAAAAAAAAA==", "BadDigest")]
    )
    @pytest.mark.parametrize("way", ["x", "x?partNumber=1&uploadId="])
    def test_checksums(self, raw: Raw, given: str, code: str, way: str) -> None:
        target = way + (raw.initiate("x") if "=" in way else "")
        refused = raw("PUT", target, b"rows", x_goog_hash=given)
        assert (refused.status_code, f"<Code>{code}</Code>" in refused.text) == (400, True)

    def test_unknown_parameters_and_headers(self, raw: Raw) -> None:
        assert raw("GET", "?list-type=2&surprise=1").status_code == 400
        assert raw("PUT", "x", b"", x_goog_if_metageneration_match="1").status_code == 400

    def test_conditions_of_a_copy(self, raw: Raw) -> None:
        raw("PUT", "x", b"rows")
        source = {"x_goog_copy_source": f"{raw.url.rpartition('/')[2]}/x"}
        assert raw("PUT", "y", **source, x_goog_copy_source_if_generation_match="1").status_code == 412
        assert raw("PUT", "y", **source, x_goog_if_generation_match="0").ok
        assert raw("PUT", "y", **source, x_goog_if_generation_match="0").status_code == 412

    def test_expired_token(self, raw: Raw, cloud_storage: CloudStorage) -> None:
        cloud_storage.access.tokens[raw.token] = (datetime.now(UTC) - timedelta(seconds=1)).timestamp()
        assert raw("GET", "?list-type=2").status_code == 401
