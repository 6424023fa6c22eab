"""Which files make the slice between two versions of a Delta table.

What is asked for is T(upper) minus T(lower) as multisets of rows: compaction adds nothing, a rewrite adds what is net
new. `Slice` says it by files, rows(added) - rows(removed), and any choice of files with that difference is right.
Reading as little as possible is what is left to decide.

*Every commit's change is signed*: rows of its adds less rows of its removes; over the range they sum to T(upper) less
T(lower). A file added and later removed cancels out, by path. A commit marked `dataChange=false` sums to nothing by
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

Removed files must exist physically for the comparison, and appended files that were compacted must too. Delta keeps
both for the table's retention time after the commit that removed them; `open` tells when a vacuum was faster.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from dataset_export.lake.delta_log import Commit, FileAction
from dataset_export.lake.table import Slice, SourceFile

Files = Mapping[str, SourceFile]


def slice_between(
    lower: int,
    upper: int,
    commits: Iterable[Commit],
    *,
    live_at: Callable[[int], Files],
    exact_partitions: frozenset[str],
) -> Slice:
    """The slice that `commits`, those after `lower` up to `upper`, make.

    Args:
        lower: exclusive.
        upper: inclusive.
        commits: in order.
        live_at: the files of the table at a version; asked only when the log does not suffice.
        exact_partitions: partition columns of which equal values always have equal text.
    """
    changes = _Changes()
    for commit in commits:
        changes.count(commit.actions)
    added, removed = changes.added(), changes.removed()
    if not changes.whole_files():
        before, after = live_at(lower), live_at(upper)
        added = {path: file for path, file in after.items() if path not in before}
        removed = {path: file for path, file in before.items() if path not in after}
    elif changes.unknown & removed.keys():
        before = live_at(lower)
        removed = {path: before.get(path, file) for path, file in removed.items()}
    compared = [file for file in removed.values() if _may_share_rows(file, added.values(), exact_partitions)]
    return Slice(lower, upper, tuple(added.values()), tuple(compared))


class _Changes:
    """Files with the sign they count with: +1 added, -1 removed, 0 cancelled out."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = defaultdict(int)
        self._files: dict[str, SourceFile] = {}
        self.unknown: set[str] = set()
        """Removed paths of which neither size nor partition is known."""

    def count(self, actions: list[FileAction]) -> None:
        """Take in one commit."""
        for action in actions:
            path = action.file.path
            if action.complete and (action.adds or path not in self._files):
                self._files[path] = action.file
                self.unknown.discard(path)
            elif path not in self._files:
                self._files[path] = action.file
                self.unknown.add(path)
        for action in actions:
            if action.data_change:
                self._counts[action.file.path] += 1 if action.adds else -1
        for rewrite in self._rewrites(actions):
            gone = [action.file.path for action in rewrite if not action.adds]
            if gone and all(self._counts.get(path) == 1 for path in gone):
                for action in rewrite:
                    self._counts[action.file.path] += 1 if action.adds else -1

    def added(self) -> dict[str, SourceFile]:
        return {path: self._files[path] for path, count in self._counts.items() if count > 0}

    def removed(self) -> dict[str, SourceFile]:
        return {path: self._files[path] for path, count in self._counts.items() if count < 0}

    def whole_files(self) -> bool:
        """Whether every file counts once at most, as `Slice` can say."""
        return all(abs(count) <= 1 for count in self._counts.values())

    def _rewrites(self, actions: list[FileAction]) -> Iterable[list[FileAction]]:
        """The actions without data change, by partition; all together when a partition is not known."""
        moved = [action for action in actions if not action.data_change]
        if any(action.file.path in self.unknown for action in moved):
            return [moved]
        groups: dict[frozenset[tuple[str, str | None]], list[FileAction]] = defaultdict(list)
        for action in moved:
            groups[frozenset(self._files[action.file.path].partition.items())].append(action)
        return groups.values()


def _may_share_rows(file: SourceFile, added: Iterable[SourceFile], exact: frozenset[str]) -> bool:
    """Whether a removed file can hold a row of an added one: their partition values are part of their rows."""
    return any(
        all(
            file.partition[name] == other.partition[name]
            for name in exact & file.partition.keys() & other.partition.keys()
        )
        for other in added
    )
