"""Files that two versions of a table have, with other rows marked as deleted: the rows that are gone from them, and those that
are back (a restore). Only these are read, never the whole file twice.

Marks (a deletion vector of Delta, a delete file of Iceberg) are told apart by keys. What only the later version has can have
taken rows away, what only the earlier one has can have held rows back. How many, is known without reading anything where one of the two
has no marks; where both have some, and it is known how many rows these mark, the marked positions are compared.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from dataset_export.lake.table import SourceFile

if TYPE_CHECKING:
    import numpy as np

READERS = 8

DeletedRows = Callable[[SourceFile], "np.ndarray"]
"""The positions that the `deletes` of a file stand for."""


@dataclass(frozen=True)
class Marked:
    """A file at one version.

    Attributes:
        file: with its `deletes`.
        marks: keys of what marks rows of it.
        rows: that are marked; None when only reading the data file would tell.
    """

    file: SourceFile
    marks: frozenset[object]
    rows: int | None


Pair = tuple[Marked, Marked]
"""A file at the earlier version, and at the later one."""


def back_and_gone(pairs: Iterable[Pair], deleted_rows: DeletedRows) -> tuple[list[SourceFile], list[SourceFile]]:
    """The rows that are back, and those that are gone, of files whose marks have changed.

    Raises what `deleted_rows` raises: it is asked, by several threads, of files with marks at both versions.
    """
    changed = [(old, new) for old, new in pairs if old.marks != new.marks]
    with ThreadPoolExecutor(READERS) as pool:
        found = list(pool.map(partial(_of_one, deleted_rows), changed))
    return [file for back, _ in found for file in back], [file for _, gone in found for file in gone]


def _of_one(deleted_rows: DeletedRows, pair: Pair) -> tuple[list[SourceFile], list[SourceFile]]:
    old, new = pair
    may_be_gone, may_be_back = bool(new.marks - old.marks), bool(old.marks - new.marks)
    gone = back = None
    if old.rows is not None and new.rows is not None:
        kept = _common(deleted_rows, old, new) if may_be_gone and may_be_back else min(old.rows, new.rows)
        gone, back = new.rows - kept, old.rows - kept
    return (
        list(_with(new, old, back)) if may_be_back else [],
        list(_with(old, new, gone)) if may_be_gone else [],
    )


def _common(deleted_rows: DeletedRows, old: Marked, new: Marked) -> int:
    """Rows that are marked at both versions."""
    import numpy as np

    return len(np.intersect1d(deleted_rows(old.file), deleted_rows(new.file), assume_unique=True))


def _with(one: Marked, other: Marked, rows: int | None) -> Iterator[SourceFile]:
    """Of a file at one version, the rows that the other one has marked, when there are any."""
    if rows != 0:
        yield replace(one.file, only=other.file.deletes, rows=rows)
