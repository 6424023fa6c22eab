"""A real S3 server for the tests: SeaweedFS on loopback, with four identities and a fresh data folder."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_export_tests.servers.certificates import write_certificates

REGION = "us-east-1"
START_TIMEOUT = 60.0


@dataclass(frozen=True)
class Credentials:
    """A key pair the server knows."""

    access_key: str
    secret_key: str


ADMIN = Credentials("testadmin", "testsecret123")
READ_ONLY = Credentials("testreader", "readsecret123")
ONE_BUCKET = Credentials("testone", "onesecret123")
MARKED = Credentials(f"MARKED{secrets.token_hex(8).upper()}", f'Zq8+/=&"<é\\{secrets.token_hex(12)}')
"""An administrator whose secret tests plant and search for; what is in it has to be quoted somewhere."""
ONE_BUCKET_NAME = "exports"
"""The bucket `ONE_BUCKET` may read, write and list; it may do nothing elsewhere."""


@dataclass(frozen=True)
class Weed:
    """A running server. `endpoint` is the URL of its S3 port, `tls_endpoint` of the one with TLS; its certificate is by
    the authority of the file `ca_bundle`; `iceberg_endpoint` is a REST catalog of Iceberg tables in its buckets."""

    endpoint: str
    tls_endpoint: str = ""
    ca_bundle: str = ""
    iceberg_endpoint: str = ""

    def client(self, credentials: Credentials = ADMIN) -> Any:
        """A boto3 client that speaks to this server as `credentials`, without retries of its own."""
        import boto3
        from botocore.config import Config

        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=credentials.access_key,
            aws_secret_access_key=credentials.secret_key,
            config=Config(retries={"mode": "standard", "total_max_attempts": 1}),
        )

    def create_bucket(self, name: str | None = None) -> str:
        """Create a bucket (a random name without one) and return its name."""
        name = name or f"b{secrets.token_hex(8)}"
        self.client().create_bucket(Bucket=name)
        return name


@contextmanager
def running_weed() -> Iterator[Weed]:
    """Start the server, wait until it takes a write, and kill it by its pid at the end.

    It is killed with SIGKILL: an orderly stop takes more than ten seconds and nothing of it is kept.
    """
    folder = Path(tempfile.mkdtemp(prefix="weed-"))
    master, volume, filer, s3, tls, iceberg = free_ports(6)
    (folder / "s3.json").write_text(json.dumps(_identities()))
    (folder / "data").mkdir()
    write_certificates(folder)
    command = [
        str(Path(sys.executable).parent / "weed"), "-logtostderr", "server",
        "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder / 'data'}",
        f"-master.port={master}", "-master.telemetry=false", "-master.volumeSizeLimitMB=1024",
        "-master.volumePreallocate=false", f"-volume.port={volume}", "-volume.max=10000",
        "-filer", f"-filer.port={filer}",
        "-s3", f"-s3.port={s3}", f"-s3.port.https={tls}",
        f"-s3.cert.file={folder / 'server.pem'}", f"-s3.key.file={folder / 'server.key'}",
        f"-s3.port.iceberg={iceberg}", "-s3.port.lance=0", f"-s3.config={folder / 's3.json'}", "-s3.autoCreateBucket=false",
    ]  # fmt: skip
    environment = {**os.environ, "TMPDIR": str(folder), "WEED_S3_SSE_KEK": secrets.token_hex(32)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=folder)
    try:
        server = Weed(
            f"http://127.0.0.1:{s3}",
            f"https://127.0.0.1:{tls}",
            str(folder / "ca.pem"),
            f"http://127.0.0.1:{iceberg}",
        )
        _wait_until_writable(server, process, folder / "log")
        yield server
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    """Loopback ports that are free now, and whose gRPC twin (port + 10000) is free too."""
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as probe, socket.socket() as twin:
            # Below the range that the kernel hands out to clients: no connection takes it before the server does.
            port = 12000 + secrets.randbelow(10000)
            try:
                probe.bind(("127.0.0.1", port))
                twin.bind(("127.0.0.1", port + 10000))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found


def _identities() -> dict[str, Any]:
    def identity(name: str, credentials: Credentials, *actions: str) -> dict[str, Any]:
        pair = {"accessKey": credentials.access_key, "secretKey": credentials.secret_key}
        return {"name": name, "credentials": [pair], "actions": list(actions)}

    return {
        "identities": [
            identity("admin", ADMIN, "Admin", "Read", "List", "Tagging", "Write"),
            identity("marked", MARKED, "Admin", "Read", "List", "Tagging", "Write"),
            identity("readonly", READ_ONLY, "Read", "List"),
            identity("onebucket", ONE_BUCKET, *(f"{action}:{ONE_BUCKET_NAME}" for action in ("Read", "Write", "List"))),
        ],
        "kms": {"default_provider": "local", "providers": {"local": {"type": "local", "enableOnDemandCreate": True}}},
    }


def _wait_until_writable(server: Weed, process: "subprocess.Popen[bytes]", log: Path) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    client = server.client()
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        try:
            client.create_bucket(Bucket="ready")
            client.put_object(Bucket="ready", Key="probe", Body=b"x")
        except (BotoCoreError, ClientError) as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"weed did not start: {error}; its log ends: {log.read_text()[-2000:]}") from error
            time.sleep(0.1)
        else:
            return
