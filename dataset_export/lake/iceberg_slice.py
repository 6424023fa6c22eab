"""Which files make the slice between two snapshots of an Iceberg table.

As for Delta (`delta_slice`), every snapshot's change is signed, and over the range they sum to T(upper) less T(lower). What a
snapshot changed stands in the manifests that it added; no other manifest is read:

* Snapshots that only append, one after the other, are taken together: of the last one's manifests those that the run added
  have all that it appended, also when a later append merged the manifests of an earlier one.
* A `replace` moves rows between files and changes none, so it sums to nothing: it is left out or counted as `delta_slice`
  says. One that also moves them to another partition spec is left out: nothing then says which files stand for which.
* Any other snapshot adds files and deletes files.

pyiceberg's own incremental scan passes over every snapshot that is no append, and so would this export over what they added.

When `lower` is no ancestor of `upper` (`main` was rolled back after `lower` was exported), or snapshots in between have expired,
the states themselves are compared; manifests that both have are not read. That is right for any two snapshots, and may read
all that compaction touched.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from dataset_export.lake.delta_log import Commit, FileAction
from dataset_export.lake.iceberg_history import number_of
from dataset_export.lake.iceberg_manifests import Entry, Manifests, Status
from dataset_export.lake.table import SourceFile

if TYPE_CHECKING:
    from pyiceberg.manifest import ManifestFile
    from pyiceberg.table.snapshots import Snapshot

_DATA, _DELETES = 0, 1
"""What is in a manifest."""

ToFile = Callable[[Entry], SourceFile]


def commits_of(snapshots: "list[Snapshot]", manifests: Manifests, to_file: ToFile) -> Iterator[Commit]:
    """What snapshots changed, those that only append together. `snapshots` follow each other."""
    for appends, run in groupby(snapshots, key=lambda snapshot: _operation(snapshot) == "append"):
        members = list(run)
        for part in [members] if appends else [[one] for one in members]:
            entries = list(_changed(part, manifests))
            moves = _operation(part[-1]) == "replace"
            if moves and len({entry.spec_id for entry in entries}) > 1:
                continue
            actions = [
                FileAction(to_file(entry), adds=entry.is_live, data_change=not moves, complete=True)
                for entry in entries
            ]
            yield Commit(number_of(part[-1]), actions)


def data_manifests(snapshot: "Snapshot", manifests: Manifests) -> "list[ManifestFile]":
    """The manifests of a snapshot that have data files."""
    return [one for one in manifests.of(snapshot) if one.content == _DATA]


def delete_manifests(snapshot: "Snapshot", manifests: Manifests) -> "list[ManifestFile]":
    """The manifests of a snapshot that have delete files which count."""
    return [
        one
        for one in manifests.of(snapshot)
        if one.content == _DELETES and (one.has_added_files() or one.has_existing_files())
    ]


def live_entries(manifests: Manifests, wanted: "Iterable[ManifestFile]") -> Iterator[Entry]:
    """The files of manifests that belong to the table."""
    return (entry for entry in manifests.entries(wanted) if entry.is_live)


def _changed(run: "list[Snapshot]", manifests: Manifests) -> Iterator[Entry]:
    ids = {snapshot.snapshot_id for snapshot in run}
    wanted = [one for one in data_manifests(run[-1], manifests) if one.added_snapshot_id in ids]
    for entry in manifests.entries(wanted):
        # A manifest also repeats files of before; and what an append deletes, which none should, is not passed over.
        if entry.snapshot_id in ids and (entry.status is not Status.EXISTING or len(ids) > 1):
            yield entry


def _operation(snapshot: "Snapshot") -> str:
    return snapshot.summary.operation.value if snapshot.summary is not None else ""
