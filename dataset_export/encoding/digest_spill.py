"""Digests of rows on the local disk, in pieces small enough for memory: equal digests are in the same piece."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

from dataset_export.errors import StorageFull

if TYPE_CHECKING:
    import numpy as np

PIECE_BITS = 6
"""Of a digest, by which it is put into a piece: of a hundred million rows, each of the 64 has one and a half million."""

BUFFERED_ROWS = 1 << 18
"""Rows that are sorted into pieces at a time."""


class DigestSpill:
    """Temporary files in `TMPDIR`, 16 bytes for each removed row and 24 for each added one; they have no names, so that
    nothing stays of a process that dies. Raises StorageFull when there is no room."""

    def __init__(self) -> None:
        self._removed = _Pieces(words=2)
        self._added = _Pieces(words=3)

    def removed(self, digests: np.ndarray) -> None:
        """Take in digests of removed rows."""
        self._removed.write(digests)

    def added(self, digests: np.ndarray, first: int) -> None:
        """Take in digests of added rows, which are counted from `first`."""
        import numpy as np

        places = np.arange(first, first + digests.shape[1], dtype=np.uint64)
        self._added.write(np.concatenate([digests, places[None]]))

    def pieces(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Piece by piece the digests of removed rows, those of added rows, and the numbers of the latter, which rise."""
        import numpy as np

        for removed, added in zip(self._removed.read(), self._added.read(), strict=True):
            yield removed, added[:2], added[2].astype(np.int64)

    def close(self) -> None:
        """Drop the files."""
        self._removed.close()
        self._added.close()


class _Pieces:
    """Rows of `words` 64-bit words, by the first bits of the second word."""

    def __init__(self, words: int) -> None:
        self._words = words
        self._waiting: list[np.ndarray] = []
        self._waiting_rows = 0
        with _disk():
            self._files: list[IO[bytes]] = [tempfile.TemporaryFile() for _ in range(1 << PIECE_BITS)]  # noqa: SIM115

    def write(self, rows: np.ndarray) -> None:
        self._waiting.append(rows)
        self._waiting_rows += rows.shape[1]
        if self._waiting_rows >= BUFFERED_ROWS:
            self._flush()

    def read(self) -> Iterator[np.ndarray]:
        import numpy as np

        self._flush()
        for file in self._files:
            with _disk():
                file.seek(0)
                data = file.read()
            yield np.ascontiguousarray(np.frombuffer(data, np.uint64).reshape(-1, self._words).T)

    def close(self) -> None:
        self._waiting = []
        for file in self._files:
            # What still waits to be written to a full disk is not needed any more.
            with suppress(OSError):
                file.close()

    def _flush(self) -> None:
        import numpy as np

        if not self._waiting:
            return
        rows = np.concatenate(self._waiting, axis=1)
        self._waiting, self._waiting_rows = [], 0
        piece = (rows[1] >> np.uint64(64 - PIECE_BITS)).astype(np.uint8)
        order = np.argsort(piece, kind="stable")
        bounds = np.searchsorted(piece[order], np.arange((1 << PIECE_BITS) + 1))
        sorted_rows = np.ascontiguousarray(rows[:, order].T)
        with _disk():
            for file, start, end in zip(self._files, bounds[:-1], bounds[1:], strict=True):
                file.write(sorted_rows[start:end].data)


@contextmanager
def _disk() -> Generator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise
        raise StorageFull(
            f"there is no room in {tempfile.gettempdir()} to compare rewritten rows, which takes 16 bytes for each removed "
            "row and 24 for each added one: set TMPDIR to a folder that has it, or export this dataset more often"
        ) from error
