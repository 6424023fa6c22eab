"""Signing in to Google Cloud Storage: HMAC keys, tokens, least privilege, and secrets that stay secret."""

import json
import logging
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from dataset_export.components.catalog import load_catalog
from dataset_export.destinations import gcs_hmac, retry
from dataset_export.destinations.contract import Store
from dataset_export.destinations.gcs import GCSDestination
from dataset_export.destinations.gcs_calls import Answered
from dataset_export.destinations.policy import Operation
from dataset_export.errors import AccessDenied, ConfigError, ExportError, NotFound, TransientError
from dataset_export_tests.components.projects import document, write_project
from dataset_export_tests.servers.gcs import CloudStorage, running_cloud_storage
from dataset_export_tests.servers.weed import free_ports

MIB = 1 << 20


@pytest.fixture
def bucket(cloud_storage: CloudStorage) -> str:
    return cloud_storage.create_bucket()


@pytest.fixture(autouse=True)
def no_credentials_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(retry, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")


@pytest.fixture
def permitted(cloud_storage: CloudStorage) -> Iterator[Callable[[frozenset[str]], None]]:
    """Sets what the account may do."""

    def permit(permissions: frozenset[str]) -> None:
        cloud_storage.access.permissions = permissions

    yield permit
    cloud_storage.access.permissions = None


def destination(server: CloudStorage, bucket: str, **fields: Any) -> GCSDestination:
    return GCSDestination(bucket=bucket, folder="f", allow_insecure=True, **{"endpoint_url": server.endpoint, **fields})


def hmac_key(server: CloudStorage) -> dict[str, str]:
    return {"hmac_access_id": server.access.hmac_id, "hmac_secret": server.access.hmac_secret}


def deliver_and_remove(store: Store) -> None:
    """Every operation of a delivery, of its failures and of a resend."""
    store.check()
    for size in (0, 9 * MIB):
        with store.stage("a/data") as upload:
            upload.write(bytes(size))
        store.confirm(upload.staged)
        store.publish(upload.staged)
        with store.open("a/data") as file:
            assert len(file.read()) == size
        store.delete("a/data")
    with store.stage("a/left") as upload:
        upload.write(b"rows")
    [leftover] = store.leftovers()
    store.discard_leftover(leftover)
    with pytest.raises(ZeroDivisionError), store.stage("a/left") as upload:
        raise ZeroDivisionError
    store.put("m.json", b"{}")
    store.put("m.json", b"{}")
    store.put("m.json", b"[]", replace=True)
    assert [entry.path for entry in store.list("")] == ["m.json"]
    store.delete("m.json")


class TestSignIn:
    @pytest.mark.parametrize("way", ["hmac", "hmac_files", "key", "key_file", "default"])
    def test_delivers(
        self, cloud_storage: CloudStorage, bucket: str, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key = cloud_storage.access.key_file(cloud_storage.endpoint)
        files = {"key": key, "id": cloud_storage.access.hmac_id, "secret": cloud_storage.access.hmac_secret}
        for name, text in files.items():
            (tmp_path / name).write_text(f"{text}\n")
        if way == "default":
            monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key"))
        fields: dict[str, dict[str, str]] = {
            "hmac": hmac_key(cloud_storage),
            "hmac_files": {
                "hmac_access_id": f"{{file: {tmp_path / 'id'}}}",
                "hmac_secret": f"{{file: {tmp_path / 'secret'}}}",
            },
            "key": {"service_account_key": key},
            "key_file": {"service_account_key": f"{{file: {tmp_path / 'key'}}}"},
            "default": {},
        }
        issued = cloud_storage.access.issued
        store = destination(cloud_storage, bucket, **fields[way]).store()
        deliver_and_remove(store)
        # One token serves all the calls.
        assert cloud_storage.access.issued - issued == (0 if way.startswith("hmac") else 1)
        assert cloud_storage.buckets[bucket].everything() == []
        assert store.uri("a b") == f"gs://{bucket}/f/a b"

    def test_p4_token_that_is_refused_is_renewed(self, cloud_storage: CloudStorage, bucket: str) -> None:
        key = cloud_storage.access.key_file(cloud_storage.endpoint)
        store = destination(cloud_storage, bucket, service_account_key=key).store()
        with store.stage("data") as upload:
            upload.write(bytes(9 * MIB))
            cloud_storage.access.tokens.clear()
            upload.write(bytes(9 * MIB))
        cloud_storage.access.tokens.clear()
        store.publish(upload.staged)
        assert [entry.bytes for entry in store.list("")] == [18 * MIB]

    def test_token_is_renewed_before_it_expires(
        self, cloud_storage: CloudStorage, bucket: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cloud_storage.access, "token_lasts", 30)  # within google-auth's margin: expired at once
        key = cloud_storage.access.key_file(cloud_storage.endpoint)
        store = destination(cloud_storage, bucket, service_account_key=key).store()
        issued = cloud_storage.access.issued
        store.put("a", b"")
        store.put("b", b"")
        assert cloud_storage.access.issued - issued == 2

    @pytest.mark.parametrize("secret", ["wrong", "", "hunter2 "])
    def test_wrong_secret(self, cloud_storage: CloudStorage, bucket: str, secret: str) -> None:
        with pytest.raises(AccessDenied, match=bucket):
            destination(cloud_storage, bucket, hmac_access_id=cloud_storage.access.hmac_id, hmac_secret=secret).store(
            ).check()  # fmt: skip

    def test_unknown_access_id(self, cloud_storage: CloudStorage, bucket: str) -> None:
        with pytest.raises(AccessDenied, match="HMAC key is active"):
            destination(cloud_storage, bucket, hmac_access_id="GOOG1", hmac_secret="s").store().check()

    def test_key_of_another_account(self, cloud_storage: CloudStorage, bucket: str) -> None:
        with running_cloud_storage() as other:
            key = json.loads(other.access.key_file(cloud_storage.endpoint))
        with pytest.raises(AccessDenied, match="no token could be fetched"):
            destination(cloud_storage, bucket, service_account_key=json.dumps(key)).store().check()

    @pytest.mark.parametrize("key", ["", "{}", "hunter2", '{"private_key": "hunter2"}', "[1]", "null"])
    def test_text_that_is_no_key(self, cloud_storage: CloudStorage, bucket: str, key: str) -> None:
        with pytest.raises(ConfigError, match="JSON key of a service account") as caught:
            destination(cloud_storage, bucket, service_account_key=key).store().check()
        assert "hunter2" not in "".join(traceback.format_exception(caught.value))

    def test_damaged_private_key(self, cloud_storage: CloudStorage, bucket: str) -> None:
        key = json.loads(cloud_storage.access.key_file(cloud_storage.endpoint))
        key["private_key"] = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n"
        with pytest.raises(ConfigError, match="JSON key of a service account") as caught:
            destination(cloud_storage, bucket, service_account_key=json.dumps(key)).store().check()
        assert "hunter2" not in "".join(traceback.format_exception(caught.value))

    def test_no_default_credentials(self, cloud_storage: CloudStorage, bucket: str) -> None:
        with pytest.raises(AccessDenied, match="GOOGLE_APPLICATION_CREDENTIALS"):
            destination(cloud_storage, bucket).store().check()

    def test_issuer_of_tokens_is_away(self, cloud_storage: CloudStorage, bucket: str) -> None:
        [port] = free_ports(1)
        key = cloud_storage.access.key_file(f"http://127.0.0.1:{port}")
        with pytest.raises(TransientError, match="no token could be fetched"):
            destination(cloud_storage, bucket, service_account_key=key).store().check()

    def test_clock_that_is_wrong(
        self, cloud_storage: CloudStorage, bucket: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Late(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return datetime.now(tz) - timedelta(hours=1)

        monkeypatch.setattr(gcs_hmac, "datetime", Late)
        with pytest.raises(ConfigError, match="set the clock"):
            destination(cloud_storage, bucket, **hmac_key(cloud_storage)).store().check()

    def test_missing_bucket(self, cloud_storage: CloudStorage) -> None:
        store = destination(cloud_storage, "no-such-bucket", **hmac_key(cloud_storage)).store()
        for call in (store.check, lambda: store.put("m", b""), lambda: list(store.list("")), lambda: store.open("m")):
            with pytest.raises(NotFound, match=r"no-such-bucket.*create the bucket"):
                call()

    def test_nobody_listens(self, cloud_storage: CloudStorage, bucket: str) -> None:
        [port] = free_ports(1)
        fields = hmac_key(cloud_storage) | {"endpoint_url": f"http://127.0.0.1:{port}"}
        with pytest.raises(TransientError, match="can be reached"):
            destination(cloud_storage, bucket, **fields).store().check()

    def test_a_password_of_netrc_is_not_sent(
        self, cloud_storage: CloudStorage, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password else\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        destination(cloud_storage, bucket, **hmac_key(cloud_storage)).store().check()

    def test_tls(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with running_cloud_storage(tls=True) as server:
            bucket = server.create_bucket()
            fields = {"bucket": bucket, "endpoint_url": server.endpoint}
            with pytest.raises(ConfigError, match="REQUESTS_CA_BUNDLE"):
                GCSDestination(**fields, **hmac_key(server)).store().check()
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", server.ca_bundle)
            key = server.access.key_file(server.endpoint)
            for way in (hmac_key(server), {"service_account_key": key}):
                deliver_and_remove(GCSDestination(**fields, **way).store())

    @pytest.mark.parametrize(
        ("fields", "text"),
        [
            ({"hmac_access_id": "GOOG"}, "belong together"),
            ({"hmac_secret": "s"}, "belong together"),
            ({"hmac_access_id": "GOOG", "hmac_secret": "s", "service_account_key": "{}"}, "one way to sign in"),
            ({"endpoint_url": "HTTP://127.0.0.1:1"}, "allow_insecure"),
            ({"endpoint_url": "127.0.0.1:1"}, "allow_insecure"),
            ({"folder": "../up"}, "segment"),
        ],
    )
    def test_fields_that_do_not_go_together(self, fields: dict[str, str], text: str) -> None:
        with pytest.raises(ConfigError, match=text):
            GCSDestination(bucket="exports", **fields).build_store()


class GoogleSigning(S3SigV4Auth):
    """AWS's own signing code with Google's words: both follow one process."""

    def canonical_request(self, request: Any) -> str:
        lines = super().canonical_request(request).split("\n")
        return "\n".join([*lines[:-1], request.headers["x-goog-content-sha256"]])

    def signature(self, string_to_sign: str, request: Any) -> str:
        key = ("GOOG4" + self.credentials.secret_key).encode()
        for word in (request.context["timestamp"][:8], "auto", "storage"):
            key = self._sign(key, word)
        return self._sign(self._sign(key, "goog4_request"), string_to_sign, hex=True)

    def string_to_sign(self, request: Any, canonical_request: str) -> str:
        text = super().string_to_sign(request, canonical_request)
        return text.replace("AWS4-HMAC-SHA256", gcs_hmac.ALGORITHM).replace("s3/aws4_request", "storage/goog4_request")


class TestSignature:
    @pytest.mark.parametrize("query", ["", "?uploads=", "?list-type=2&prefix=a%2Fb%20c", "?partNumber=10&uploadId=x"])
    @pytest.mark.parametrize("path", ["/bucket", "/bucket/a/b%20c", "/bucket/%C3%BC~%2B%26"])
    def test_is_that_of_other_code(self, path: str, query: str) -> None:
        headers = {
            "host": "storage.googleapis.com",
            "x-goog-content-sha256": "UNSIGNED-PAYLOAD",
            "x-goog-date": "20261124T100000Z",
            "x-goog-meta-note": "two   spaces",
        }
        signed = gcs_hmac.Signed("PUT", path, query.removeprefix("?"), headers)
        request = AWSRequest("PUT", f"https://storage.googleapis.com{path}{query}", headers=headers)
        request.context["timestamp"] = headers["x-goog-date"]
        signer = GoogleSigning(Credentials("id", "secret"), "storage", "auto")
        signer._region_name, signer._service_name = "auto", "s3"
        text = signer.string_to_sign(request, signer.canonical_request(request))
        ours = gcs_hmac.authorization("id", "secret", signed)
        assert ours.rpartition("Signature=")[2] == signer.signature(text, request)


class TestLeastPrivilege:
    NEEDED = frozenset(json.loads(GCSDestination(bucket="b", folder="f").policy().document)["includedPermissions"])

    def test_what_the_policy_says_is_enough(
        self, cloud_storage: CloudStorage, bucket: str, permitted: Callable[[frozenset[str]], None]
    ) -> None:
        permitted(self.NEEDED)
        deliver_and_remove(destination(cloud_storage, bucket, **hmac_key(cloud_storage)).store())

    @pytest.mark.parametrize("missing", sorted(NEEDED))
    def test_and_all_of_it_is_needed(
        self, cloud_storage: CloudStorage, bucket: str, permitted: Callable[[frozenset[str]], None], missing: str
    ) -> None:
        permitted(self.NEEDED - {missing})
        with pytest.raises(AccessDenied, match=bucket):
            deliver_and_remove(destination(cloud_storage, bucket, **hmac_key(cloud_storage)).store())

    def test_policy_covers_every_operation(self) -> None:
        policy = GCSDestination(bucket="exports", folder="a").policy()
        assert set(policy.permissions) == set(Operation)
        assert any("gs://exports" in note for note in policy.notes)
        assert any("a/" in note for note in policy.notes)


class TestSecrets:
    def test_not_in_errors_and_logs(
        self, cloud_storage: CloudStorage, bucket: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch,
        permitted: Callable[[frozenset[str]], None],
    ) -> None:  # fmt: skip
        caplog.set_level(logging.DEBUG)
        # Sending an alert silences it for the whole process, for what is in addresses there.
        caplog.set_level(logging.DEBUG, logger="urllib3")
        monkeypatch.setattr(logging.getLogger("urllib3"), "propagate", True)
        key = cloud_storage.access.key_file(cloud_storage.endpoint)
        private = json.loads(key)["private_key"].splitlines()[1]
        [port] = free_ports(1)
        away = {"endpoint_url": f"http://127.0.0.1:{port}"}
        permitted(frozenset())
        ways: list[dict[str, str]] = [hmac_key(cloud_storage), {"service_account_key": key}]
        for fields in (*ways, *(way | away for way in ways)):
            with pytest.raises((AccessDenied, TransientError)) as caught:
                destination(cloud_storage, bucket, **fields).store().put("m.json", b"")
            said = "".join(traceback.format_exception(caught.value))
            assert cloud_storage.access.hmac_secret not in said
            assert private not in said
            chained: BaseException | None = caught.value
            while chained is not None:
                assert isinstance(chained, ExportError | Answered)
                chained = chained.__context__
        assert "PUT" in caplog.text
        for secret in (
            cloud_storage.access.hmac_secret,
            private,
            "Signature=",
            "assertion=",
            *cloud_storage.access.tokens,
        ):
            assert secret not in caplog.text

    def test_secret_is_not_shown(self) -> None:
        signed = gcs_hmac.HmacSignIn("GOOG1", "hunter2")
        assert "hunter2" not in repr(signed)


class TestDestination:
    def test_every_field_is_described(self) -> None:
        assert [name for name, field in GCSDestination.model_fields.items() if not field.description] == []

    def test_building_reads_no_secret_and_reaches_nothing(self) -> None:
        store = GCSDestination(bucket="b", hmac_access_id="{file: /no/id}", hmac_secret="{file: /no/secret}").store()
        assert store.uri("x") == "gs://b/x"
        with pytest.raises(ConfigError, match="/no/id"):
            store.check()

    def test_importing_it_loads_no_client_library(self) -> None:
        code = (
            "import sys, dataset_export.destinations.gcs\n"
            "print(sorted({'google.auth', 'google.cloud', 'google_crc32c'} & set(sys.modules)))"
        )
        loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert loaded.stdout == "[]\n"

    def test_dates_are_utc(self, cloud_storage: CloudStorage, bucket: str) -> None:
        store = destination(cloud_storage, bucket, **hmac_key(cloud_storage)).store()
        store.put("m.json", b"{}")
        [entry] = store.list("")
        assert entry.modified.tzinfo is UTC


class TestDeclaration:
    def load(self, tmp_path: Path, fields: str, bucket: str = "b") -> Any:
        attributes = f"id: lab\ntype: google_cloud_storage\nbucket: {bucket}\n{fields}"
        folder = write_project(tmp_path, lab=document("Destination", attributes))
        return load_catalog(defs_folder=folder)

    def test_delivers(
        self, cloud_storage: CloudStorage, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GCS_TEST_SECRET", cloud_storage.access.hmac_secret)
        (tmp_path / "id").write_text(cloud_storage.access.hmac_id)
        fields = (
            f"folder: f\nhmac_access_id: {{file: {tmp_path / 'id'}}}\nhmac_secret: {{env: GCS_TEST_SECRET}}\n"
            f"endpoint_url: {cloud_storage.endpoint}\nallow_insecure: true"
        )
        loaded = self.load(tmp_path, fields, bucket)
        assert loaded.io_manager("lab").hmac_access_id == f"{{file: {tmp_path / 'id'}}}"
        loaded.store("lab").put("m.json", b"{}")
        assert cloud_storage.buckets[bucket].everything() == ["f/m.json"]

    @pytest.mark.parametrize(
        ("fields", "text"),
        [
            ("hmac_secret: {env: X}", "belong together"),
            ("hmac_secret: {env: X}\nhmac_access_id: {env: Y}\nservice_account_key: {env: Z}", "one way to sign in"),
            ("hmac_secret: hunter2\nhmac_access_id: {env: Y}", "a secret is never written here"),
            ("endpoint_url: http://127.0.0.1:1", "allow_insecure"),
            ("endpoint_url: https://me:hunter2@storage.googleapis.com", "password"),
        ],
    )
    def test_refusals(self, tmp_path: Path, fields: str, text: str) -> None:
        with pytest.raises(ConfigError, match=text) as caught:
            self.load(tmp_path, fields)
        assert "hunter2" not in str(caught.value)
