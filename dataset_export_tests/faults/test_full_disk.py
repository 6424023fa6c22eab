"""A server whose disk is full: the export says so and leaves nothing, and is whole once there is room."""

from pathlib import Path

import pytest

from dataset_export.destinations.contract import HIDDEN_FOLDER
from dataset_export.errors import StorageFull
from dataset_export_tests.conftest import KINDS
from dataset_export_tests.faults.delivery import Delivery
from dataset_export_tests.places.contract import Place
from dataset_export_tests.servers.small_disk import small_disk

ON_A_DISK = [kind for kind in ("local", "sftp") if kind in KINDS]
"""Their witness knows the `folder` of this machine that they deliver to. What object stores answer when they are full
comes from the proxy, in test_network."""

DISK = 1 << 20
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
