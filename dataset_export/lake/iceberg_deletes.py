"""Which delete files apply to a data file of an Iceberg table (Iceberg: "Scan Planning").

* A position delete applies to data files of the same partition whose sequence number is not above its own; one that is about
  a single data file to that only.
* A deletion vector applies to its data file alike, and then no other position deletes do.
* An equality delete applies to data files of the same partition with a lower sequence number; in an unpartitioned spec, to
  those of every partition.

A `SourceFile` does not list what applies to it, which may be hundreds of files for each of thousands: it says at which
version, and what of the data file decides; `DeleteFiles.applying` finds the rest.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from dataset_export.errors import UnsupportedTable
from dataset_export.lake.iceberg_manifests import Content, Entry

PATH_ID = 2147483546
"""Field id of the column of a position delete file that names data files."""


@dataclass(frozen=True)
class Target:
    """What of a data file decides which deletes apply to it."""

    path: str
    sequence: int
    spec_id: int
    partition: str

    def text(self, version: int) -> str:
        """As `SourceFile.deletes` and `only` carry it, with the version whose deletes are meant."""
        return json.dumps(
            {"at": version, "sequence": self.sequence, "spec": self.spec_id, "partition": self.partition},
            sort_keys=True,
        )


def target_of(entry: Entry) -> Target:
    """A data file as its deletes are found."""
    return Target(entry.path, entry.sequence, entry.spec_id, repr(entry.partition))


def target_in(text: str, path: str) -> tuple[int, Target]:
    """The version and the data file that `Target.text` came from."""
    said = json.loads(text)
    return said["at"], Target(path, said["sequence"], said["spec"], said["partition"])


class DeleteFiles:
    """The delete files of one snapshot.

    Args:
        entries: of its delete manifests, live ones.
        unpartitioned: ids of partition specs without fields.
        table: its name, for errors.

    Raises:
        UnsupportedTable: for delete files that are not parquet, nor deletion vectors.
    """

    def __init__(self, entries: Iterable[Entry], unpartitioned: frozenset[int], table: str) -> None:
        self._of_file: dict[str, list[Entry]] = defaultdict(list)
        self._of_partition: dict[tuple[int, str], list[Entry]] = defaultdict(list)
        self._equal: dict[tuple[int, str], list[Entry]] = defaultdict(list)
        self._global: list[Entry] = []
        self._any = False
        for entry in entries:
            self._any = True
            _require_readable(entry, table)
            where = entry.spec_id, repr(entry.partition)
            if entry.content is Content.EQUALITY_DELETES:
                (self._global if entry.spec_id in unpartitioned else self._equal[where]).append(entry)
            elif (path := _only_file(entry)) is not None:
                self._of_file[path].append(entry)
            else:
                self._of_partition[where].append(entry)

    def __bool__(self) -> bool:
        return self._any

    def applying(self, target: Target) -> list[Entry]:
        """The delete files that apply to a data file, in a fixed order."""
        if not self._any:
            return []
        where = target.spec_id, target.partition
        by_position = [
            entry
            for entry in (*self._of_file.get(target.path, ()), *self._of_partition.get(where, ()))
            if entry.sequence >= target.sequence
        ]
        vectors = [entry for entry in by_position if entry.form == "PUFFIN"]
        by_value = [entry for entry in (*self._equal.get(where, ()), *self._global) if entry.sequence > target.sequence]
        return sorted([*(vectors or by_position), *by_value], key=key_of)


def key_of(entry: Entry) -> tuple[str, int]:
    """What tells delete files apart: several deletion vectors share a file."""
    return entry.path, entry.offset or 0


def _only_file(entry: Entry) -> str | None:
    """The one data file that a position delete is about, when its manifest says so."""
    if entry.referenced is not None:
        return entry.referenced
    least, most = entry.least.get(PATH_ID), entry.most.get(PATH_ID)
    return least.decode() if least is not None and least == most else None


def _require_readable(entry: Entry, table: str) -> None:
    if entry.form == "PARQUET":
        return
    if entry.form != "PUFFIN":
        raise UnsupportedTable(
            f"the table {table} has the {entry.form} delete file {entry.path}, and only parquet files and deletion vectors are "
            "read: rewrite its data files, which applies its deletes (CALL system.rewrite_data_files)"
        )
    if entry.referenced is None or entry.offset is None or entry.length is None:
        raise UnsupportedTable(
            f"the table {table} has the deletion vector {entry.path} without the data file that it is about: rewrite the data files "
            "of the table, which applies its deletes (CALL system.rewrite_data_files)"
        )
