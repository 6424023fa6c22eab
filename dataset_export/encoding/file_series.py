"""Files that are written one after the other, each whole before the next one begins."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Self

from dataset_export.encoding.contract import Encoded, OpenSink, Sink


class FileSeries:
    """Opens the files and keeps what was written into each. As a context manager: left by an exception, the file that is
    open is nobody's."""

    def __init__(self, open_sink: OpenSink) -> None:
        self._open_sink = open_sink
        self._opened = ExitStack()
        self._done: list[Encoded] = []

    def begin(self) -> Sink:
        """The sink of the next file; the one before has ended."""
        return self._opened.enter_context(self._open_sink(len(self._done)))

    def end(self, encoded: Encoded) -> None:
        """The file is whole. Raises what its sink's block raises."""
        self._opened.close()
        self._done.append(encoded)

    def encoded(self, excluded: int, carried_over: int, nothing: Encoded) -> list[Encoded]:
        """All files, the rows that are in none of them counted with the last; `nothing` when there was no row to write."""
        *others, last = self._done or [nothing]
        return [*others, replace(last, excluded=excluded, carried_over=carried_over)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.__exit__(kind, error, trace)
