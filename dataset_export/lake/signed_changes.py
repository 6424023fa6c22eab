"""Changes of a table's files, counted with a sign: how the slice between two versions comes from the commits in between.

Rows of the files that a commit adds, less rows of those that it removes, sum up over a range to T(upper) less T(lower). What
each table format makes of that is told in `delta_slice` and `iceberg_slice`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dataset_export.lake.table import SourceFile

Files = Mapping[str, SourceFile]
Key = tuple[str, str | None]


@dataclass(frozen=True)
class FileAction:
    """An add or a remove of a file. `data_change` is false when the commit only moved rows between files. `complete` is
    false for a remove that tells nothing but the path: older writers leave out size and partition values."""

    file: SourceFile
    adds: bool
    data_change: bool
    complete: bool


@dataclass(frozen=True)
class Commit:
    """One commit: its number and its file actions."""

    number: int
    actions: list[FileAction] = field(default_factory=list[FileAction])


class Changes:
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
            key = key_of(action.file)
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
        """What counts with +1, by path."""
        return self._with_sign(1)

    def removed(self) -> dict[str, SourceFile]:
        """What counts with -1, by path."""
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
        if any(key_of(action.file) in self.unknown for action in moved):
            return [moved]
        groups: dict[frozenset[tuple[str, str | None]], list[FileAction]] = defaultdict(list)
        for action in moved:
            groups[frozenset(self._files[key_of(action.file)].partition.items())].append(action)
        return groups.values()


def key_of(file: SourceFile) -> Key:
    """What tells rows of files apart."""
    return file.path, file.deletes


def sharing_rows(removed: list[SourceFile], added: list[SourceFile], exact: frozenset[str]) -> list[SourceFile]:
    """The removed files that can hold a row of an added one: their partition values are part of their rows."""

    def values(file: SourceFile) -> tuple[str | None, ...] | None:
        known = all(name in file.partition for name in exact)
        return tuple(file.partition[name] for name in sorted(exact)) if known else None

    present = {values(file) for file in added}
    if None in present:
        return removed
    return [file for file in removed if present and (values(file) is None or values(file) in present)]
