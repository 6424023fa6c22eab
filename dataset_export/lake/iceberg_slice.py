"""Which files make the slice between two snapshots of an Iceberg table.

As for Delta (`delta_slice`), every snapshot's change is signed, and over the range they sum to T(upper) less T(lower). What a
snapshot changed stands in the manifests that it added; no other manifest is read:

* Snapshots that only append, one after the other, are taken together: of the last one's manifests those that the run added
  have all that it appended, also when a later append merged the manifests of an earlier one.
* A `replace` moves rows between files and changes none, so it sums to nothing: it is left out or counted as `delta_slice`
  says. One that also moves them to another partition spec is left out: nothing then says which files stand for which.
* Any other snapshot adds files and deletes files.

pyiceberg's own incremental scan passes over every snapshot that is no append, and so would this export over what they added.

When that does not do, the states themselves are compared, which is right for any two snapshots and may read all that
compaction touched; manifests that both have are not read. It is done when

* delete files came or went in between: a file that both states have then counts with the rows that only some deletes mark
  (`changed_rows`), never whole; manifests that both have are read as far as the partitions of those delete files go;
* `lower` is no ancestor of `upper`, since `main` was rolled back after `lower` was exported;
* snapshots in between have expired, or a file counts twice.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any

from dataset_export.lake.changed_rows import Marked, back_and_gone
from dataset_export.lake.iceberg_columns import admits, exact_partitions
from dataset_export.lake.iceberg_deletes import key_of, target_of
from dataset_export.lake.iceberg_history import number_of
from dataset_export.lake.iceberg_manifests import Entry, Status
from dataset_export.lake.iceberg_state import State
from dataset_export.lake.signed_changes import Changes, FileAction, sharing_rows
from dataset_export.lake.table import Slice, SourceFile

if TYPE_CHECKING:
    from pyiceberg.manifest import ManifestFile
    from pyiceberg.table.snapshots import Snapshot

Files = list[SourceFile]


def slice_between(state: State, before: "Snapshot", after: "Snapshot") -> Slice:
    """The slice between two snapshots; `before` may be any that the table has."""
    added, removed = _by_changes(state, before, after) or _by_states(state, before, after)
    keys = exact_partitions(state.metadata)
    for file in (*added, *removed):
        keys &= file.partition.keys()
    return Slice(number_of(before), number_of(after), tuple(added), tuple(sharing_rows(removed, added, keys)))


def _by_changes(state: State, before: "Snapshot", after: "Snapshot") -> tuple[Files, Files] | None:
    """What the snapshots in between sum up to; None when that cannot be said by files."""
    between = state.history.between(before, after)
    if between is None:
        return None
    runs = list(_runs(between))
    deletes = _paths(state.delete_manifests(before))
    changes = Changes()
    for run in runs:
        if _paths(state.delete_manifests(run[-1])) != deletes:
            return None
        changes.count(_actions(state, run, after))
    if not changes.whole_files():
        return None
    return list(changes.added().values()), list(changes.removed().values())


def _runs(snapshots: "list[Snapshot]") -> "Iterator[list[Snapshot]]":
    """Snapshots that only append together, each of the others alone."""
    for appends, run in groupby(snapshots, key=lambda snapshot: _operation(snapshot) == "append"):
        members = list(run)
        yield from [members] if appends else [[one] for one in members]


def _actions(state: State, run: "list[Snapshot]", after: "Snapshot") -> list[FileAction]:
    """What a run of snapshots did to files. Deletes are those of `after`: of a range in which none came and none went."""
    entries = list(_changed(state, run))
    moves = _operation(run[-1]) == "replace"
    if moves and len({entry.spec_id for entry in entries}) > 1:
        return []
    return [
        FileAction(state.file(entry, after), adds=entry.is_live, data_change=not moves, complete=True)
        for entry in entries
    ]


def _changed(state: State, run: "list[Snapshot]") -> Iterator[Entry]:
    ids = {snapshot.snapshot_id for snapshot in run}
    wanted = [one for one in state.data_manifests(run[-1]) if one.added_snapshot_id in ids]
    for entry in state.manifests.entries(wanted):
        # A manifest also repeats files of before; and what an append deletes, which none should, is not passed over.
        if entry.snapshot_id in ids and (entry.status is not Status.EXISTING or len(ids) > 1):
            yield entry


def _by_states(state: State, before: "Snapshot", after: "Snapshot") -> tuple[Files, Files]:
    """What only the later of two states has, and what only the earlier one has, by files or by rows of them."""
    earlier, later = state.data_manifests(before), state.data_manifests(after)
    shared = _paths(earlier) & _paths(later)
    touched = {one.manifest_path for one in _touched(state, before, after, earlier) if one.manifest_path in shared}
    old = state.data_entries(one for one in earlier if one.manifest_path not in shared - touched)
    new = state.data_entries(one for one in later if one.manifest_path not in shared - touched)
    added = [state.file(entry, after) for path, entry in new.items() if path not in old]
    removed = [state.file(entry, before) for path, entry in old.items() if path not in new]
    both = [(_marked(state, old[path], before), _marked(state, new[path], after)) for path in new if path in old]
    back, gone = back_and_gone(both, lambda file: state.deleted_rows(file, file.deletes or ""))
    return added + back, removed + gone


def _marked(state: State, entry: Entry, snapshot: "Snapshot") -> Marked:
    file = state.file(entry, snapshot)
    marks = state.delete_files(snapshot).applying(target_of(entry))
    return Marked(file, frozenset(map(key_of, marks)), None if file.rows is None else entry.rows - file.rows)


def _touched(
    state: State, before: "Snapshot", after: "Snapshot", manifests: "Iterable[ManifestFile]"
) -> "Iterator[ManifestFile]":
    """Those of the manifests that may have data files to which other deletes apply at one snapshot than at the other."""
    if _paths(state.delete_manifests(before)) == _paths(state.delete_manifests(after)):
        return
    earlier, later = ({key_of(one): one for one in state.delete_entries(snapshot)} for snapshot in (before, after))
    changed = [earlier.get(key) or later[key] for key in earlier.keys() ^ later.keys()]
    where = {(one.spec_id, one.partition) for one in changed}
    specs = state.metadata.specs()
    everywhere = any(specs[spec_id].is_unpartitioned() for spec_id, _ in where)
    for manifest in manifests:
        spec_id = manifest.partition_spec_id
        partitions: list[Any] = [partition for of, partition in where if of == spec_id]
        if everywhere or any(admits(manifest, specs[spec_id], state.metadata, one) for one in partitions):
            yield manifest


def _paths(manifests: "Iterable[ManifestFile]") -> set[str]:
    return {one.manifest_path for one in manifests}


def _operation(snapshot: "Snapshot") -> str:
    return snapshot.summary.operation.value if snapshot.summary is not None else ""
