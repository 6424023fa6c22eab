"""A folder of this machine."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from dataset_export.destinations.contract import Staged
from dataset_export.destinations.local import LocalDestination
from dataset_export_tests.places.contract import Place


def open_place(request: pytest.FixtureRequest) -> Place:
    """A folder that does not exist yet."""
    folder: Path = request.getfixturevalue("tmp_path") / "delivered"
    return Place("local", LocalDestination(folder=str(folder)), FolderWitness(folder))


@dataclass(frozen=True)
class FolderWitness:
    """The folder, by pathlib."""

    folder: Path

    def everything(self) -> list[str]:
        return sorted(file.relative_to(self.folder).as_posix() for file in self.folder.rglob("*"))

    def plant(self, path: str, data: bytes) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)

    def damage(self, staged: Staged) -> None:
        (self.folder / staged.handle["hidden"]).write_bytes(b"x" * staged.bytes)
