"""The versions of an Iceberg table: which snapshots are versions, and how they follow each other.

A version is a snapshot among the ancestors of the newest one of the branch `main`, and its number is the snapshot's
sequence number: every commit to a table gets a higher one, and no other snapshot of the table ever gets the same, whatever
expires and whatever is rolled back. Other branches are not followed.

A snapshot that `main` was rolled back from is no version any more, but what was exported up to it stays exported: as long as
the table keeps it, what is new after it can be told.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dataset_export.errors import UnsupportedTable, VersionGone
from dataset_export.lake.table import Version

if TYPE_CHECKING:
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.snapshots import Snapshot


class History:
    """The snapshots that a table's metadata has. `name` is the table's, for errors.

    Raises:
        UnsupportedTable: for format version 1, whose snapshots have no numbers.
    """

    def __init__(self, metadata: "TableMetadata", name: str) -> None:
        if metadata.format_version < 2:
            raise UnsupportedTable(
                f"the table {name} has format version 1, whose snapshots have no sequence numbers to tell what was "
                "delivered by: upgrade it, which changes none of its files (ALTER TABLE … SET TBLPROPERTIES "
                "('format-version' = '2'))"
            )
        self._metadata = metadata
        self._name = name
        self._by_id = {snapshot.snapshot_id: snapshot for snapshot in metadata.snapshots}
        self._main = list(self._versions())

    def versions(self) -> Iterator[Version]:
        """The versions, newest first."""
        return (version_of(snapshot) for snapshot in self._main)

    def has(self, number: int) -> bool:
        """Whether there is a snapshot of this number, a version or one that was rolled back."""
        return self._find(number) is not None

    def snapshot(self, number: int) -> "Snapshot":
        """The snapshot of a number, also one that was rolled back.

        Raises:
            VersionGone: when the table does not have it (any more).
        """
        found = self._find(number)
        if found is not None:
            return found
        newest = max(map(number_of, self._metadata.snapshots), default=0)
        if number > newest:
            raise VersionGone(
                f"the table {self._name} has no version {number}, its newest is {newest}: if it was made anew, launch "
                "the export in full mode"
            )
        raise VersionGone(
            f"the snapshot with sequence number {number} of the table {self._name} has expired: launch the export in full "
            "mode, and export at shorter intervals than history.expire.max-snapshot-age-ms keeps"
        )

    def between(self, lower: "Snapshot", upper: "Snapshot") -> "list[Snapshot] | None":
        """The snapshots after `lower` up to `upper`, in order. None when `lower` is no ancestor of `upper`, or snapshots in
        between have expired."""
        found: list[Snapshot] = []
        for snapshot in self._ancestors(upper):
            if snapshot.snapshot_id == lower.snapshot_id:
                return found[::-1]
            found.append(snapshot)
        return None

    def _find(self, number: int) -> "Snapshot | None":
        for snapshots in (self._main, self._metadata.snapshots):
            for snapshot in snapshots:
                if number_of(snapshot) == number:
                    return snapshot
        return None

    def _versions(self) -> "Iterator[Snapshot]":
        current = self._metadata.current_snapshot()
        last: int | None = None
        for snapshot in self._ancestors(current) if current is not None else ():
            # A table that once had format version 1 has snapshots of number 0 from then: its last state of then is one version.
            if number_of(snapshot) != last:
                last = number_of(snapshot)
                yield snapshot

    def _ancestors(self, snapshot: "Snapshot") -> "Iterator[Snapshot]":
        found: Snapshot | None = snapshot
        while found is not None:
            yield found
            found = self._by_id.get(found.parent_snapshot_id) if found.parent_snapshot_id is not None else None


def number_of(snapshot: "Snapshot") -> int:
    """The number of the version that a snapshot is."""
    return snapshot.sequence_number or 0


def version_of(snapshot: "Snapshot") -> Version:
    """The version that a snapshot is."""
    return Version(number_of(snapshot), datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC))
