"""A container of Azurite."""

from dataclasses import dataclass
from typing import Any

import pytest

from dataset_export.destinations.azure_blob import AzureBlobDestination
from dataset_export.destinations.contract import Staged
from dataset_export_tests.places.contract import Place
from dataset_export_tests.servers.azurite import ACCOUNT, KEY, Azurite

FOLDER = "team/exports"
WRONG_KEY = "d3Jvbmc="


def open_place(request: pytest.FixtureRequest) -> Place:
    """A folder of a new container."""
    azurite: Azurite = request.getfixturevalue("azurite")
    container = azurite.create_container()
    client = azurite.client(container)
    request.addfinalizer(client.close)

    def destination(*, port: int = azurite.port, container: str = container, key: str = KEY) -> AzureBlobDestination:
        return AzureBlobDestination(
            account=ACCOUNT,
            container=container,
            folder=FOLDER,
            endpoint_url=f"http://127.0.0.1:{port}/{ACCOUNT}",
            account_key=key,
            allow_insecure=True,
        )

    return Place(
        "azure_blob",
        destination(),
        ContainerWitness(client),
        refused=destination(key=WRONG_KEY),
        missing=destination(container="no-such-container"),
        port=azurite.port,
        at_port=lambda other: destination(port=other),
    )


@dataclass(frozen=True)
class ContainerWitness:
    """The container, by a client with the key of the account."""

    client: Any

    def everything(self) -> list[str]:
        return sorted(blob.name for blob in self.client.list_blobs(include=["uncommittedblobs"]))

    def plant(self, path: str, data: bytes) -> None:
        self.client.get_blob_client(f"{FOLDER}/{path}").upload_blob(data, overwrite=True)

    def damage(self, staged: Staged) -> None:
        """The service would let anyone replace a block by one of the same id and size, and show no difference; what it
        shows is other blocks."""
        blob = self.client.get_blob_client(f"{FOLDER}/{staged.path}")
        blob.delete_blob()
        blob.stage_block("1" * 33, b"x" * staged.bytes)
