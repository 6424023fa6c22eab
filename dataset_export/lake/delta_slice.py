"""Which files make the slice between two versions of a Delta table.

What is asked for is T(upper) minus T(lower) as multisets of rows: compaction adds nothing, a rewrite adds what is net
new. `Slice` says it by files, rows(added) - rows(removed), and any choice of files with that difference is right.
Reading as little as possible is what is left to decide.

*Every commit's change is signed*: rows of its adds less rows of its removes; over the range they sum to T(upper) less
T(lower). A file added and later removed cancels out, by path and deletion vector. A commit marked `dataChange=false` sums to nothing by
Delta's own definition, so such a commit may be counted or left out, whichever is better:

* Left out (the rule): an appended file that was compacted afterwards, perhaps together with old rows, is still
  delivered from the file that was appended. It exists physically until a vacuum that comes later than the retention
  time, and it needs no comparison of rows. Whatever happens to the compacted file C then stays right: a delete that
  rewrites C into D counts as +D -C, and C's new rows cancel against the appended file that is in the sum too.
* Counted, when all that it rewrites in a partition was itself added in the range: then the compacted file stands for
  the appended ones. It has the same rows, is one file instead of many, and may well be live still, so that no vacuum
  takes it. Rows never change partition in such a commit, so each partition is judged by itself.

A restore can bring a compacted file back by a data change, so that a file would count twice. Then no choice of whole
files from the log is left, and the states themselves are compared: files live at upper only, less files live at lower
only. That is always right and may read all that compaction touched.

*Deletion vectors* make of one file several sets of rows, told apart by (path, vector). A file that counts with +1 under one
vector and with -1 under another has changed by the rows that are in one vector only: those that only the later one has
are removed, those that only the earlier one has are back (a restore). Only these are read, never the whole file twice.

Removed files must exist physically for the comparison, and appended files that were compacted must too. Delta keeps
both for the table's retention time after the commit that removed them; `open` tells when a vacuum was faster.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from dataset_export.lake.deletion_vectors import vector_of
from dataset_export.lake.delta_log import READERS, Commit, FileAction
from dataset_export.lake.table import Slice, SourceFile

if TYPE_CHECKING:
    import numpy as np

Files = Mapping[str, SourceFile]
Key = tuple[str, str | None]
DeletedRows = Callable[[str], "np.ndarray"]
"""The positions that a `SourceFile.deletes` stands for."""


def slice_between(
    lower: int,
    upper: int,
    commits: Iterable[Commit],
    *,
    live_at: Callable[[int], Files],
    exact_partitions: frozenset[str],
    deleted_rows: DeletedRows,
) -> Slice:
    """The slice that `commits`, those after `lower` up to `upper`, make.

    Args:
        lower: exclusive.
        upper: inclusive.
        commits: in order.
        live_at: the files of the table at a version; asked only when the log does not suffice.
        exact_partitions: partition columns of which equal values always have equal text.
        deleted_rows: asked only for files that had a deletion vector and now have another one.
    """
    changes = _Changes()
    for commit in commits:
        changes.count(commit.actions)
    after, before = changes.added(), changes.removed()
    if not changes.whole_files():
        before, after = live_at(lower), live_at(upper)
    elif changes.unknown & {_key(file) for file in before.values()}:
        known = live_at(lower)
        before = {path: known.get(path, file) for path, file in before.items()}
    added, removed = _difference(before, after, deleted_rows)
    return Slice(lower, upper, tuple(added), tuple(_sharing_rows(removed, added, exact_partitions)))


class _Changes:
    """Files, each with the deletion vector it had, with the sign they count with: +1 added, -1 removed, 0 cancelled
    out."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[str | None, int]] = defaultdict(lambda: defaultdict(int))
        self._files: dict[Key, SourceFile] = {}
        self.unknown: set[Key] = set()
        """Removed files of which neither size nor partition is known."""

    def count(self, actions: list[FileAction]) -> None:
        """Take in one commit."""
        for action in actions:
            key = _key(action.file)
            if action.complete and (action.adds or key not in self._files):
                self._files[key] = action.file
                self.unknown.discard(key)
            elif key not in self._files:
                self._files[key] = action.file
                self.unknown.add(key)
        for action in actions:
            if action.data_change:
                self._add(action)
        for rewrite in self._rewrites(actions):
            gone = [action.file for action in rewrite if not action.adds]
            if gone and all(self._is_new(file) for file in gone):
                for action in rewrite:
                    self._add(action)

    def added(self) -> dict[str, SourceFile]:
        return self._with_sign(1)

    def removed(self) -> dict[str, SourceFile]:
        return self._with_sign(-1)

    def whole_files(self) -> bool:
        """Whether every file counts at most once with each sign, as `Slice` can say."""
        return all(
            sum(count for count in counts.values() if count * sign > 0) * sign <= 1
            for counts in self._counts.values()
            for sign in (1, -1)
        )

    def _add(self, action: FileAction) -> None:
        self._counts[action.file.path][action.file.deletes] += 1 if action.adds else -1

    def _is_new(self, file: SourceFile) -> bool:
        """Whether all that the range has of a file is that it was added."""
        counts = {vector: count for vector, count in self._counts[file.path].items() if count}
        return counts == {file.deletes: 1}

    def _with_sign(self, sign: int) -> dict[str, SourceFile]:
        return {
            path: self._files[path, vector]
            for path, counts in self._counts.items()
            for vector, count in counts.items()
            if count * sign > 0
        }

    def _rewrites(self, actions: list[FileAction]) -> Iterable[list[FileAction]]:
        """The actions without data change, by partition; all together when a partition is not known."""
        moved = [action for action in actions if not action.data_change]
        if any(_key(action.file) in self.unknown for action in moved):
            return [moved]
        groups: dict[frozenset[tuple[str, str | None]], list[FileAction]] = defaultdict(list)
        for action in moved:
            groups[frozenset(self._files[_key(action.file)].partition.items())].append(action)
        return groups.values()


def _key(file: SourceFile) -> Key:
    return file.path, file.deletes


def _difference(before: Files, after: Files, deleted_rows: DeletedRows) -> tuple[list[SourceFile], list[SourceFile]]:
    """What is in `after` and not in `before`, and the other way round, by files or by rows of them."""
    changed = [path for path in after if path in before and after[path].deletes != before[path].deletes]
    added = [file for path, file in after.items() if path not in before]
    removed = [file for path, file in before.items() if path not in after]
    both = [path for path in changed if before[path].deletes and after[path].deletes]
    with ThreadPoolExecutor(READERS) as pool:
        parts = list(
            pool.map(partial(_changed_rows, deleted_rows), [before[p] for p in both], [after[p] for p in both])
        )
    for back, gone in parts:
        added += [back] if back.rows else []
        removed += [gone] if gone.rows else []
    for path in changed:
        old, new = before[path], after[path]
        if old.deletes is None:
            removed.append(_only(old, new))
        elif new.deletes is None:
            added.append(_only(new, old))
    return added, removed


def _only(file: SourceFile, other: SourceFile) -> SourceFile:
    """Of a file without deleted rows, those that `other` has deleted."""
    return replace(file, only=other.deletes, rows=vector_of(other.deletes or "").rows)


def _changed_rows(deleted_rows: DeletedRows, old: SourceFile, new: SourceFile) -> tuple[SourceFile, SourceFile]:
    """Rows of one file that are back, and those that are gone, by its vectors of before and after."""
    import numpy as np

    earlier, later = deleted_rows(old.deletes or ""), deleted_rows(new.deletes or "")
    kept = len(np.intersect1d(earlier, later, assume_unique=True))
    return (
        replace(new, only=old.deletes, rows=len(earlier) - kept),
        replace(old, only=new.deletes, rows=len(later) - kept),
    )


def _sharing_rows(removed: list[SourceFile], added: list[SourceFile], exact: frozenset[str]) -> list[SourceFile]:
    """The removed files that can hold a row of an added one: their partition values are part of their rows."""

    def values(file: SourceFile) -> tuple[str | None, ...] | None:
        known = all(name in file.partition for name in exact)
        return tuple(file.partition[name] for name in sorted(exact)) if known else None

    present = {values(file) for file in added}
    if None in present:
        return removed
    return [file for file in removed if present and (values(file) is None or values(file) in present)]
