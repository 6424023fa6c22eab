"""Digests of rows on the local disk, in pieces small enough for memory: equal digests are in the same piece. One row that is
there very many times is the same digest as often, and its piece as large."""

from __future__ import annotations

import errno
import io
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

from dataset_export.encoding.row_digests import WORD_BYTES
from dataset_export.errors import StorageFull

if TYPE_CHECKING:
    import numpy as np

FILE_BITS = 6
"""Of a digest, by which it is put into one of 64 files."""

PIECE_ROWS = 1 << 19
"""A file with more rows is read in pieces by further bits, once for each of them: so many rows in one, about."""

BUFFERED_ROWS = 1 << 18
"""Rows that are sorted into pieces at a time."""


class DigestSpill:
    """Temporary files in `TMPDIR`, 16 bytes for each removed row and 24 for each added one; they have no names, so that
    nothing stays of a process that dies. Raises StorageFull when there is no room."""

    def __init__(self) -> None:
        self._removed = _Rows(words=2)
        self._added = _Rows(words=3)

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

        for number in range(1 << FILE_BITS):
            rows = max(self._removed.rows_in(number), self._added.rows_in(number))
            bits = (max(0, rows - 1) // PIECE_ROWS).bit_length()
            for piece in range(1 << bits):
                removed, added = (one.read(number, bits, piece) for one in (self._removed, self._added))
                yield removed, added[:2], added[2].astype(np.int64)

    def close(self) -> None:
        """Drop the files."""
        self._removed.close()
        self._added.close()


class _Rows:
    """Rows of `words` 64-bit words, in files by the first bits of the second word."""

    def __init__(self, words: int) -> None:
        self._words = words
        self._waiting: list[np.ndarray] = []
        self._waiting_rows = 0
        with _disk():
            self._files: list[IO[bytes]] = [tempfile.TemporaryFile() for _ in range(1 << FILE_BITS)]  # noqa: SIM115

    def write(self, rows: np.ndarray) -> None:
        self._waiting.append(rows)
        self._waiting_rows += rows.shape[1]
        if self._waiting_rows >= BUFFERED_ROWS:
            self._flush()

    def rows_in(self, number: int) -> int:
        """Of a file."""
        self._flush()
        with _disk():
            return self._files[number].seek(0, io.SEEK_END) // (WORD_BYTES * self._words)

    def read(self, number: int, bits: int, piece: int) -> np.ndarray:
        """Of a file, the rows that have this number in the `bits` after those that it was chosen by."""
        import numpy as np

        found = [np.empty((0, self._words), np.uint64)]
        file = self._files[number]
        with _disk():
            file.seek(0)
            while data := file.read(WORD_BYTES * self._words * BUFFERED_ROWS):
                rows = np.frombuffer(data, np.uint64).reshape(-1, self._words)
                if bits:
                    left = rows[:, 1] << np.uint64(FILE_BITS)
                    rows = rows[left >> np.uint64(64 - bits) == piece]
                found.append(rows)
        return np.ascontiguousarray(np.concatenate(found).T)

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
        piece = (rows[1] >> np.uint64(64 - FILE_BITS)).astype(np.uint8)
        order = np.argsort(piece, kind="stable")
        bounds = np.searchsorted(piece[order], np.arange((1 << FILE_BITS) + 1))
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
