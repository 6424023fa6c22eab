"""A file system of Azure Data Lake Storage Gen2 as its REST reference has it: names in memory, bytes on disk.

Every method is one step: what the service does atomically is done under one lock. Errors are the service's codes.
"""

import hashlib
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

CHUNK = 1 << 18


class Refused(Exception):
    """The request fails with this HTTP status and error code."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


NOT_FOUND = Refused(404, "PathNotFound")
TAKEN = Refused(409, "PathAlreadyExists")
WRONG_KIND = Refused(409, "PathConflict")
CHANGED = Refused(412, "ConditionNotMet")


@dataclass(frozen=True)
class Conditions:
    """The conditional headers of a request; "" for one that is not there."""

    if_match: str = ""
    if_none_match: str = ""
    source_if_match: str = ""


@dataclass
class Node:
    """A file or folder. `content` has the bytes, of which `length` are committed; `appended` has the length of each piece
    that is not, by its position."""

    kind: Literal["file", "directory"]
    content: Path
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    length: int = 0
    appended: dict[int, int] = field(default_factory=dict[int, int])
    content_md5: str = ""
    etag: str = ""
    modified: datetime = field(default_factory=lambda: datetime.now(UTC))
    created: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        self.touch()

    def touch(self) -> None:
        self.etag = f'"0x8{secrets.token_hex(7).upper()}"'
        self.modified = datetime.now(UTC)


class FileSystem:
    """One file system, its contents in files of `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._nodes: dict[str, Node] = {"": self._new("directory")}
        self._lock = threading.Lock()

    def files(self) -> list[str]:
        """Paths of all files."""
        with self._lock:
            return sorted(path for path, node in self._nodes.items() if node.kind == "file")

    def folders(self) -> list[str]:
        """Paths of all folders but the root."""
        with self._lock:
            return sorted(path for path, node in self._nodes.items() if node.kind == "directory" and path)

    def node(self, path: str, conditions: Conditions = Conditions()) -> Node:
        """What is at `path`."""
        with self._lock:
            return self._matching(path, conditions)

    def create(
        self, path: str, kind: Literal["file", "directory"], metadata: dict[str, str], conditions: Conditions
    ) -> Node:
        """A new file in place of an old one, or a folder. Folders above it are made."""
        with self._lock:
            old = self._nodes.get(path)
            if old is not None and conditions.if_none_match == "*":
                raise TAKEN
            if old is not None and (old.kind != kind):
                raise WRONG_KIND
            if old is not None and kind == "directory":
                return old
            for above in reversed(list(_above(path))):
                if self._nodes.setdefault(above, self._new("directory")).kind != "directory":
                    raise WRONG_KIND
            if old is not None:
                old.content.unlink()
            self._nodes[path] = self._new(kind, metadata)
            return self._nodes[path]

    def append(self, path: str, position: int, length: int, read: Callable[[int], bytes], md5: bytes | None) -> Node:
        """Take `length` bytes for `position`; they are not committed. Pieces may arrive in any order."""
        with self._lock:
            node = self._file(path)
            if length == 0:
                raise Refused(400, "InvalidHeaderValue")
            if position < node.length:
                raise Refused(400, "InvalidQueryParameterValue")
            node.appended.pop(position, None)
        digest, left = hashlib.md5(), length
        # Buffered: a bare write to a disk that is nearly full takes a part and says nothing.
        with node.content.open("r+b") as file:
            file.seek(position)
            while left:
                chunk = read(min(CHUNK, left))
                if not chunk:
                    raise ConnectionError("the body ended early")
                digest.update(chunk)
                file.write(chunk)
                left -= len(chunk)
        if md5 is not None and md5 != digest.digest():
            raise Refused(400, "Md5Mismatch")
        with self._lock:
            if self._nodes.get(path) is not node:
                raise NOT_FOUND
            node.appended[position] = length
            return node

    def flush(self, path: str, position: int, content_md5: str, conditions: Conditions) -> Node:
        """Commit what was appended: all of it, without a gap, up to `position`."""
        with self._lock:
            node = self._file(path, conditions)
            end = node.length
            for start in sorted(node.appended):
                if start != end:
                    raise Refused(400, "InvalidFlushPosition")
                end = start + node.appended[start]
            if end != position:
                raise Refused(400, "InvalidFlushPosition")
            node.length, node.content_md5 = position, content_md5
            node.appended.clear()
            node.touch()
            return node

    def set_metadata(self, path: str, metadata: dict[str, str], conditions: Conditions) -> Node:
        """Replace the metadata."""
        with self._lock:
            node = self._matching(path, conditions)
            node.metadata = metadata
            node.touch()
            return node

    def rename(self, source: str, target: str, conditions: Conditions) -> Node:
        """Give a file another name, in place of a file that has it. The folder above has to be there."""
        with self._lock:
            node = self._nodes.get(source)
            if node is None:
                raise Refused(404, "SourcePathNotFound")
            if conditions.source_if_match not in {"", "*", node.etag}:
                raise Refused(412, "SourceConditionNotMet")
            old = self._nodes.get(target)
            if old is not None and conditions.if_none_match == "*":
                raise TAKEN
            if node.kind == "directory" or (old is not None and old.kind == "directory"):
                raise WRONG_KIND
            above = self._nodes.get(next(_above(target)))
            if above is None or above.kind != "directory":
                raise Refused(404, "RenameDestinationParentPathNotFound")
            if old is not None:
                old.content.unlink()
            self._nodes[target] = self._nodes.pop(source)
            node.touch()
            return node

    def delete(self, path: str, *, recursive: bool | None, conditions: Conditions) -> None:
        """Delete a file, or a folder: then `recursive` says whether its contents go too."""
        with self._lock:
            node = self._matching(path, conditions)
            below = [other for other in self._nodes if other.startswith(f"{path}/")]
            if node.kind == "directory" and recursive is None:
                raise Refused(400, "MissingRequiredQueryParameter")
            if below and not recursive:
                raise Refused(409, "DirectoryNotEmpty")
            for gone in [path, *below]:
                self._nodes.pop(gone).content.unlink(missing_ok=True)

    def below(self, folder: str, *, recursive: bool) -> list[tuple[str, Node]]:
        """What is in a folder, folder by folder."""
        with self._lock:
            if self._nodes.get(folder) is None:
                raise NOT_FOUND
            prefix = f"{folder}/" if folder else ""
            found = [
                (path, node)
                for path, node in self._nodes.items()
                if path.startswith(prefix) and path and (recursive or "/" not in path.removeprefix(prefix))
            ]
        return sorted(found, key=lambda one: one[0].split("/"))

    @contextmanager
    def reading(self, path: str, conditions: Conditions) -> Iterator[tuple[Node, int, int]]:
        """A file opened: the node, a descriptor of its bytes and their number. What happens to the name afterwards does
        not change them."""
        with self._lock:
            node = self._matching(path, conditions)
            descriptor = os.open(node.content, os.O_RDONLY)
            length = node.length
        try:
            yield node, descriptor, length
        finally:
            os.close(descriptor)

    def _new(self, kind: Literal["file", "directory"], metadata: dict[str, str] | None = None) -> Node:
        content = self._folder / secrets.token_hex(16)
        content.touch()
        return Node(kind, content, {"hdi_isfolder": "true"} if kind == "directory" else dict(metadata or {}))

    def _matching(self, path: str, conditions: Conditions) -> Node:
        node = self._nodes.get(path)
        if node is None:
            raise NOT_FOUND
        if conditions.if_match not in {"", "*", node.etag}:
            raise CHANGED
        return node

    def _file(self, path: str, conditions: Conditions = Conditions()) -> Node:
        node = self._matching(path, conditions)
        if node.kind == "directory":
            raise WRONG_KIND
        return node


def _above(path: str) -> Iterator[str]:
    """The folders above a path, the nearest one first, the root last."""
    while path:
        path = path.rpartition("/")[0]
        yield path
