"""How a bucket is reached and its objects are kept: fields, roles, TLS, encryption, least privilege, a second server."""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from dataset_export.destinations.policy import Operation
from dataset_export.destinations.s3 import S3Destination, S3Store
from dataset_export.destinations.s3_kept import KeptAs
from dataset_export.destinations.s3_policy import s3_policy
from dataset_export.errors import AccessDenied, ConfigError, Conflict, NotFound
from dataset_export_tests.servers.moto import Moto, running_moto
from dataset_export_tests.servers.weed import ADMIN, REGION, Credentials, Weed

EXTERNAL_ID = "partner-77"
numbers = count()


def at_weed(weed: Weed, bucket: str, **fields: Any) -> S3Destination:
    common: dict[str, Any] = {
        "endpoint_url": weed.endpoint,
        "region_name": REGION,
        "aws_access_key_id": ADMIN.access_key,
        "aws_secret_access_key": ADMIN.secret_key,
        "allow_insecure": True,
    }
    return S3Destination(bucket=bucket, **(common | fields))


def deliver(destination: S3Destination, path: str, data: bytes) -> None:
    store = destination.store()
    store.check()
    with store.stage(path) as upload:
        upload.write(data)
    store.confirm(upload.staged)
    store.publish(upload.staged)
    store.put("m.json", b"{}")
    with store.open(path) as file:
        assert file.read() == data


class TestFields:
    def test_client_has_no_retries_of_its_own(self, weed: Weed, bucket: str) -> None:
        destination = at_weed(weed, bucket, folder="f")
        store = destination.store()
        assert isinstance(store, S3Store)
        store.put("m.json", b"{}")
        assert destination.store() is store
        assert [one.path for one in store.list("")] == ["m.json"]
        assert destination._client().meta.config.retries == {"mode": "standard", "total_max_attempts": 1}

    def test_http_must_be_written_out(self) -> None:
        with pytest.raises(ConfigError, match="allow_insecure"):
            S3Destination(bucket="b", endpoint_url="HTTP://127.0.0.1:1").store()
        S3Destination(bucket="b", endpoint_url="https://127.0.0.1:1").store()

    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({"external_id": "x"}, "role_arn"),
            ({"kms_key_id": "x"}, "server_side_encryption"),
            ({"bucket_key": True, "server_side_encryption": "AES256"}, "server_side_encryption"),
            ({"server_side_encryption": "rot13"}, "AES256, aws:kms"),
            ({"storage_class": "DEEP_ARCHIVE"}, "lifecycle rule"),
        ],
    )
    def test_fields_that_do_not_go_together(self, fields: dict[str, Any], said: str) -> None:
        with pytest.raises(ConfigError, match=said):
            S3Destination(bucket="b", **fields).store()

    @pytest.mark.parametrize(
        ("path_style", "url"),
        [
            (None, "https://exports.s3."),
            (False, "https://exports.s3."),
            (True, "https://s3.eu-north-1.amazonaws.com/exports/"),
        ],
    )
    def test_path_style(self, path_style: bool | None, url: str) -> None:
        destination = S3Destination(
            bucket="exports",
            region_name="eu-north-1",
            path_style=path_style,
            aws_access_key_id="a",
            aws_secret_access_key="s",
        )
        signed = destination._client().generate_presigned_url("get_object", Params={"Bucket": "exports", "Key": "k"})
        assert signed.startswith(url)

    def test_every_field_is_described(self) -> None:
        assert [name for name, field in S3Destination.model_fields.items() if not field.description] == []

    def test_importing_it_loads_no_client_library(self) -> None:
        code = (
            "import sys, dataset_export.destinations.s3, dataset_export.destinations.local as l\n"
            "print(sorted({'boto3', 'botocore', 'dagster_aws', 'urllib3'} & set(sys.modules)))"
        )
        loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert loaded.stdout.strip() == "[]"


class TestCertificates:
    def test_own_authority(self, weed: Weed, bucket: str) -> None:
        tls = {"endpoint_url": weed.tls_endpoint, "allow_insecure": False}
        deliver(at_weed(weed, bucket, ca_bundle=weed.ca_bundle, **tls), "file", bytes(20 << 20))
        # A body that is cut into signed chunks would be kept with that as its encoding by this server.
        assert "ContentEncoding" not in weed.client().head_object(Bucket=bucket, Key="file")

    def test_unknown_authority(self, weed: Weed, bucket: str) -> None:
        with pytest.raises(ConfigError, match="ca_bundle"):
            at_weed(weed, bucket, endpoint_url=weed.tls_endpoint).store().check()

    @pytest.mark.parametrize("content", [None, b"no certificate"])
    def test_bundle_that_is_none(self, weed: Weed, bucket: str, tmp_path: Path, content: bytes | None) -> None:
        bundle = tmp_path / "ca.pem"
        if content is not None:
            bundle.write_bytes(content)
        with pytest.raises(ConfigError, match=r"ca_bundle .*ca\.pem"):
            at_weed(weed, bucket, endpoint_url=weed.tls_endpoint, ca_bundle=str(bundle)).store().check()


class TestKeptAs:
    @pytest.mark.parametrize(
        ("fields", "shown"),
        [
            ({}, {}),
            ({"server_side_encryption": "AES256"}, {"ServerSideEncryption": "AES256"}),
            (
                {"server_side_encryption": "aws:kms", "kms_key_id": "exports"},
                {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "exports"},
            ),
        ],
    )
    def test_encryption(self, weed: Weed, bucket: str, fields: dict[str, Any], shown: dict[str, Any]) -> None:
        deliver(at_weed(weed, bucket, **fields), "file", bytes(20 << 20))
        for key in ("file", "m.json"):
            head = weed.client().head_object(Bucket=bucket, Key=key)
            assert {name: head[name] for name in ("ServerSideEncryption", "SSEKMSKeyId") if name in head} == shown

    def test_storage_class_is_that_of_data_files(self, weed: Weed, bucket: str) -> None:
        deliver(at_weed(weed, bucket, storage_class="STANDARD_IA"), "file", b"rows")
        heads = [weed.client().head_object(Bucket=bucket, Key=key) for key in ("file", "m.json")]
        assert [head.get("StorageClass", "STANDARD") for head in heads] == ["STANDARD_IA", "STANDARD"]

    def test_arguments(self) -> None:
        kept_as = KeptAs("aws:kms", "k", True, "STANDARD_IA").checked()
        encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "k", "BucketKeyEnabled": True}
        assert kept_as.encryption() == encryption
        assert kept_as.file_arguments() == encryption | {"StorageClass": "STANDARD_IA"}


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    with running_moto() as server:
        yield server


@pytest.fixture
def there(moto: Moto) -> str:
    """A new bucket of moto."""
    name = f"exports{next(numbers)}"
    moto.client("s3").create_bucket(Bucket=name)
    return name


def at_moto(moto: Moto, bucket: str, credentials: Credentials, **fields: Any) -> S3Destination:
    return S3Destination(
        bucket=bucket,
        endpoint_url=moto.endpoint,
        region_name=REGION,
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        allow_insecure=True,
        **({"folder": "team"} | fields),
    )


class TestRole:
    @pytest.fixture
    def role(self, moto: Moto, there: str, monkeypatch: pytest.MonkeyPatch) -> str:
        """A role that may deliver to the bucket."""
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto.endpoint)
        policy = json.loads(s3_policy(there, "team").document)
        return moto.role(f"role-{there}", policy, external_id=EXTERNAL_ID)

    @pytest.fixture
    def assumer(self, moto: Moto, role: str) -> Credentials:
        """A user who may assume the role and nothing else."""
        statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": role}
        return moto.user(f"assumer{next(numbers)}", {"Version": "2012-10-17", "Statement": [statement]})

    def test_delivers_as_the_role(self, moto: Moto, there: str, role: str, assumer: Credentials) -> None:
        with pytest.raises(AccessDenied):
            at_moto(moto, there, assumer).store().check()
        deliver(at_moto(moto, there, assumer, role_arn=role, external_id=EXTERNAL_ID), "file", b"rows")

    def test_wrong_external_id(self, moto: Moto, there: str, role: str, assumer: Credentials) -> None:
        with pytest.raises(AccessDenied, match="the request for the role"):
            at_moto(moto, there, assumer, role_arn=role, external_id="someone-else").store().check()

    def test_no_credentials_to_assume_it(
        self, moto: Moto, there: str, role: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
        destination = S3Destination(
            bucket=there, endpoint_url=moto.endpoint, region_name=REGION, allow_insecure=True, role_arn=role
        )
        with pytest.raises(AccessDenied, match=f"assume the role {role}"):
            destination.store().check()

    def test_credentials_are_renewed_during_an_export(
        self, moto: Moto, there: str, role: str, assumer: Credentials, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        destination = at_moto(moto, there, assumer, role_arn=role, external_id=EXTERNAL_ID)
        client = destination._client()
        store = S3Store(lambda: client, there, "team", part_size=8 << 20)
        credentials = client._request_signer._credentials
        with store.stage("file") as upload:
            upload.write(bytes(8 << 20))
            first = credentials.get_frozen_credentials()
            credentials._expiry_time -= timedelta(minutes=59)  # closer to the end than it waits with a renewal
            credentials._refresh_using.__self__._cache.clear()
            upload.write(bytes(8 << 20))
        store.confirm(upload.staged)
        store.publish(upload.staged)
        assert credentials.get_frozen_credentials().token != first.token
        assert assumer.secret_key not in caplog.text
        assert first.secret_key not in caplog.text


class TestPolicy:
    def test_document_is_enough_and_no_more(self, moto: Moto, there: str) -> None:
        user = moto.user(f"user{next(numbers)}", json.loads(s3_policy(there, "team").document))
        destination = at_moto(moto, there, user)
        deliver(destination, "a/file", b"rows")
        store = destination.store()
        store.put("m.json", b"[]", replace=True)
        with pytest.raises(FileNotFoundError):
            store.open("missing")
        with store.stage("b") as upload:
            upload.write(b"rows")
        store.discard(upload.staged)
        with store.stage("c") as upload:
            upload.write(b"rows")
        [leftover] = store.leftovers()
        store.discard_leftover(leftover)
        assert [one.path for one in store.list("")] == ["a/file", "m.json"]
        store.delete("m.json")
        moto.client("s3").put_object(Bucket=there, Key="other/file", Body=b"theirs")
        other = at_moto(moto, there, user, folder="other").store()
        for call in (lambda: other.open("file"), lambda: other.put("m", b""), lambda: other.delete("file")):
            with pytest.raises(AccessDenied):
                call()

    @pytest.mark.parametrize(
        ("key", "resource"),
        [
            ("arn:aws:kms:eu-west-1:1:key/k", "arn:aws:kms:eu-west-1:1:key/k"),
            ("1234-ab", "arn:aws:kms:*:*:key/1234-ab"),
            ("alias/exports", "*"),
            ("arn:aws:kms:eu-west-1:1:alias/exports", "*"),
        ],
    )
    def test_key(self, key: str, resource: str) -> None:
        fields = {"server_side_encryption": "aws:kms", "kms_key_id": key}
        policy = S3Destination(bucket="b", **fields).policy()
        [*_, statement] = json.loads(policy.document)["Statement"]
        assert (statement["Action"], statement["Resource"]) == (["kms:GenerateDataKey", "kms:Decrypt"], resource)
        if resource == "*":
            assert statement["Condition"] == {"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/exports"}}
        assert "kms:GenerateDataKey" in policy.permissions[Operation.STAGE]

    def test_role(self) -> None:
        policy = S3Destination(bucket="b", role_arn="arn:aws:iam::1:role/r", external_id="x7").policy()
        assert "sts:AssumeRole" in policy.permissions[Operation.CHECK]
        assert "role/r" in policy.notes[0]
        assert "sts:AssumeRole" in policy.notes[1]
        assert "x7" in policy.notes[1]

    def test_permissions_are_those_of_the_document(self) -> None:
        policy = s3_policy("b", "f", kms_key="k")
        actions = {action for one in json.loads(policy.document)["Statement"] for action in one["Action"]}
        assert {one for operation in Operation for one in policy.permissions[operation]} == actions


class TestSecondServer:
    def test_whole_protocol(self, moto: Moto, there: str) -> None:
        destination = at_moto(moto, there, moto.admin)
        deliver(destination, "a/file", bytes(20 << 20))
        store = destination.store()
        with store.stage("a/file") as upload:
            upload.write(b"other bytes")
        with pytest.raises(Conflict):
            store.publish(upload.staged)
        [leftover] = store.leftovers()
        assert leftover.path == "a/file"
        store.discard(upload.staged)
        assert list(store.leftovers()) == []
        store.put("m.json", b"{}")
        with pytest.raises(Conflict):
            store.put("m.json", b"[]")
        for number in range(5):
            store.put(f"b/{number}", b"")
        assert [one.path for one in store.list("b")] == [f"b/{number}" for number in range(5)]

    def test_wrong_secret_and_missing_bucket(self, moto: Moto, there: str) -> None:
        wrong = Credentials(moto.admin.access_key, "wrong")
        with pytest.raises(AccessDenied, match="SignatureDoesNotMatch"):
            at_moto(moto, there, wrong).store().check()
        with pytest.raises(NotFound):
            at_moto(moto, "no-such-bucket", moto.admin).store().check()
