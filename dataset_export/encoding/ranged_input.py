"""Read chosen ranges of a source once, from front to back, in few large requests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dataset_export.encoding.contract import Source
from dataset_export.encoding.parquet_footer import Footer
from dataset_export.encoding.parquet_input import blamed_on
from dataset_export.encoding.thrift_compact import Malformed

READ = 8 << 20
"""Bytes of a request, and of what is held, unless one page is larger."""

GAP = 64 << 10
"""Bytes between two ranges that are read along rather than asked around."""


class RangedInput:
    """A moving window over the ranges of a source. The file's tail, which the footer came with, is not read again; a file
    that fits into it is not opened at all. Close after use."""

    def __init__(self, source: Source, footer: Footer, ranges: Iterable[tuple[int, int]]) -> None:
        """`ranges` are (start, end), in order and without overlaps."""
        self._source = source
        self._tail = memoryview(footer.tail)
        self._tail_start = footer.file_size - len(footer.tail)
        self._stretches = _joined(ranges)
        self._file: Any = None
        self._start = 0
        self._held = memoryview(b"")

    def ahead(self, start: int, size: int) -> memoryview:
        """At least `size` bytes from `start`, and whatever more is at hand. Positions only grow from call to call.

        Raises Malformed when the range ends first, and what reading raises (see `blamed_on`).
        """
        offset = start - self._start
        if offset + size > len(self._held):
            self._move(start, size)
            offset = 0
        return self._held[offset:]

    def close(self) -> None:
        """Close the source."""
        if self._file is not None:
            self._file.close()

    def _move(self, start: int, size: int) -> None:
        while self._stretches and self._stretches[0][1] <= start:
            del self._stretches[0]
        first, end = self._stretches[0] if self._stretches else (0, 0)
        if start < first or start + size > end:
            raise Malformed(f"it needs {size} bytes where its column chunk ends")
        kept = self._held[start - self._start :]
        fetched = self._fetch(start + len(kept), min(end, start + max(READ, size)))
        self._held = memoryview(bytes(kept) + fetched if kept else fetched)
        self._start = start

    def _fetch(self, start: int, end: int) -> bytes | memoryview:
        if start >= self._tail_start:
            return self._tail[start - self._tail_start : end - self._tail_start]
        data = self._read(start, min(end, self._tail_start))
        return data + self._tail[: end - self._tail_start] if end > self._tail_start else data

    def _read(self, start: int, end: int) -> bytes:
        with blamed_on(self._source):
            if self._file is None:
                self._file = self._source.open()
            self._file.seek(start)
            data = bytes(self._file.read(end - start))
            if len(data) != end - start:
                raise EOFError(f"it ends before byte {end}")
        return data


def _joined(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    stretches: list[tuple[int, int]] = []
    for start, end in ranges:
        if stretches and start - stretches[-1][1] <= GAP:
            stretches[-1] = stretches[-1][0], end
        else:
            stretches.append((start, end))
    return stretches
