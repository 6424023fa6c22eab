"""Every way to sign in to every type of destination and to the lake, with secrets that a search can tell from chance."""

import json
import re
import secrets
import string
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncssh
import pytest

from dataset_export_tests.secrets.search import SHORTEST, Written, files
from dataset_export_tests.servers.azurite import ACCOUNT as BLOB_ACCOUNT
from dataset_export_tests.servers.azurite import KEY as BLOB_KEY
from dataset_export_tests.servers.azurite import Azurite
from dataset_export_tests.servers.dfs import ACCOUNT as LAKE_ACCOUNT
from dataset_export_tests.servers.dfs import TENANT, DataLake, running_data_lake
from dataset_export_tests.servers.gcs import CloudStorage
from dataset_export_tests.servers.moto import Moto, running_moto
from dataset_export_tests.servers.openssh import OpenSSH
from dataset_export_tests.servers.proftpd import PASSWORD, USERNAME, ProFTPD, running_proftpd
from dataset_export_tests.servers.weed import MARKED, REGION, Credentials, Weed

FOLDER = "team/exports"
EXTERNAL_ID = "partner-77"
EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
PASSPHRASE = f'Zq8+/=&"<é\\{secrets.token_hex(12)}'
"""With everything in it that has to be quoted somewhere."""


@dataclass(frozen=True)
class Way:
    """One way to sign in.

    Attributes:
        id: of the destination, or of the dataset.
        type: of the destination; "" for a dataset.
        fields: as in YAML, without secrets.
        secrets: by field.
        container: the field that names what has to exist; "" where nothing has to.
        endpoint: the field, or the secret, in which the address stands; "" for none.
    """

    id: str
    type: str
    fields: Mapping[str, Any]
    secrets: Mapping[str, str]
    container: str = ""
    endpoint: str = ""

    @property
    def marks(self) -> set[str]:
        """What must not be written anywhere."""
        return {mark for secret in self.secrets.values() for mark in marks_of(secret)}

    def with_wrong_secrets(self) -> "Way":
        """The same, with secrets that look right and are not."""
        return replace(self, secrets={name: wrong(secret) for name, secret in self.secrets.items()})

    def with_malformed_secrets(self) -> "Way":
        """The same, with a line break and a letter that no header takes in each secret: two lines were pasted into a file."""
        return replace(self, secrets={name: malformed(secret) for name, secret in self.secrets.items()})

    def without_container(self) -> "Way":
        """The same, at a place that does not exist."""
        name = "no-such-container"
        if not self.type:
            return replace(self, fields={**self.fields, "location": f"s3://{name}/lake/{self.id}"})
        if self.container in self.secrets:
            uri = re.sub(r"/[^/?]+\?", f"/{name}?", self.secrets[self.container])
            return replace(self, secrets={**self.secrets, self.container: uri})
        return replace(self, fields={**self.fields, self.container: name})

    def at(self, endpoint: str) -> "Way":
        """The same, at another server: what stands before the path is exchanged."""
        if self.endpoint in self.secrets:
            moved = re.sub(r"https?://127\.0\.0\.1:\d+", endpoint, self.secrets[self.endpoint])
            return replace(self, secrets={**self.secrets, self.endpoint: moved})
        before: str = self.fields[self.endpoint]
        return replace(self, fields={**self.fields, self.endpoint: endpoint + urlsplit(before).path})


def marks_of(secret: str) -> set[str]:
    """The parts of a secret by which it is recognised: the lines of a key, the signature of a SAS, the key of a connection
    string, or all of it."""
    if "PRIVATE KEY" in secret:
        # In JSON its line breaks are written out.
        lines = re.split(r"\\n|\n", secret.partition("PRIVATE KEY-----")[2].partition("-----END")[0])
        return {line.strip() for line in lines if len(line.strip()) >= SHORTEST}
    signatures = {unquote(one) for one in re.findall(r"\bsig=([^&;\s]+)", secret)}
    keys = set(re.findall(r"AccountKey=([^;]+)", secret))
    passwords = set(re.findall(r"://[^:/]+:([^@/]+)@", secret))
    whole = signatures | keys | passwords or {secret}
    return {line for mark in whole for line in mark.splitlines() if len(line) >= SHORTEST}


def wrong(secret: str) -> str:
    """A secret of the same form that opens nothing."""
    if secret.startswith("{"):
        other = asyncssh.generate_private_key("ssh-rsa").export_private_key("pkcs8-pem").decode()
        return json.dumps({**json.loads(secret), "private_key": other})
    if "PRIVATE KEY" in secret:
        key = asyncssh.generate_private_key("ssh-ed25519")
        return key.export_private_key("openssh", passphrase=PASSPHRASE).decode()
    if secret == PASSPHRASE:
        return secret
    other = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(40))
    if "sig=" in secret:
        return re.sub(r"sig=[^&;]+", f"sig={other}%3D", secret)
    if "AccountKey=" in secret:
        return re.sub(r"AccountKey=[^;]+", f"AccountKey={other}", secret)
    return other


def malformed(secret: str) -> str:
    """Broken in the middle."""
    middle = len(secret) // 2
    return f"{secret[:middle]}é\n{secret[middle:]}"


@dataclass(frozen=True)
class Servers:
    """The servers that let the planted secrets in."""

    weed: Weed
    moto: Moto
    gcs: CloudStorage
    azurite: Azurite
    lake: DataLake
    tls_lake: DataLake
    openssh: OpenSSH
    proftpd: ProFTPD
    folder: Path

    @cached_property
    def session(self) -> dict[str, str]:
        """Temporary credentials, with a session token, that moto issued for a role."""
        role = self.moto.role("planted", EVERYTHING, external_id=EXTERNAL_ID)
        answer = self.moto.client("sts").assume_role(
            RoleArn=role, RoleSessionName="planted", ExternalId=EXTERNAL_ID, DurationSeconds=3600
        )["Credentials"]
        # What all of its tokens begin with is no secret.
        return {name: answer[name] for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")}

    @cached_property
    def places(self) -> Mapping[str, str]:
        """Names of new containers: of the lake in the two S3 servers, and of each destination."""
        self.moto.client("s3").create_bucket(Bucket="planted")
        return {
            "weed": self.weed.create_bucket(),
            "moto": "planted",
            "gcs": self.gcs.create_bucket(),
            "azurite": self.azurite.create_container(),
            "lake": self.lake.create_file_system(),
            "tls_lake": self.tls_lake.create_file_system(),
        }

    def datasets(self) -> list[Way]:
        """Tables of the lake, with secrets among their storage options."""
        session = self.session
        return [
            _dataset("orders", self.weed.endpoint, self.places["weed"], MARKED, {}),
            _dataset(
                "orders_by_token",
                self.moto.endpoint,
                self.places["moto"],
                Credentials(session["AccessKeyId"], session["SecretAccessKey"]),
                {"AWS_SESSION_TOKEN": session["SessionToken"]},
            ),
        ]

    def destinations(self) -> list[Way]:
        """Each type of destination, and each way to sign in to it."""
        return [*self._buckets(), *self._azure(), *self._sftp()]

    def _buckets(self) -> Iterator[Way]:
        places, session = self.places, self.session
        s3: dict[str, Any] = {"folder": FOLDER, "region": REGION, "allow_insecure": True}
        yield Way(
            "s3_key", "amazon_s3", {**s3, "bucket": places["weed"], "endpoint_url": self.weed.endpoint},
            {"access_key_id": MARKED.access_key, "secret_access_key": MARKED.secret_key},
            container="bucket", endpoint="endpoint_url",
        )  # fmt: skip
        yield Way(
            "s3_session", "amazon_s3", {**s3, "bucket": places["moto"], "endpoint_url": self.moto.endpoint},
            {
                "access_key_id": session["AccessKeyId"],
                "secret_access_key": session["SecretAccessKey"],
                "session_token": session["SessionToken"],
            },
            container="bucket", endpoint="endpoint_url",
        )  # fmt: skip
        gcs: dict[str, Any] = {"folder": FOLDER, "bucket": places["gcs"], "endpoint_url": self.gcs.endpoint}
        gcs["allow_insecure"] = True
        access = self.gcs.access
        yield Way(
            "gcs_hmac", "google_cloud_storage", gcs,
            {"hmac_access_id": access.hmac_id, "hmac_secret": access.hmac_secret},
            container="bucket", endpoint="endpoint_url",
        )  # fmt: skip
        yield Way(
            "gcs_account", "google_cloud_storage", {**gcs, "folder": f"{FOLDER}/account"},
            {"service_account_key": access.key_file(self.gcs.endpoint)},
            container="bucket", endpoint="endpoint_url",
        )  # fmt: skip

    def _azure(self) -> Iterator[Way]:
        blob: dict[str, Any] = {"container": self.places["azurite"], "allow_insecure": True}
        sas = self.azurite.sas(self.places["azurite"], lasts=timedelta(hours=2))
        yield from _account("blob", "azure_blob", blob, BLOB_ACCOUNT, self.azurite.endpoint, BLOB_KEY, sas)
        uri = f"{self.azurite.endpoint}/{self.places['azurite']}?{sas}"
        zone: dict[str, Any] = {"allow_insecure": True}
        yield Way(
            "zone", "data_landing_zone", {**zone, "folder": "zone"}, {"sas_uri": uri},
            container="sas_uri", endpoint="sas_uri",
        )  # fmt: skip
        lake: dict[str, Any] = {"filesystem": self.places["lake"], "allow_insecure": True}
        sas = self.lake.sas(self.places["lake"], lasts=timedelta(hours=2))
        yield from _account("lake", "adls_gen2", lake, LAKE_ACCOUNT, self.lake.endpoint, self.lake.access.key, sas)
        yield Way(
            "zone_by_command",
            "data_landing_zone",
            {**zone, "folder": "by-command", "refresh_command": self._printing(uri)},
            {},
        )
        principal = self.tls_lake.access.principal
        fields = {
            "filesystem": self.places["tls_lake"], "folder": FOLDER, "account": LAKE_ACCOUNT,
            "endpoint_url": self.tls_lake.endpoint, "tenant_id": TENANT, "client_id": principal.client_id,
        }  # fmt: skip
        yield Way(
            "lake_principal", "adls_gen2", fields, {"client_secret": principal.secret},
            container="filesystem", endpoint="endpoint_url",
        )  # fmt: skip

    def failing(self) -> Iterator[Way]:
        """Ways that no server lets in: Azurite knows no tokens without TLS."""
        principal = self.tls_lake.access.principal
        fields = {
            "container": "exports", "account": LAKE_ACCOUNT, "endpoint_url": self.tls_lake.endpoint,
            "tenant_id": TENANT, "client_id": principal.client_id,
        }  # fmt: skip
        yield Way(
            "blob_principal", "azure_blob", fields, {"client_secret": principal.secret},
            container="container", endpoint="endpoint_url",
        )  # fmt: skip

    def _printing(self, text: str) -> list[str]:
        """A command that prints this."""
        file = self.folder / "printed"
        file.write_text(text)
        return [sys.executable, "-c", "import sys; print(open(sys.argv[1]).read())", str(file)]

    def _sftp(self) -> Iterator[Way]:
        yield Way(
            "sftp_password", "sftp",
            {
                "host": "127.0.0.1", "port": self.proftpd.port, "username": USERNAME, "folder": "exports",
                "host_key_fingerprint": self.proftpd.fingerprint,
            },
            {"password": PASSWORD},
        )  # fmt: skip
        key = asyncssh.import_private_key(self.openssh.private_key)
        yield Way(
            "sftp_key", "sftp",
            {
                "host": "127.0.0.1", "port": self.openssh.port, "username": self.openssh.username,
                "folder": str(self.folder / "sftp"), "host_key_fingerprint": self.openssh.fingerprint(),
            },
            {
                "private_key": key.export_private_key("openssh", passphrase=PASSPHRASE).decode(),
                "passphrase": PASSPHRASE,
            },
        )  # fmt: skip

    def delivered(self) -> Iterator[Written]:
        """Everything that lies at the destinations, names and contents, visible or not."""
        for name, client in (("weed", self.weed.client()), ("moto", self.moto.client("s3"))):
            bucket = self.places[name]
            for one in client.list_objects_v2(Bucket=bucket).get("Contents", []):
                body = client.get_object(Bucket=bucket, Key=one["Key"])
                yield Written(f"{name}: {one['Key']}", body["Body"].read())
                yield Written(f"{name}: metadata of {one['Key']}", repr(body["Metadata"]).encode())
        with self.azurite.client(self.places["azurite"]) as container:
            for blob in container.list_blobs(include=["metadata", "uncommittedblobs"]):
                yield Written(f"azurite: metadata of {blob.name}", repr(blob.metadata).encode())
                if blob.size:
                    yield Written(f"azurite: {blob.name}", container.download_blob(blob.name).readall())
        for folder in (
            self.gcs.folder,
            self.lake.folder,
            self.tls_lake.folder,
            self.proftpd.folder,
            self.folder / "sftp",
        ):
            yield from files(folder)
        for name in self.gcs.buckets[self.places["gcs"]].everything():
            yield Written(f"gcs: {name}", b"")


def _dataset(id_: str, endpoint: str, bucket: str, credentials: Credentials, more: Mapping[str, str]) -> Way:
    keys = {"AWS_ACCESS_KEY_ID": credentials.access_key, "AWS_SECRET_ACCESS_KEY": credentials.secret_key}
    options = {"AWS_REGION": REGION, "AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true"}
    return Way(
        id_, "", {"location": f"s3://{bucket}/lake/{id_}", **options}, {**keys, **more}, endpoint="AWS_ENDPOINT_URL"
    )


def _account(
    name: str, type_: str, fields: Mapping[str, Any], account: str, endpoint: str, key: str, sas: str
) -> Iterator[Way]:
    """An account of Azure by its connection string, its key, and a SAS."""
    container = "container" if "container" in fields else "filesystem"
    services = ("Blob", "Dfs") if type_ == "adls_gen2" else ("Blob",)
    endpoints = "".join(f"{service}Endpoint={endpoint};" for service in services)
    text = f"DefaultEndpointsProtocol=http;AccountName={account};AccountKey={key};{endpoints}"
    yield Way(
        f"{name}_string", type_, {**fields, "folder": "string"}, {"connection_string": text},
        container=container, endpoint="connection_string",
    )  # fmt: skip
    fields = {**fields, "account": account, "endpoint_url": endpoint}
    for way, secret in (("account_key", key), ("sas_token", sas)):
        yield Way(
            f"{name}_{way}", type_, {**fields, "folder": way}, {way: secret},
            container=container, endpoint="endpoint_url",
        )  # fmt: skip


@contextmanager
def running_servers(request: pytest.FixtureRequest, folder: Path) -> Iterator[Servers]:
    """Those of the test session, and the ones that nothing else needs."""
    (folder / "sftp").mkdir()
    with ExitStack() as stack:
        yield Servers(
            request.getfixturevalue("weed"),
            stack.enter_context(running_moto()),
            request.getfixturevalue("cloud_storage"),
            request.getfixturevalue("azurite"),
            request.getfixturevalue("data_lake"),
            stack.enter_context(running_data_lake(tls=True)),
            request.getfixturevalue("openssh"),
            stack.enter_context(running_proftpd()),
            folder,
        )
