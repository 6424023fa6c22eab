"""The servers that the uploads of `benchmarks.destinations` go to: those of the tests, started anew for every upload.

So no client meets what another one left, and no server holds more than one file.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

KEY = "uploads/file.bin"

Address = Mapping[str, str]


@dataclass(frozen=True)
class Place:
    """An empty place at a running server: what a client is told of it, and the bytes that it holds at `KEY`."""

    address: Address
    held: Callable[[], int]


@contextmanager
def local() -> Generator[Place]:
    """A folder."""
    with TemporaryDirectory(prefix="folder-") as folder:
        yield Place({"folder": folder}, lambda: (Path(folder) / KEY).stat().st_size)


@contextmanager
def amazon_s3() -> Generator[Place]:
    """A bucket of SeaweedFS."""
    from dataset_export_tests.servers.weed import ADMIN, REGION, running_weed

    with running_weed() as server:
        bucket = server.create_bucket()
        address = {
            "endpoint": server.endpoint,
            "bucket": bucket,
            "region": REGION,
            "key": ADMIN.access_key,
            "secret": ADMIN.secret_key,
        }
        yield Place(address, lambda: server.client().head_object(Bucket=bucket, Key=KEY)["ContentLength"])


@contextmanager
def google_cloud_storage() -> Generator[Place]:
    """A bucket of the tests' own server of the XML API."""
    from dataset_export_tests.servers.gcs import running_cloud_storage

    with running_cloud_storage() as server:
        bucket = server.create_bucket()
        address = {
            "endpoint": server.endpoint,
            "bucket": bucket,
            "service_account": server.access.key_file(server.endpoint),
            "token": server.access.token(),
        }
        yield Place(address, lambda: server.buckets[bucket].objects[KEY].body.bytes)


@contextmanager
def azure_blob() -> Generator[Place]:
    """A container of Azurite."""
    from dataset_export_tests.servers import azurite

    with azurite.running_azurite() as server:
        container = server.create_container()
        address = {"endpoint": server.endpoint, "container": container, "account": azurite.ACCOUNT, "key": azurite.KEY}

        def held() -> int:
            with server.client(container) as client:
                return client.get_blob_client(KEY).get_blob_properties().size

        yield Place(address, held)


@contextmanager
def adls_gen2() -> Generator[Place]:
    """A file system of the tests' own Data Lake server."""
    from dataset_export_tests.servers.dfs import ACCOUNT, running_data_lake

    with running_data_lake() as server:
        file_system = server.create_file_system()
        address = {
            "endpoint": server.endpoint,
            "file_system": file_system,
            "account": ACCOUNT,
            "key": server.access.key,
        }

        def held() -> int:
            with server.client(file_system) as client:
                return client.get_file_client(KEY).get_file_properties().size

        yield Place(address, held)


@contextmanager
def sftp() -> Generator[Place]:
    """A folder of OpenSSH's server."""
    from dataset_export_tests.servers.openssh import SERVER_KEYS, running_openssh

    with running_openssh() as server, TemporaryDirectory(prefix="folder-") as folder:
        known_hosts = server.folder / "known_hosts"
        # Clients differ in which kind of key they ask for.
        known_hosts.write_text("".join(server.known_hosts(kind) for kind in SERVER_KEYS))
        (Path(folder) / KEY).parent.mkdir()
        # ssh takes no key that others may read.
        (server.folder / "client").chmod(0o600)
        address = {
            "port": str(server.port),
            "username": server.username,
            "folder": folder,
            "key_file": str(server.folder / "client"),
            "known_hosts": str(known_hosts),
        }
        yield Place(address, lambda: (Path(folder) / KEY).stat().st_size)


SERVERS: Mapping[str, Callable[[], AbstractContextManager[Place]]] = {
    "amazon_s3": amazon_s3,
    "google_cloud_storage": google_cloud_storage,
    "azure_blob": azure_blob,
    "sftp": sftp,
    "adls_gen2": adls_gen2,
    "local": local,
}
