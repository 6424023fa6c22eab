"""Staging in Azure Data Lake Storage: a file in the hidden folder, appended to at several positions at once.

The name of a staged file is that of one upload only: what an earlier try still sends meets no file of ours.
"""

import re
import secrets
from collections.abc import Mapping
from typing import Any

from dataset_export.destinations.adls_gen2_paths import Paths
from dataset_export.destinations.azure_calls import Answered
from dataset_export.destinations.contract import HIDDEN_FOLDER
from dataset_export.destinations.part_upload import GROWTHS, PartUpload
from dataset_export.errors import IntegrityError

STAGING = f"{HIDDEN_FOLDER}/staging"
DEFAULT_PART_BYTES = 8 << 20
MAX_PARTS = 50_000
"""The service keeps a file as blocks, and no more than these."""


def new_hidden(path: str, kind: str) -> str:
    """Where one upload for `path` is hidden, relative to the destination's folder; `kind` is "staged" or "put"."""
    return f"{STAGING}/{path}.{kind}/{secrets.token_hex(8)}"


def meant_for(hidden: str) -> str | None:
    """The path that a hidden file was meant for; None for a file that is not ours."""
    match = re.fullmatch(rf"{re.escape(STAGING)}/(.+)\.(?:staged|put)/[0-9a-f]{{16}}", hidden)
    return match[1] if match else None


def part_position(number: int, first: int) -> int:
    """Where part `number` (from 1) begins when the first has `first` bytes: the sum of `part_upload.part_size`."""
    step = MAX_PARTS // GROWTHS
    whole, rest = divmod(number - 1, step)
    return first * (step * whole * (whole + 1) // 2 + rest * (whole + 1))


class FileUpload(PartUpload[int]):
    """One file being staged below the folder `root` ("" or ending in `/`) of a file system."""

    def __init__(self, paths: Paths, root: str, path: str, *, first_part: int) -> None:
        super().__init__(path, kind="adls_gen2", first_part=first_part, max_parts=MAX_PARTS)
        self._paths = paths
        self._root = root
        self._hidden = new_hidden(path, "staged")
        self._etag = ""

    def begin(self) -> None:
        """Delete what earlier tries staged for this path, and create the file."""
        for found in list(self._paths.below(self._file.rpartition("/")[0], recursive=False)):
            if not found.is_directory and meant_for(found.name.removeprefix(self._root)) == self.path:
                self._paths.delete(found.name)
        self._etag = self._paths.create(self._file)

    def send_part(self, number: int, body: bytes) -> int:
        """Append at the part's position."""
        self._paths.append(self._file, part_position(number, self.first_part), body)
        return len(body)

    def handle(self, parts: list[int], md5: bytes) -> Mapping[str, Any]:
        """Flush, and record the checksum with the file. The handle has the hidden name and the entity tag."""
        if parts:
            self._etag = self._paths.flush(self._file, sum(parts), md5=md5)
        try:
            self._etag = self._paths.set_sha256(self._file, self._digests["sha256"].hexdigest(), self._etag)
        except Answered as answer:
            raise IntegrityError(
                f"the bytes staged for {self.path} were exchanged by somebody else: run the export again"
            ) from answer
        return {"hidden": self._hidden, "etag": self._etag}

    def drop(self) -> None:
        """Delete the hidden file, and its folders that are empty."""
        self._paths.delete(self._file)
        self._paths.prune(self._file.rpartition("/")[0], self._root.rstrip("/"), is_folder=True)

    @property
    def _file(self) -> str:
        return self._root + self._hidden
