"""A server whose disk is full: the export fails and leaves nothing, and is whole once there is room."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from dataset_export.destinations import retry
from dataset_export.destinations.contract import HIDDEN_FOLDER
from dataset_export.errors import StorageFull, TransientError
from dataset_export_tests.conftest import KINDS
from dataset_export_tests.faults.delivery import Delivery, also
from dataset_export_tests.places.contract import Place
from dataset_export_tests.servers.azurite import Azurite, running_azurite
from dataset_export_tests.servers.dfs import DataLake, running_data_lake
from dataset_export_tests.servers.gcs import CloudStorage, running_cloud_storage
from dataset_export_tests.servers.small_disk import small_disk
from dataset_export_tests.servers.weed import Weed, running_weed

ON_A_DISK = [kind for kind in ("local", "sftp") if kind in KINDS]
"""Their witness knows the `folder` of this machine that they deliver to."""
BEHIND_A_SERVER = [kind for kind in KINDS if kind not in ON_A_DISK]
"""What these services answer when an account is full comes from the proxy, in test_network; here are servers that cannot
write any more, and do not know what to say."""

DISK = 1 << 20
SERVER_DISK = 64 << 20
ROOM = 100 << 10
"""Less than the larger file of the table takes."""


@pytest.mark.parametrize("place", ON_A_DISK, indirect=True)
def test_p1_p6_disk_is_full_and_then_is_not(place: Place, lake: str) -> None:
    folder = Path(vars(place.witness)["folder"])
    with small_disk(folder, DISK):
        delivery = Delivery(place, place.store, lake)
        ballast = folder / HIDDEN_FOLDER / "ballast"
        ballast.write_bytes(bytes(DISK - ROOM))
        with pytest.raises(StorageFull, match="free some space"):
            delivery.run()
        delivery.watch.assert_nothing_visible()
        ballast.unlink()
        delivery.assert_nothing_but_theirs()
        delivery.run()
        delivery.assert_delivered()


class TestServer:
    """Servers of their own, each with its data on a small disk."""

    @pytest.fixture
    def disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
        monkeypatch.setattr(retry, "FIRST_WAIT_SECONDS", 0.02)
        with small_disk(tmp_path / "disk", SERVER_DISK):
            yield tmp_path / "disk"

    @pytest.fixture
    def weed(self, disk: Path) -> Iterator[Weed]:
        yield from on(disk, running_weed())

    @pytest.fixture
    def azurite(self, disk: Path) -> Iterator[Azurite]:
        yield from on(disk, running_azurite())

    @pytest.fixture
    def cloud_storage(self, disk: Path) -> Iterator[CloudStorage]:
        yield from on(disk, running_cloud_storage())

    @pytest.fixture
    def data_lake(self, disk: Path) -> Iterator[DataLake]:
        yield from on(disk, running_data_lake())

    @pytest.mark.parametrize(
        "place", [kind if kind == "amazon_s3" else also(kind) for kind in BEHIND_A_SERVER], indirect=True
    )
    def test_p1_p6_disk_is_full_and_then_is_not(self, disk: Path, place: Place, lake: str) -> None:
        delivery = Delivery(place, place.store, lake)
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(shutil.disk_usage(disk).free - ROOM))
        with pytest.raises((StorageFull, TransientError)):
            delivery.run()
        ballast.unlink()
        delivery.watch.assert_nothing_visible()
        delivery.assert_nothing_but_theirs()
        delivery.run()
        delivery.assert_delivered()


def on(disk: Path, server: AbstractContextManager[Any]) -> Iterator[Any]:
    """Start a server that keeps its data on the disk."""
    before, tempfile.tempdir = tempfile.tempdir, str(disk)
    try:
        started = server.__enter__()
    finally:
        tempfile.tempdir = before
    try:
        yield started
    finally:
        server.__exit__(None, None, None)
