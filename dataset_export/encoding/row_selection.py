"""The rows of a source that count, by their positions in the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dataset_export.encoding.contract import Selection, Source
from dataset_export.errors import CorruptFile

if TYPE_CHECKING:
    import pyarrow as pa


def selection_of(source: Source) -> SelectedRows | None:
    """Which rows of the source count; None for all of them. Raises as the table does that knows it."""
    found = source.selection() if source.selection is not None else None
    return None if found is None else SelectedRows(found, source.name)


class SelectedRows:
    """Takes the rows that count out of the batches of a file, given where each batch begins."""

    def __init__(self, selection: Selection, name: str) -> None:
        self._dropped = selection.dropped
        self._only = selection.only
        self._name = name

    def of(self, batch: pa.RecordBatch, first: int) -> pa.RecordBatch:
        """The rows of `batch` that count; `first` is the position of its first row in the file."""
        import numpy as np
        import pyarrow as pa

        rows = batch.num_rows
        dropped = _within(self._dropped, first, rows)
        if self._only is None and not len(dropped):
            return batch
        counts = np.full(rows, self._only is None)
        if self._only is not None:
            counts[_within(self._only, first, rows)] = True
        counts[dropped] = False
        return batch.filter(pa.array(counts))

    def require_within(self, rows: int) -> None:
        """Raises CorruptFile when a position is behind the last of the file's `rows` rows: it is about another file."""
        for positions in (self._dropped, self._only):
            if positions is not None and len(positions) and (positions[-1] >= rows or positions[0] < 0):
                raise CorruptFile(
                    f"{self._name} has {rows} rows, and the table marks row {positions[-1]} of it as deleted: restore "
                    "the file or what marks its deleted rows."
                )


def _within(positions: Any, first: int, rows: int) -> Any:
    """Those of the sorted positions that lie in the batch, from its start."""
    import numpy as np

    low, high = np.searchsorted(positions, [first, first + rows])
    return positions[low:high] - first
