"""The bytes of a parquet file on their way into a sink, small pieces gathered into large ones."""

from __future__ import annotations

from typing import Any

from dataset_export.encoding.contract import Sink

GATHERED = 1 << 20
"""Bytes of a call of the sink, about: a page of a kilobyte is not worth one."""

LARGE = 128 << 10
"""Bytes from which a piece goes to the sink as it is, without a copy."""


class Output:
    """Counts what was written: `position` is where the next byte goes."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._gathered = bytearray()
        self.position = 0

    def write(self, piece: Any) -> None:
        """Append bytes, or anything with the buffer protocol and a length. Raises what the sink raises."""
        self.position += len(piece)
        if len(piece) >= LARGE:
            self.flush()
            self._sink(memoryview(piece))
            return
        self._gathered += piece
        if len(self._gathered) >= GATHERED:
            self.flush()

    def flush(self) -> None:
        """Hand over what is gathered."""
        if self._gathered:
            gathered, self._gathered = self._gathered, bytearray()
            self._sink(gathered)
