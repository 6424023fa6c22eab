"""A shared access signature that really expires in the middle of an export: renewed where that is configured, else an
export that fails clearly, leaves nothing, and is whole with a new one."""

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from dataset_export.destinations.azure_blob_upload import DEFAULT_BLOCK_BYTES
from dataset_export.destinations.contract import Store
from dataset_export.destinations.data_landing_zone import DataLandingZoneDestination
from dataset_export.errors import AccessDenied
from dataset_export_tests.faults.delivery import Delivery, also
from dataset_export_tests.places.azure_blob import FOLDER
from dataset_export_tests.places.contract import Place
from dataset_export_tests.servers.azurite import Azurite
from dataset_export_tests.servers.dfs import DataLake

SOON = timedelta(seconds=3)
LATER = timedelta(hours=1)
Sign = Callable[[timedelta], str]


@pytest.fixture
def sign(place: Place, request: pytest.FixtureRequest) -> Sign:
    """Makes a signature for the container of `place` that lasts so long."""
    if place.kind == "adls_gen2":
        lake: DataLake = request.getfixturevalue("data_lake")
        return lambda lasts: lake.sas(vars(place.witness)["file_system"], lasts=lasts)
    azurite: Azurite = request.getfixturevalue("azurite")
    return lambda lasts: azurite.sas(vars(place.witness)["client"].container_name, lasts=lasts)


@pytest.mark.parametrize("place", ["azure_blob", "adls_gen2"], indirect=True)
def test_p1_p6_sas_token_expires_before_publication(place: Place, sign: Sign, lake: str) -> None:
    fields = place.destination.model_dump() | {"account_key": None, "sas_token": sign(SOON)}
    delivery = Delivery(place, type(place.destination)(**fields).build_store(), lake)
    with pytest.raises(AccessDenied, match="credentials"):
        delivery.run(publish=has_expired(delivery.through))
    delivery.assert_nothing_but_theirs()
    renewed = type(place.destination)(**fields | {"sas_token": sign(LATER)})
    delivery = Delivery(place, renewed.build_store(), lake)
    delivery.run()
    delivery.assert_delivered()


@pytest.mark.parametrize("place", ["data_landing_zone"], indirect=True)
class TestLandingZone:
    """Its SAS URI is renewed during the export, by the file or by the command."""

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        return tmp_path / "sas-uri"

    @pytest.fixture
    def uri(self, place: Place, sign: Sign) -> Sign:
        address = vars(place.witness)["client"].url
        return lambda lasts: f"{address}?{sign(lasts)}"

    @pytest.mark.parametrize("step", [also("stage"), "publish", also("put_manifest")])
    def test_p4_file_is_read_again(self, place: Place, uri: Sign, file: Path, lake: str, step: str) -> None:
        file.write_text(uri(SOON))
        delivery = Delivery(place, zone(file).build_store(), lake)
        expired = has_expired(delivery.through)

        def expire_and_renew() -> None:
            expired()
            file.write_text(uri(LATER))

        delivery.run(**{step: expire_and_renew})
        delivery.assert_delivered()

    def test_p4_command_is_run(self, place: Place, uri: Sign, file: Path, lake: str, tmp_path: Path) -> None:
        file.write_text(uri(SOON))
        new = tmp_path / "new-uri"
        new.write_text(uri(LATER))
        code = "import pathlib, sys; print(pathlib.Path(sys.argv[1]).read_text())"
        delivery = Delivery(place, zone(file, sys.executable, "-c", code, str(new)).build_store(), lake)
        # The command has renewed it long before it expires: five minutes before, and this one lasts seconds.
        delivery.run(publish=lambda: time.sleep(SOON.total_seconds() + 1))
        delivery.assert_delivered()

    def test_in_the_middle_of_a_file(self, uri: Sign, file: Path) -> None:
        file.write_text(uri(SOON))
        store = zone(file).build_store()
        expired, part = has_expired(store), bytes(DEFAULT_BLOCK_BYTES)
        with store.stage("file") as upload:
            upload.write(part)
            upload.write(part)
            expired()
            file.write_text(uri(LATER))
            upload.write(part)
            upload.write(b"end")
        store.confirm(upload.staged)
        store.publish(upload.staged)
        assert [entry.bytes for entry in store.list("")] == [3 * DEFAULT_BLOCK_BYTES + 3]

    def test_p1_p6_nobody_renews_it(self, place: Place, uri: Sign, file: Path, lake: str) -> None:
        file.write_text(uri(SOON))
        delivery = Delivery(place, zone(file).build_store(), lake)
        with pytest.raises(AccessDenied, match=r"expired at \d.*put the new SAS URI where sas_uri points"):
            delivery.run(publish=lambda: time.sleep(SOON.total_seconds() + 1))
        delivery.watch.assert_nothing_visible()
        file.write_text(uri(LATER))
        delivery.run()
        delivery.assert_delivered()


def zone(file: Path, *command: str) -> DataLandingZoneDestination:
    return DataLandingZoneDestination(
        sas_uri=f"{{file: {file}}}", refresh_command=list(command), folder=FOLDER, allow_insecure=True
    )


def has_expired(store: Store) -> Callable[[], None]:
    """Waits until the service refuses what the store signs with."""

    def wait() -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                store.check()
            except AccessDenied:
                return
            time.sleep(0.2)
        pytest.fail("the signature has not expired")

    return wait
