"""The net-new difference: rows of the added files minus rows of the removed files, as multisets.

A row is its digest (`row_digests`), of 16 bytes. Up to `IN_MEMORY` removed rows are held; the added rows stream by, and each
takes away one that is equal. More of them go to the local disk, and so do the digests of the added rows, in pieces by their
first bits: each piece is compared on its own, and what comes out is one bit for each added row. The added files are read twice
then, and memory stays the same.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from dataset_export.encoding.digest_spill import DigestSpill
from dataset_export.encoding.row_digests import RowDigests

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

IN_MEMORY = 2_000_000
"""Removed rows that are compared without the disk: 32 MB of digests, and four times that while they are sorted."""


class Removed:
    """The multiset of removed rows: `add` them all, `seal`, and with `two_passes` `look_at` all added rows first; then
    `take_from` the added rows what is still there. Close it afterwards.

    Rows must have equal schemas, nested names and types included. Raises StorageFull when the local disk is full."""

    def __init__(self) -> None:
        self._digests = RowDigests()
        self._pieces: list[np.ndarray] = []
        self._rows = 0
        self._counted: DigestCounts | None = None
        self._spill: DigestSpill | None = None
        self._net_new: np.ndarray | None = None
        self._looked_at = self._taken = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._spill is not None:
            self._spill.close()

    @property
    def two_passes(self) -> bool:
        """Whether all added rows have to be looked at before the first is taken."""
        return self._spill is not None

    def add(self, batch: pa.RecordBatch) -> None:
        """Add removed rows."""
        if not batch.num_rows:
            return
        self._rows += batch.num_rows
        self._pieces.append(self._digests.of(batch))
        if self._spill is None and self._rows > IN_MEMORY:
            self._spill = DigestSpill()
        if self._spill is not None:
            for piece in self._pieces:
                self._spill.removed(piece)
            self._pieces = []

    def seal(self) -> None:
        """End of the removed rows."""
        import numpy as np

        if self._spill is None and self._rows:
            self._counted = DigestCounts(np.concatenate(self._pieces, axis=1))
        self._pieces = []

    def look_at(self, batch: pa.RecordBatch) -> None:
        """The first pass over the added rows, in the order of the second one."""
        if self._spill is not None and batch.num_rows:
            self._spill.added(self._digests.of(batch), self._looked_at)
            self._looked_at += batch.num_rows

    def take_from(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows of `batch` that are net new; each of the others uses up one removed row."""
        import pyarrow as pa

        if not self._rows or not batch.num_rows:
            return batch
        net_new = (
            self._chosen(batch.num_rows) if self._counted is None else ~self._counted.take(self._digests.of(batch))
        )
        return batch if net_new.all() else batch.filter(pa.array(net_new))

    def _chosen(self, rows: int) -> np.ndarray:
        """Which of the next rows are net new, by what the first pass found."""
        import numpy as np

        if self._net_new is None:
            self._net_new = self._compared()
        first, self._taken = self._taken, self._taken + rows
        bits = np.unpackbits(self._net_new[first // 8 : -(-self._taken // 8)], bitorder="little")
        return bits[first % 8 :][:rows].astype(bool)

    def _compared(self) -> np.ndarray:
        """One bit for each added row: whether it is net new."""
        import numpy as np

        bits = np.full(-(-self._looked_at // 8), 0xFF, np.uint8)
        for removed, added, places in self._spill.pieces() if self._spill else ():
            carried = places[DigestCounts(removed).take(added)] if removed.shape[1] else places[:0]
            np.bitwise_and.at(bits, carried >> 3, ~(np.uint8(1) << (carried & 7).astype(np.uint8)))
        return bits


class DigestCounts:
    """A multiset of digests in memory, one at least, from which some are taken."""

    def __init__(self, digests: np.ndarray) -> None:
        import numpy as np

        every = digests[:, _sorted(digests)]
        first = np.append(True, (every[:, 1:] != every[:, :-1]).any(axis=0))
        starts = np.flatnonzero(first)
        self._left = np.diff(np.append(starts, every.shape[1]))
        self._second, self._first = every[:, starts]
        alike = np.flatnonzero(np.append(True, self._first[1:] != self._first[:-1]))
        self._longest = int(np.diff(np.append(alike, len(starts))).max())
        """Digests at most that have the same first word, by which they are looked up: one, but for chance."""

    def take(self, digests: np.ndarray) -> np.ndarray:
        """For each digest, in order, whether one like it was there, which is then gone."""
        import numpy as np

        # In their order, searching goes through memory once and not here and there.
        order = _by_first(digests)
        second, first = digests[:, order]
        low = np.searchsorted(self._first, first)
        found = np.full(len(first), -1)
        for step in range(self._longest):
            place = np.minimum(low + step, len(self._first) - 1)
            found = np.where((self._first[place] == first) & (self._second[place] == second), place, found)
        rows = np.flatnonzero(found >= 0)
        # Sorted already, but for different digests with the same first word.
        rows = rows[np.argsort(found[rows], kind="stable")]
        places = found[rows]
        starts = np.flatnonzero(np.append(True, places[1:] != places[:-1])[: len(places)])
        counts = np.diff(np.append(starts, len(places)))
        groups = places[starts]
        nth = np.arange(len(places)) - np.repeat(starts, counts)
        taken = np.zeros(len(first), bool)
        taken[order[rows]] = nth < self._left[places]
        self._left[groups] -= np.minimum(self._left[groups], counts)
        return taken


def _by_first(digests: np.ndarray) -> np.ndarray:
    """The order of digests by their first words; those with the same one in their order. Sorting that keeps it takes several
    times as long, and first words are rarely the same."""
    import numpy as np

    first = digests[1]
    order = np.argsort(first)
    return np.argsort(first, kind="stable") if _has_alike(first[order]) else order


def _sorted(digests: np.ndarray) -> np.ndarray:
    """The order of digests by both words, the first one first."""
    import numpy as np

    order = np.argsort(digests[1])
    return np.lexsort(digests) if _has_alike(digests[1, order]) else order


def _has_alike(words: np.ndarray) -> bool:
    return bool((words[1:] == words[:-1]).any())
