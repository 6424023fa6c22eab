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
vector and with -1 under another has changed by the rows that are in one vector only; see `changed_rows`.

Removed files must exist physically for the comparison, and appended files that were compacted must too. Delta keeps
both for the table's retention time after the commit that removed them; `open` tells when a vacuum was faster.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from dataset_export.lake.changed_rows import Marked, back_and_gone
from dataset_export.lake.deletion_vectors import vector_of
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
    both = [(_marked(before[path]), _marked(file)) for path, file in after.items() if path in before]
    back, gone = back_and_gone(both, lambda file: deleted_rows(file.deletes or ""))
    added = [file for path, file in after.items() if path not in before]
    removed = [file for path, file in before.items() if path not in after]
    return added + back, removed + gone


def _marked(file: SourceFile) -> Marked:
    if file.deletes is None:
        return Marked(file, frozenset(), 0)
    return Marked(file, frozenset({file.deletes}), vector_of(file.deletes).rows)
