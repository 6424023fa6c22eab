"""Gzip by isal whose bytes depend on what is compressed and on nothing else, so that a retry makes the same file (P4).

By itself isal at levels 1 and 2 sometimes finds a match in the first bytes of a stream and sometimes does not: the same
text gave up to a hundred different members in as many processes. Not so when the stream begins with a history. So the
first bytes are stored, and are the history of the rest.

What is compressed is cut into blocks, each with what came before it as its history. isal makes a whole block in one call that
lets other threads run until its end; its `compressobj` takes the interpreter's lock again for every 16 KB it has made, and
where another thread keeps the lock for long, that waits each time.
"""

from __future__ import annotations

from typing import Any, cast

from dataset_export.encoding.thrift_compact import Bytes

LEVEL = 1
"""Measured (benchmarks/README.md): level 0 is hardly faster, its output two fifths larger; 2 and 3 are slower and hardly
smaller, or larger."""

BLOCK = 1 << 20
"""Bytes compressed in one call, at most."""

HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_HISTORY = 8
"""Bytes. One is enough; eight cost nothing."""

_WINDOW = 32 << 10
"""Bytes that a match may lie behind (RFC 1951)."""

_ROOM = BLOCK + BLOCK // 10
"""Bytes that a block takes at most: what cannot be compressed is stored, in less than one more for ten."""


class GzipMaker:
    """Makes gzip members (RFC 1952), one after the other, piece by piece. The pieces of the output depend on those of the
    input. Not for use by several threads at once."""

    def __init__(self) -> None:
        from isal import isal_zlib

        self._zlib = isal_zlib
        self._blocks: Any = isal_zlib._ParallelCompress(buffersize=_ROOM, level=LEVEL)  # pyright: ignore[reportPrivateUsage]
        self._begin()

    def compress(self, data: Bytes) -> bytes:
        """What can be written once `data` has come."""
        view = memoryview(data)
        if not view.nbytes:
            return b""
        parts: list[bytes] = []
        at = 0
        if not self._size:
            first = bytes(view[:_HISTORY])
            parts += [HEADER, _stored(first)]
            self._take(first, self._zlib.crc32(first))
            at = len(first)
        while at < len(view):
            block = view[at : at + BLOCK]
            written, crc = cast("tuple[bytes, int]", self._blocks.compress_and_crc(block, self._history))
            parts.append(written)
            self._take(block, crc)
            at += len(block)
        return b"".join(parts)

    def finish(self) -> bytes:
        """The end of the member. What is compressed after it is another one."""
        end = (b"" if self._size else HEADER) + gzip_end(self._crc, self._size)
        self._begin()
        return end

    def member(self, data: Bytes) -> bytes:
        """The data as one whole member."""
        return self.compress(data) + self.finish()

    def piece(self, data: Bytes) -> bytes:
        """The data as a piece of a member that needs no other piece: between `HEADER` and `gzip_end` may be any of them.
        Not while a member is being made."""
        written = self.compress(data)[len(HEADER) :]
        self._begin()
        return written

    def _begin(self) -> None:
        self._crc = self._size = 0
        self._history = b""

    def _take(self, data: Bytes, crc: int) -> None:
        size = len(data)
        self._crc = self._zlib.crc32_combine(self._crc, crc, size)
        self._size += size
        kept = bytes(data[-_WINDOW:])
        self._history = kept if size >= _WINDOW else (self._history + kept)[-_WINDOW:]


def gzip_end(crc: int, size: int) -> bytes:
    """The end of a member whose text has this CRC-32 and so many bytes."""
    return _stored(b"", last=True) + crc.to_bytes(4, "little") + (size % 2**32).to_bytes(4, "little")


def _stored(data: bytes, *, last: bool = False) -> bytes:
    """A block of deflate that is not compressed (RFC 1951, 3.2.4)."""
    size = len(data)
    return bytes([last]) + size.to_bytes(2, "little") + (size ^ 0xFFFF).to_bytes(2, "little") + data
