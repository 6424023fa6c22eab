"""A container of Azurite, by its SAS URI."""

from datetime import timedelta
from pathlib import Path

import pytest

from dataset_export.destinations.data_landing_zone import DataLandingZoneDestination
from dataset_export_tests.places.azure_blob import FOLDER, ContainerWitness
from dataset_export_tests.places.contract import Place
from dataset_export_tests.servers.azurite import ACCOUNT, Azurite


def open_place(request: pytest.FixtureRequest) -> Place:
    """A folder of a new container."""
    azurite: Azurite = request.getfixturevalue("azurite")
    folder: Path = request.getfixturevalue("tmp_path")
    container = azurite.create_container()
    client = azurite.client(container)
    request.addfinalizer(client.close)

    def destination(
        *, port: int = azurite.port, container: str = container, damage: str = ""
    ) -> DataLandingZoneDestination:
        signature = azurite.sas(container, lasts=timedelta(hours=1)).replace("sig=", f"sig={damage}")
        file = folder / f"sas-{port}-{container}{damage}"
        file.write_text(f"http://127.0.0.1:{port}/{ACCOUNT}/{container}?{signature}\n")
        return DataLandingZoneDestination(sas_uri=f"{{file: {file}}}", folder=FOLDER, allow_insecure=True)

    return Place(
        "data_landing_zone",
        destination(),
        ContainerWitness(client),
        refused=destination(damage="AAAA"),
        missing=destination(container="no-such-container"),
        port=azurite.port,
        at_port=lambda other: destination(port=other),
    )
