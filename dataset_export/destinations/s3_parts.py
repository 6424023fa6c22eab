"""Into which parts a file is cut on S3, which allows 10,000 parts of at most 5 GiB each.

Parts are held in memory until the server has them, so they stay as small as the file allows. A size hint gives the
first half of the parts to that many bytes; what comes beyond the hint is sent in parts that double ten times over the
rest. So every file of up to 5 TiB fits, with any hint or none, and a file that the hint fits never meets the growth.
"""

import base64
import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from dataset_export.destinations.contract import Staged

MAX_PARTS = 10_000
MIN_PART_BYTES = 8 << 20
MAX_PART_BYTES = 5 << 30
DEFAULT_PART_BYTES = 16 << 20
WORKERS = 4
PARTS_FOR_HINT = MAX_PARTS // 2
PARTS_WITHOUT_HINT = 1_000
DOUBLINGS = 10


class Part(NamedTuple):
    """One part as the server confirmed it: entity tag (without quotes), base64 SHA-256, bytes."""

    etag: str
    sha256: str
    bytes: int


class PartSizes(NamedTuple):
    """The first `steady` parts have `first` bytes each, later ones more."""

    first: int
    steady: int

    @classmethod
    def planned(cls, smallest: int, size_hint: int | None) -> "PartSizes":
        """Sizes for a file of about `size_hint` bytes, of `smallest` bytes where that is enough."""
        hint = size_hint or 0
        first = min(max(smallest, -(-hint // PARTS_FOR_HINT)), MAX_PART_BYTES)
        return cls(first, min(max(PARTS_WITHOUT_HINT, -(-hint // first)), PARTS_FOR_HINT))

    def size(self, number: int) -> int:
        """Bytes of part `number` (from 1)."""
        beyond = max(0, number - self.steady)
        doublings = -(-beyond // ((MAX_PARTS - self.steady) // DOUBLINGS))
        return min(self.first << doublings, MAX_PART_BYTES)

    def start(self, number: int) -> int:
        """The first byte of part `number`."""
        steady = min(number - 1, self.steady)
        return self.first * steady + sum(self.size(one) for one in range(steady + 1, number))

    def at_once(self, number: int) -> int:
        """How many parts may be on their way when part `number` is: `WORKERS`, fewer of the big ones. With the one
        that is being filled, memory holds `WORKERS` + 1 default parts (80 MiB) or three parts, whichever is more."""
        return max(2, min(WORKERS, WORKERS * DEFAULT_PART_BYTES // self.size(number)))


def composite_checksum(parts: Sequence[Part]) -> str:
    """S3's checksum of a multipart object: the SHA-256 of the parts' SHA-256 digests, and their number."""
    digest = hashlib.sha256(b"".join(base64.b64decode(part.sha256) for part in parts)).digest()
    return f"{base64.b64encode(digest).decode()}-{len(parts)}"


def parts_of(staged: Staged) -> list[Part]:
    """The parts that a receipt names."""
    return [Part(*part) for part in staged.handle["parts"]]
