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

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from dataset_export.lake.deletion_vectors import vector_of
from dataset_export.lake.delta_log import READERS
from dataset_export.lake.signed_changes import Changes, Commit, Files, key_of, sharing_rows
from dataset_export.lake.table import Slice, SourceFile

if TYPE_CHECKING:
    import numpy as np

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
    changes = Changes()
    for commit in commits:
        changes.count(commit.actions)
    after, before = changes.added(), changes.removed()
    if not changes.whole_files():
        before, after = live_at(lower), live_at(upper)
    elif changes.unknown & {key_of(file) for file in before.values()}:
        known = live_at(lower)
        before = {path: known.get(path, file) for path, file in before.items()}
    added, removed = _difference(before, after, deleted_rows)
    return Slice(lower, upper, tuple(added), tuple(sharing_rows(removed, added, exact_partitions)))


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
