"""Deletes by deletion vector, written as the Delta protocol says: no writer in Python makes them."""

import base64
import json
import time
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow.parquet as pq
from pyroaring import BitMap64

from dataset_export_tests.lake.delta_tables import DeltaBuilder

PYTHON_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
Z85_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"


def z85(data: bytes) -> str:
    return base64.b85encode(data).decode().translate(str.maketrans(PYTHON_LETTERS, Z85_LETTERS))


def bitmap_of(positions: Iterable[int]) -> bytes:
    return (1681511377).to_bytes(4, "little") + BitMap64(positions).serialize()


class VectorDeletes:
    """Deletes rows of one local table without writing a data file anew."""

    def __init__(self, delta: DeltaBuilder, *features: str) -> None:
        """`features` are those that the table has beside."""
        self.delta = delta
        self._protocol = {
            "minReaderVersion": 3,
            "minWriterVersion": 7,
            "readerFeatures": ["deletionVectors", *features],
            "writerFeatures": ["deletionVectors", "appendOnly", "invariants", *features],
        }
        self._rows: dict[str, set[int]] = {}

    def delete(self, gone: Callable[[dict[str, Any]], bool], storage: str = "u", **commit: Any) -> int:
        """Delete the rows of which `gone` is true; one commit, none when there are no such rows."""
        marks = {}
        for path, add in self.live().items():
            rows = pq.read_table(Path(self.delta.uri) / path).to_pylist()
            dead = self.deleted_from(add)
            new = {at for at, row in enumerate(rows) if at not in dead and gone(row)}
            if new:
                marks[path] = dead | new
        return self.mark(marks, storage, **commit) if marks else self.delta.version

    def mark(self, marks: dict[str, set[int]], storage: str = "u", *, data_change: bool = True) -> int:
        """Give files of these paths these deleted rows; one commit."""
        now = int(time.time() * 1000)
        lines: list[dict[str, Any]] = [
            {"commitInfo": {"timestamp": now, "operation": "DELETE"}},
            {"protocol": self._protocol},
        ]
        live = self.live()
        vectors = self.written(list(marks.values()), storage)
        for path, vector in zip(marks, vectors, strict=True):
            add = {**live[path], "dataChange": data_change}
            remove = {
                "path": add["path"],
                "dataChange": data_change,
                "deletionTimestamp": now,
                "extendedFileMetadata": True,
                "partitionValues": add["partitionValues"],
                "size": add["size"],
            }
            if add.get("deletionVector"):
                remove["deletionVector"] = add["deletionVector"]
            lines += [{"remove": remove}, {"add": {**add, "deletionVector": vector}}]
        version = self.delta.version + 1
        (self.delta.log / f"{version:020}.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return version

    def written(self, positions: list[set[int]], storage: str) -> list[dict[str, Any]]:
        """The vectors as the log describes them; those with files share one."""
        folder = "ab" if storage == "u" else ""
        uuid = uuid4()
        file = Path(self.delta.uri) / folder / f"deletion_vector_{uuid}.bin"
        content = b"\1"
        found = []
        for rows in positions:
            data = bitmap_of(rows)
            vector: dict[str, Any] = {"storageType": storage, "sizeInBytes": len(data), "cardinality": len(rows)}
            if storage == "i":
                vector["pathOrInlineDv"] = z85(data + b"\0" * (-len(data) % 4))
            else:
                vector["pathOrInlineDv"] = folder + z85(uuid.bytes) if storage == "u" else file.as_uri()
                vector["offset"] = len(content)
                content += len(data).to_bytes(4, "big") + data + zlib.crc32(data).to_bytes(4, "big")
            self._rows[json.dumps(vector, sort_keys=True)] = set(rows)
            found.append(vector)
        if storage != "i":
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(content)
        return found

    def live(self) -> dict[str, dict[str, Any]]:
        """The add actions of the newest version by path, from all commits."""
        live: dict[str, dict[str, Any]] = {}
        for version in range(self.delta.version + 1):
            entries = [
                json.loads(line)
                for line in (self.delta.log / f"{version:020}.json").read_text().splitlines()
                if line.strip()
            ]
            for entry in entries:
                if (gone := entry.get("remove")) and vector_of(live.get(gone["path"], {})) == vector_of(gone):
                    live.pop(gone["path"], None)
            live |= {entry["add"]["path"]: entry["add"] for entry in entries if "add" in entry}
        return live

    def deleted_from(self, add: dict[str, Any]) -> set[int]:
        vector = vector_of(add)
        return self._rows[json.dumps(vector, sort_keys=True)] if vector else set()


def vector_of(action: dict[str, Any]) -> dict[str, Any] | None:
    """The vector of an action; a writer that copies it may add an offset of null."""
    vector = action.get("deletionVector")
    return {key: value for key, value in vector.items() if value is not None} if vector else None
