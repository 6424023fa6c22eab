"""A file system of the Data Lake server."""

from dataclasses import dataclass
from typing import Any

import pytest

from dataset_export.destinations.adls_gen2 import ADLSGen2Destination
from dataset_export.destinations.contract import Staged
from dataset_export_tests.places.contract import Place
from dataset_export_tests.servers.dfs import ACCOUNT, DataLake

FOLDER = "team/exports"
WRONG_KEY = "d3Jvbmc="


def open_place(request: pytest.FixtureRequest) -> Place:
    """A folder of a new file system."""
    lake: DataLake = request.getfixturevalue("data_lake")
    file_system = lake.create_file_system()
    client = lake.client(file_system)
    request.addfinalizer(client.close)

    def destination(
        *, port: int = lake.port, file_system: str = file_system, key: str = lake.access.key
    ) -> ADLSGen2Destination:
        return ADLSGen2Destination(
            account=ACCOUNT,
            filesystem=file_system,
            folder=FOLDER,
            endpoint_url=f"http://127.0.0.1:{port}/{ACCOUNT}",
            account_key=key,
            allow_insecure=True,
        )

    return Place(
        "adls_gen2",
        destination(),
        FileSystemWitness(lake, client, file_system),
        refused=destination(key=WRONG_KEY),
        missing=destination(file_system="no-such-filesystem"),
        port=lake.port,
        at_port=lambda other: destination(port=other),
    )


@dataclass(frozen=True)
class FileSystemWitness:
    """The file system, by the server itself and by a client with the key of the account."""

    lake: DataLake
    client: Any
    file_system: str

    def everything(self) -> list[str]:
        return self.lake.file_systems[self.file_system].files()

    def plant(self, path: str, data: bytes) -> None:
        self.client.get_file_client(f"{FOLDER}/{path}").upload_data(data, overwrite=True)

    def damage(self, staged: Staged) -> None:
        file = self.client.get_file_client(f"{FOLDER}/{staged.handle['hidden']}")
        file.upload_data(b"x" * staged.bytes, overwrite=True)
