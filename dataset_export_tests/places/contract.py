"""Where the conformance and fault suites deliver to: an empty folder of a real server of each kind."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from dataset_export.destinations.contract import Staged, Store
from dataset_export.destinations.io_manager import DestinationIOManager


class Witness(Protocol):
    """Another program at the same place: it knows the server, and nothing of our store's code."""

    def everything(self) -> list[str]:
        """Names of all that is there, visible or not, unfinished uploads among them; sorted. Folders that exist only
        because a server keeps them do not count, files in them do."""
        ...

    def plant(self, path: str, data: bytes) -> None:
        """Write, or overwrite, a file at `path` below the destination's folder."""
        ...

    def damage(self, staged: Staged) -> None:
        """Exchange staged bytes for others of the same size, as far as the service lets anyone."""
        ...


@dataclass(frozen=True)
class Place:
    """An empty folder at a destination.

    Attributes:
        kind: name of the type of destination, as in YAML.
        destination: the IO manager as a user would configure it; small parts where they can be chosen.
        witness: see there.
        refused: the same with wrong credentials; None where there are none (a local folder).
        missing: the same with a bucket, container or root folder that does not exist; None where it would be made.
        port: of the server on 127.0.0.1, 0 for none.
        at_port: the same destination reached through another port of 127.0.0.1 (a proxy that makes faults).
    """

    kind: str
    destination: DestinationIOManager
    witness: Witness
    refused: DestinationIOManager | None = None
    missing: DestinationIOManager | None = None
    port: int = 0
    at_port: Callable[[int], DestinationIOManager] | None = None

    @property
    def store(self) -> Store:
        """The store of `destination`, the same one every time."""
        return self.destination.store()

    def another_store(self) -> Store:
        """A store of its own over the same folder, as another worker has it."""
        return self.destination.build_store()
