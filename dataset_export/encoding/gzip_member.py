"""Gzip by isal whose bytes depend on what is compressed and on nothing else, so that a retry makes the same file (P4).

By itself isal at levels 1 and 2 sometimes finds a match in the first bytes of a stream and sometimes does not: the same
text gave up to a hundred different members in as many processes. Not so when the stream begins with a history. So the
first bytes are stored, and are the history of the rest.
"""

from __future__ import annotations

from typing import Any

from dataset_export.encoding.thrift_compact import Bytes

LEVEL = 1
"""Measured (benchmarks/README.md): level 0 is hardly faster, its output two fifths larger; 2 and 3 are slower and hardly
smaller, or larger."""

_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_RAW_DEFLATE = -15
_HISTORY = 8
"""Bytes. One is enough; eight cost nothing."""


class GzipMember:
    """One gzip member (RFC 1952), piece by piece. The pieces of the output depend on those of the input."""

    def __init__(self) -> None:
        self._stream: Any = None
        self._crc = 0
        self._size = 0

    def compress(self, data: Bytes) -> bytes:
        """What can be written once `data` has come."""
        from isal import isal_zlib

        if not len(data):
            return b""
        self._crc = isal_zlib.crc32(data, self._crc)
        self._size += len(data)
        if self._stream is not None:
            return self._stream.compress(data)
        history = bytes(data[:_HISTORY])
        self._stream = isal_zlib.compressobj(LEVEL, wbits=_RAW_DEFLATE, zdict=history)
        return _HEADER + _stored(history) + self._stream.compress(data[_HISTORY:])

    def flush(self) -> bytes:
        """The end of the member."""
        end = _HEADER + _stored(b"", last=True) if self._stream is None else self._stream.flush()
        return end + self._crc.to_bytes(4, "little") + (self._size % 2**32).to_bytes(4, "little")


def gzip_member(data: Bytes) -> bytes:
    """The data as one gzip member."""
    member = GzipMember()
    return member.compress(data) + member.flush()


def _stored(data: bytes, *, last: bool = False) -> bytes:
    """A block of deflate that is not compressed (RFC 1951, 3.2.4)."""
    size = len(data)
    return bytes([last]) + size.to_bytes(2, "little") + (size ^ 0xFFFF).to_bytes(2, "little") + data
