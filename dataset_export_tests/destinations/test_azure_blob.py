"""What only Azure Blob does: blocks, ways to sign in, and answers that get lost."""

import base64
import hashlib
import itertools
import json
import logging
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ServiceResponseError
from hypothesis import given
from hypothesis import strategies as st

from dataset_export.destinations import retry
from dataset_export.destinations.azure_blob import AzureBlobDestination, AzureBlobStore
from dataset_export.destinations.azure_blob_upload import MAX_BLOCKS, blocks_of
from dataset_export.destinations.azure_calls import Answered, LazyClient
from dataset_export.destinations.library_logs import without_signature
from dataset_export.destinations.part_upload import first_part_size, part_size
from dataset_export.destinations.policy import Operation
from dataset_export.errors import (
    AccessDenied,
    ConfigError,
    Conflict,
    ExportError,
    NotFound,
    StorageFull,
    TransientError,
)
from dataset_export_tests.destinations.contents import read, stage
from dataset_export_tests.servers.azurite import ACCOUNT, KEY, Azurite, running_azurite
from dataset_export_tests.servers.certificates import write_certificates
from dataset_export_tests.servers.weed import free_ports

MIB = 1 << 20


@pytest.fixture
def container(azurite: Azurite) -> str:
    return azurite.create_container()


@pytest.fixture
def client(azurite: Azurite, container: str) -> Any:
    return azurite.client(container)


@pytest.fixture
def store(client: Any) -> AzureBlobStore:
    return AzureBlobStore(LazyClient(lambda: client), "the container exports", lambda: "https://x", block_bytes=MIB)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(retry, "FIRST_WAIT_SECONDS", 0.01)
    yield
    assert not [one.name for one in threading.enumerate() if one.name.startswith("azure_blob-part")]


def destination(azurite: Azurite, container: str, **fields: Any) -> AzureBlobDestination:
    account = {} if "connection_string" in fields else {"account": ACCOUNT, "endpoint_url": azurite.endpoint}
    return AzureBlobDestination(container=container, allow_insecure=True, **(account | fields))


def intercept(client: Any, marker: str, answer: Callable[[Any, Callable[[], Any]], Any], times: int = 1) -> list[str]:
    """Let `answer` handle the next `times` requests whose method and URL hold `marker`; it gets the request and what
    sends it. Returns a list that grows with what came of them."""
    transport, done, left = client._pipeline._transport, list[str](), iter(range(times))
    send = transport.send

    def handled(request: Any, **options: Any) -> Any:
        if marker not in f"{request.method} {request.url}" or next(left, None) is None:
            return send(request, **options)
        try:
            response = answer(request, lambda: send(request, **options))
        except ServiceResponseError:
            done.append("lost")
            raise
        done.append(str(response.status_code))
        return response

    transport.send = handled
    return done


def lost(request: Any, send: Callable[[], Any]) -> Any:
    send()
    raise ServiceResponseError("the connection broke")


def never_sent(request: Any, send: Callable[[], Any]) -> Any:
    raise ServiceResponseError("the connection broke")


def busy(status: int, wait: str | None = None) -> Callable[[Any, Callable[[], Any]], Any]:
    def answer(request: Any, send: Callable[[], Any]) -> Any:
        request.url = request.url.replace("/c", "/no-such-")  # so that the server does nothing
        response = send()
        response.status_code = status
        response.headers["x-ms-error-code"] = "ServerBusy"
        if wait is not None:
            response.headers["Retry-After"] = wait
        return response

    return answer


class TestLostAnswers:
    """The service did it and the answer never came."""

    @pytest.mark.parametrize("times", [1, retry.TRIES])
    def test_p4_block_list(self, client: Any, store: AzureBlobStore, times: int) -> None:
        staged = stage(store, "file", b"rows")
        done = intercept(client, "comp=blocklist", lost, times)
        store.publish(staged)
        assert done == ["lost"] * times
        assert read(store, "file") == b"rows"

    def test_block_list_that_never_arrived_is_transient(self, client: Any, store: AzureBlobStore) -> None:
        staged = stage(store, "file", b"rows")
        intercept(client, "PUT", never_sent, retry.TRIES)
        with pytest.raises(TransientError, match="Put Block List"):
            store.publish(staged)
        assert list(store.list("")) == []
        store.publish(staged)
        assert read(store, "file") == b"rows"

    def test_block_list_lost_and_foreign_file_there(self, client: Any, store: AzureBlobStore) -> None:
        staged = stage(store, "file", b"rows")
        client.get_blob_client("file").upload_blob(b"ROWS", overwrite=True)
        intercept(client, "comp=blocklist", lost)
        with pytest.raises(Conflict):
            store.publish(staged)
        assert read(store, "file") == b"ROWS"

    @pytest.mark.parametrize("replacing", [False, True])
    @pytest.mark.parametrize("times", [1, retry.TRIES])
    def test_p2_put(self, client: Any, store: AzureBlobStore, replacing: bool, times: int) -> None:
        done = intercept(client, "PUT", lost, times)
        store.put("m.json", b"{}", replace=replacing)
        assert done == ["lost"] * times
        assert read(store, "m.json") == b"{}"

    def test_block_sent_again_is_one_block(self, client: Any, store: AzureBlobStore) -> None:
        done = intercept(client, "comp=block&", lost, 2)
        staged = stage(store, "file", bytes(5 * MIB))
        assert done == ["lost", "lost"]
        store.confirm(staged)
        store.publish(staged)
        assert hashlib.sha256(read(store, "file")).hexdigest() == staged.sha256

    def test_p6_block_that_never_arrives(self, client: Any, store: AzureBlobStore) -> None:
        intercept(client, "comp=block&", never_sent, 100)
        with pytest.raises(TransientError, match="Put Block"):
            stage(store, "file", bytes(5 * MIB))
        assert list(client.list_blobs(include=["uncommittedblobs"])) == []

    def test_drop_that_fails_does_not_hide_the_error(self, client: Any, store: AzureBlobStore) -> None:
        def fail() -> None:
            with store.stage("file") as upload:
                upload.write(bytes(2 * MIB))
                intercept(client, "DELETE", never_sent, retry.TRIES)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError) as caught:
            fail()
        assert "could not be removed" in caught.value.__notes__[0]


class TestBusy:
    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_then_success(self, client: Any, store: AzureBlobStore, status: int) -> None:
        done = intercept(client, "PUT", busy(status), 2)
        store.put("m.json", b"{}")
        assert done == [str(status)] * 2
        assert read(store, "m.json") == b"{}"

    def test_waits_as_long_as_it_is_asked_to(
        self, client: Any, store: AzureBlobStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waits = list[float]()
        monkeypatch.setattr(retry.time, "sleep", waits.append)
        intercept(client, "PUT", busy(503, "7"))
        store.put("m.json", b"{}")
        assert [7 <= wait < 8 for wait in waits] == [True]

    def test_the_sdk_does_not_try_again(self, azurite: Azurite, container: str) -> None:
        store: Any = destination(azurite, container, account_key=KEY).store()
        done = intercept(store._calls._source.current(), "PUT", busy(503), 100)
        with pytest.raises(TransientError, match="503"):
            store.put("m.json", b"{}")
        assert len(done) == retry.TRIES


class TestBlocks:
    def test_two_tries_never_mix(self, client: Any, store: AzureBlobStore) -> None:
        """The blocks of a first try arrive late, beside those of the second."""
        first = stage(store, "file", b"first")
        second = stage(store, "file", b"second")
        for block in blocks_of(first):
            client.get_blob_client("file").stage_block(block, b"FIRST")
        store.confirm(second)
        store.publish(second)
        assert read(store, "file") == b"second"

    def test_ids_of_another_length_do_not_stop_a_retry(self, client: Any, store: AzureBlobStore) -> None:
        client.get_blob_client("file").stage_block("short", b"of another program")
        staged = stage(store, "file", b"rows")
        store.publish(staged)
        assert read(store, "file") == b"rows"

    def test_blob_carries_its_checksums(self, client: Any, store: AzureBlobStore) -> None:
        data = bytes(range(256)) * 10_000
        staged = stage(store, "file", data)
        store.publish(staged)
        properties = client.get_blob_client("file").get_blob_properties()
        assert properties.metadata == {"sha256": hashlib.sha256(data).hexdigest()}
        assert bytes(properties.content_settings.content_md5) == hashlib.md5(data).digest()

    def test_service_checks_each_block(self, client: Any, store: AzureBlobStore) -> None:
        checked = list[str]()

        def check(request: Any, send: Callable[[], Any]) -> Any:
            assert request.headers["Content-MD5"] == base64.b64encode(hashlib.md5(request.body).digest()).decode()
            checked.append(request.url)
            return send()

        intercept(client, "comp=block&", check, 100)
        stage(store, "file", bytes(3 * MIB))
        assert len(checked) == 3

    def test_p6_discard_writes_nothing_visible(self, client: Any, store: AzureBlobStore) -> None:
        staged = stage(store, "file", b"rows")
        done = intercept(client, "PUT", lambda _, send: send(), 100)
        store.discard(staged)
        assert done == []
        assert list(client.list_blobs(include=["uncommittedblobs"])) == []

    def test_same_bytes_of_another_tool_are_ours(self, client: Any, store: AzureBlobStore) -> None:
        client.get_blob_client("file").upload_blob(b"rows")
        store.publish(stage(store, "file", b"rows"))
        assert list(store.leftovers()) == []

    def test_replaced_while_it_is_read(self, client: Any, store: AzureBlobStore) -> None:
        client.get_blob_client("file").upload_blob(bytes(12 * MIB))
        with store.open("file") as file:
            file.read(1)
            client.get_blob_client("file").upload_blob(bytes(13 * MIB), overwrite=True)
            with pytest.raises(TransientError, match="replaced"):
                file.read()

    def test_folders_of_other_tools_are_no_files(self, client: Any, store: AzureBlobStore) -> None:
        client.get_blob_client("a").upload_blob(b"", metadata={"hdi_isfolder": "true"})
        client.get_blob_client("a/m.json").upload_blob(b"{}")
        assert [entry.path for entry in store.list("")] == ["a/m.json"]

    def test_too_many(self, client: Any, store: AzureBlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("dataset_export.destinations.azure_blob_upload.MAX_BLOCKS", 10)
        with pytest.raises(StorageFull, match="limit the bytes per file"):
            stage(store, "file", bytes(60 * MIB))
        assert list(client.list_blobs(include=["uncommittedblobs"])) == []

    @given(st.integers(0, 190 << 40))
    def test_any_hint_fits(self, size: int) -> None:
        first = first_part_size(8 * MIB, size, MAX_BLOCKS)
        assert first * MAX_BLOCKS >= size
        assert 8 * MIB <= first <= max(8 * MIB, size // MAX_BLOCKS + 1)

    def test_without_a_hint_blocks_grow(self) -> None:
        sizes = [part_size(number, 8 * MIB, MAX_BLOCKS) for number in range(1, MAX_BLOCKS + 1)]
        assert sizes[0] == sizes[4_999] == 8 * MIB
        assert all(later >= earlier for earlier, later in itertools.pairwise(sizes))
        assert sum(sizes) > 2 << 40
        assert max(sizes) == 80 * MIB

    def test_too_small_blocks_are_refused(self, client: Any) -> None:
        with pytest.raises(ConfigError, match="too small"):
            AzureBlobStore(LazyClient(lambda: client), "c", lambda: "", block_bytes=1)


class TestSignIn:
    def connection_string(self, azurite: Azurite, credential: str) -> str:
        return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};BlobEndpoint={azurite.endpoint};{credential}"

    @pytest.mark.parametrize("way", ["key", "sas", "connection_string", "connection_string_with_sas"])
    def test_delivers(self, azurite: Azurite, container: str, way: str) -> None:
        sas = azurite.sas(container)
        fields = {
            "key": {"account_key": KEY},
            "sas": {"sas_token": f"?{sas}"},
            "connection_string": {"connection_string": self.connection_string(azurite, f"AccountKey={KEY}")},
            "connection_string_with_sas": {
                "connection_string": self.connection_string(azurite, f"SharedAccessSignature={sas}")
            },
        }[way]
        store = destination(azurite, container, **fields).store()
        store.check()
        with store.stage("file") as upload:
            upload.write(b"rows")
        store.confirm(upload.staged)
        store.publish(upload.staged)
        store.delete("file")
        assert store.uri("a b") == f"{azurite.endpoint}/{container}/a b"

    @pytest.mark.parametrize(
        ("missing", "call"),
        [
            ("w", lambda store: store.put("m.json", b"")),
            ("r", lambda store: store.open("seen")),
            ("d", lambda store: store.delete("seen")),
            ("l", lambda store: store.check()),
        ],
    )
    def test_sas_without_a_permission(
        self, azurite: Azurite, container: str, missing: str, call: Callable[[Any], object]
    ) -> None:
        azurite.client(container).get_blob_client("seen").upload_blob(b"rows")
        sas = azurite.sas(container, "rwdl".replace(missing, ""))
        with pytest.raises(AccessDenied, match=container):
            call(destination(azurite, container, sas_token=sas).store())

    def test_missing_container(self, azurite: Azurite) -> None:
        store = destination(azurite, "no-such-container", account_key=KEY).store()
        for call in (store.check, lambda: store.put("m", b""), lambda: list(store.list("")), lambda: store.open("m")):
            with pytest.raises(NotFound, match=r"no-such-container.*create it"):
                call()

    @pytest.mark.parametrize("key", ["bm90IHRoZSBrZXk=", "no base64"])
    def test_wrong_key(self, azurite: Azurite, container: str, key: str) -> None:
        with pytest.raises(AccessDenied, match=container):
            destination(azurite, container, account_key=key).store().check()

    def test_nobody_listens(self) -> None:
        [port] = free_ports(1)
        with pytest.raises(TransientError, match="can be reached"):
            AzureBlobDestination(
                account=ACCOUNT, endpoint_url=f"http://127.0.0.1:{port}/{ACCOUNT}", container="ccc",
                account_key=KEY, allow_insecure=True,
            ).store().check()  # fmt: skip

    def test_default_credential_is_not_sent_without_tls(self, azurite: Azurite, container: str) -> None:
        with pytest.raises((ConfigError, TransientError), match=r"(?i)https"):
            destination(azurite, container, tenant_id="t" * 8, client_id="c", client_secret="hunter2").store().check()

    @pytest.mark.parametrize(
        ("fields", "text"),
        [
            ({"account": "lake", "account_key": "k", "sas_token": "s"}, "one way to sign in"),
            ({"account": "lake", "client_id": "c", "client_secret": "s"}, "tenant_id"),
            ({"account": "lake", "connection_string": "c"}, "one of the two"),
            ({}, "one of the two"),
            ({"account": "Not_a_name"}, "3 to 24"),
            ({"account": "http://lake.blob.core.windows.net"}, "allow_insecure"),
            ({"account": "https://lake.blob.core.windows.net/?sig=x"}, "no query"),
            ({"account": "lake", "endpoint_url": "HTTP://127.0.0.1:1/lake"}, "allow_insecure"),
        ],
    )
    def test_fields_that_do_not_go_together(self, fields: dict[str, str], text: str) -> None:
        with pytest.raises(ConfigError, match=text):
            AzureBlobDestination(container="exports", **fields).build_store()

    def test_tls_of_a_connection_string(self, azurite: Azurite, container: str) -> None:
        text = self.connection_string(azurite, f"AccountKey={KEY}")
        with pytest.raises(ConfigError, match="allow_insecure"):
            AzureBlobDestination(container=container, connection_string=text).store().check()

    def test_public_cloud_by_name(self) -> None:
        store = AzureBlobDestination(account="lake", container="exports", folder="f").store()
        assert store.uri("x") == "https://lake.blob.core.windows.net/exports/f/x"


class FakeDefaultCredential:
    """Signs in nobody, with a token of the shape and the times that the service looks at first."""

    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        now = int(time.time())
        claims = {
            "aud": "https://storage.azure.com",
            "iss": "https://sts.windows-ppe.net/ab1f708d-50f6-404c-a006-d71b2ac7a606/",
            "nbf": now - 60, "iat": now - 60, "exp": now + 3600,
        }  # fmt: skip
        parts = (json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims))
        encoded = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
        return AccessToken(f"{encoded}.c2ln", now + 3600)


class TestDefaultCredential:
    def test_delivers_over_tls(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("azure.identity.DefaultAzureCredential", FakeDefaultCredential)
        write_certificates(tmp_path)
        options = ("--oauth", "basic", "--cert", str(tmp_path / "server.pem"), "--key", str(tmp_path / "server.key"))
        with running_azurite(*options, scheme="https") as azurite:
            name = {"account": ACCOUNT, "endpoint_url": azurite.endpoint}
            with pytest.raises(ConfigError, match="REQUESTS_CA_BUNDLE"):
                AzureBlobDestination(container="exports", **name).store().check()
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
            store = AzureBlobDestination(container=azurite.create_container(), **name).store()
            with store.stage("file") as upload:
                upload.write(b"rows")
            store.publish(upload.staged)
            assert [entry.path for entry in store.list("")] == ["file"]


class TestSecrets:
    def test_no_signature_in_errors_and_logs(
        self, azurite: Azurite, container: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        sas = azurite.sas(container, "r")
        secret = sas.rpartition("sig=")[2].partition("&")[0][:20]
        [port] = free_ports(1)
        for endpoint in (azurite.endpoint, f"http://127.0.0.1:{port}/{ACCOUNT}"):
            with pytest.raises((AccessDenied, TransientError)) as caught:
                destination(azurite, container, sas_token=sas, endpoint_url=endpoint).store().put("m.json", b"")
            assert secret not in "".join(traceback.format_exception(caught.value))
            chained: BaseException | None = caught.value
            while chained is not None:
                assert isinstance(chained, ExportError | Answered)
                chained = chained.__context__
        assert "PUT" in caplog.text
        assert secret not in caplog.text

    def test_no_key_in_errors(self, azurite: Azurite, container: str) -> None:
        key = "hunter" * 3
        with pytest.raises(ConfigError) as caught:
            destination(azurite, container, connection_string=f"AccountKey={key}").store().check()
        assert key not in "".join(traceback.format_exception(caught.value))

    def test_redaction(self) -> None:
        said = without_signature("url: /c/b?sv=1&sig=abc%2F (Caused by x) and AccountKey=abc== end")
        assert said == "url: /c/b?… (Caused by x) and AccountKey=… end"


class TestDestination:
    def test_every_field_is_described(self) -> None:
        assert [name for name, field in AzureBlobDestination.model_fields.items() if not field.description] == []

    def test_policy_covers_every_operation(self) -> None:
        policy = AzureBlobDestination(account="lake", container="exports", folder="a").policy()
        assert set(policy.permissions) == set(Operation)
        assert "storageAccounts/lake/blobServices/default/containers/exports" in policy.document

    def test_importing_it_loads_no_client_library(self) -> None:
        code = (
            "import sys, dataset_export.destinations.azure_blob, dataset_export.destinations.data_landing_zone\n"
            "print(sorted({'azure.core', 'azure.storage', 'azure.identity', 'requests'} & set(sys.modules)))"
        )
        loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert "azure" not in loaded.stdout
