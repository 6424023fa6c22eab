"""What an export will deliver and how long it will take, by what earlier exports of the same took."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dataset_export.encoding.contract import Way


@dataclass(frozen=True)
class Measured:
    """An earlier export: bytes of its source files, delivered bytes, and seconds from planning to the manifest."""

    source_bytes: int
    bytes: int
    seconds: float


@dataclass(frozen=True)
class Estimate:
    """Bytes to deliver and seconds to take; `exports` earlier ones were measured for it, none where defaults had to do."""

    bytes: int
    seconds: float
    exports: int = 0


DEFAULTS = {
    Way.DROPPED: (0.0, 1e12),
    Way.PASS_THROUGH: (1.0, 200e6),
    Way.ROW_GROUP_COPY: (1.0, 200e6),
    Way.COLUMN_COPY: (0.8, 200e6),
    Way.PAGE_TRANSCODE: (1.05, 100e6),
    Way.REWRITE: (1.1, 30e6),
    Way.NDJSON: (1.4, 50e6),
}
"""By way: bytes delivered for each byte of the source, and bytes of the source in a second, on two cores and into a local
folder. Of files whose way is not known, those of a rewrite count."""


def estimate(files: Iterable[tuple[int, Way | None]], measured: Sequence[Measured]) -> Estimate:
    """What files will become.

    Args:
        files: bytes of the sources of each, and its way where that is known.
        measured: earlier exports in the same form. What they took for a byte of their sources counts, all together, so that
            a large one counts more than a small one.
    """
    files = list(files)
    source_bytes = sum(size for size, _ in files)
    before = sum(one.source_bytes for one in measured)
    if before:
        return Estimate(
            bytes=round(source_bytes * sum(one.bytes for one in measured) / before),
            seconds=source_bytes * sum(one.seconds for one in measured) / before,
            exports=len(measured),
        )
    rated = [(size, *DEFAULTS[way or Way.REWRITE]) for size, way in files]
    return Estimate(
        bytes=round(sum(size * ratio for size, ratio, _ in rated)), seconds=sum(size / rate for size, _, rate in rated)
    )
