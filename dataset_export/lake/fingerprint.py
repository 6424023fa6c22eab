"""What a set of files was, as a short text of a size that does not grow, and which files the set differs by later.

Every file goes as a record of fixed size (hash of its path, bytes, modification) into three cells that its hash chooses; a cell
counts its records and mixes them by exclusive or. So the cells of two sets, less each other, are the cells of what is in one of
them only, and a cell that counts one has that record in plain. With what is taken out of it, further ones come up (Eppstein,
Goodrich, Uyeda, Varghese: What's the difference? SIGCOMM 2011). No path can be read from it.
"""

import struct
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

from dataset_export.errors import IntegrityError
from dataset_export.lake.folder_files import DataFile

CELLS = 48
"""For about twenty differing files; of more, only some or their number is told."""

PER_PART = CELLS // 3

_FIELDS = struct.Struct(">QQQ")
_RECORD = struct.Struct(">QQQI")
_CELL = struct.Struct(f">i{_RECORD.size}s")

_PRIME, _FACTOR, _MASK = 2**61 - 1, 0x9E3779B97F4A7C15, 2**64 - 1


@dataclass(frozen=True)
class Record:
    """What a fingerprint has of one file: the hash of its path, its bytes, the version that it came with."""

    path: int
    bytes: int
    version: int

    @staticmethod
    def of(file: DataFile) -> "Record":
        """That of a file."""
        return Record(path_hash(file.path), file.bytes, file.version)


@dataclass(frozen=True)
class Difference:
    """Records that are in one of two sets only; when not `complete` there are more of them."""

    came: list[Record]
    gone: list[Record]
    complete: bool


def path_hash(path: str) -> int:
    """The hash of a path in a record."""
    return int.from_bytes(blake2b(path.encode(), digest_size=8).digest(), "big")


def fingerprint(files: Iterable[DataFile]) -> str:
    """The fingerprint of a set of files."""
    counts, mixes = _cells(files)
    size = _RECORD.size
    return b64encode(
        zlib.compress(b"".join(_CELL.pack(n, mix.to_bytes(size, "big")) for n, mix in zip(counts, mixes, strict=True)))
    ).decode()


def difference(recorded: str, files: Iterable[DataFile]) -> Difference | None:
    """How files differ from those of a fingerprint; None when they do not.

    Raises:
        IntegrityError: when the text is no fingerprint.
    """
    counts, mixes = _cells(files)
    for at, (count, mix) in enumerate(_parsed(recorded)):
        counts[at] -= count
        mixes[at] ^= mix
    if not any(counts) and not any(mixes):
        return None
    came: list[Record] = []
    gone: list[Record] = []
    while len(came) + len(gone) < CELLS:
        pure = next((at for at in range(CELLS) if _is_pure(at, counts[at], mixes[at])), None)
        if pure is None:
            break
        mix, sign = mixes[pure], counts[pure]
        record = _record(mix)
        (came if sign > 0 else gone).append(record)
        for at in _places(mix):
            counts[at] -= sign
            mixes[at] ^= mix
    return Difference(came, gone, complete=not any(counts) and not any(mixes))


def _cells(files: Iterable[DataFile]) -> tuple[list[int], list[int]]:
    counts, mixes = [0] * CELLS, [0] * CELLS
    for file in files:
        mix = _mix(Record.of(file))
        for at in _places(mix):
            counts[at] += 1
            mixes[at] ^= mix
    return counts, mixes


def _mix(record: Record) -> int:
    """A record with a check sum at its end, by which it is known to be alone in a cell."""
    fields = int.from_bytes(_FIELDS.pack(record.path, record.bytes, record.version), "big")
    # Not a CRC: that of three mixed records is the mix of theirs.
    return fields << 32 | _spread(fields) >> 32


def _record(mix: int) -> Record:
    path, size, version, _ = _RECORD.unpack(mix.to_bytes(_RECORD.size, "big"))
    return Record(path, size, version)


def _is_pure(at: int, count: int, mix: int) -> bool:
    return abs(count) == 1 and mix == _mix(_record(mix)) and at in _places(mix)


def _places(mix: int) -> tuple[int, int, int]:
    """The cells of a record, one in each third of them."""
    spread = _spread(mix)
    first, second, third = spread >> 48, (spread >> 32) & 0xFFFF, (spread >> 16) & 0xFFFF
    return first % PER_PART, PER_PART + second % PER_PART, 2 * PER_PART + third % PER_PART


def _spread(number: int) -> int:
    """64 bits of which each depends on many of the number."""
    return (number % _PRIME * _FACTOR) & _MASK


def _parsed(text: str) -> list[tuple[int, int]]:
    try:
        data = zlib.decompress(b64decode(text, validate=True))
        cells = [(count, int.from_bytes(mix, "big")) for count, mix in _CELL.iter_unpack(data)]
    except (ValueError, zlib.error, struct.error) as error:
        raise IntegrityError("the recorded fingerprint of a folder is none: launch the export in full mode") from error
    if len(cells) != CELLS:
        raise IntegrityError("the recorded fingerprint of a folder is none: launch the export in full mode")
    return cells
