"""The work of an export: which source files become which delivered files, and who stages them together."""

from collections.abc import Iterable
from dataclasses import dataclass

from dataset_export.lake.table import Slice, SourceFile, rows_of

SHARD_BYTES = 512 << 20
SHARD_FILES = 64
"""A shard holds at most so many source bytes (or one file) and files: what a retry repeats at most."""


@dataclass(frozen=True)
class PlannedFile:
    """One delivered file to be made of one source file, or of several that are merged; of all of them, less `minus`, for a
    slice with rewrites. Where the size of files is limited it may become several, and `path` is that of the first."""

    path: str
    sources: tuple[SourceFile, ...]
    minus: tuple[SourceFile, ...] = ()

    @property
    def bytes(self) -> int:
        """Size of the sources."""
        return sum(source.bytes for source in self.sources)

    @property
    def rows(self) -> int | None:
        """Rows of the sources by the table's log; None when it does not say for one of them."""
        return rows_of(self.sources)


@dataclass(frozen=True)
class Shard:
    """Files that one worker stages on its own."""

    index: int
    files: tuple[PlannedFile, ...]


def cut_shards(files: Iterable[PlannedFile]) -> tuple[Shard, ...]:
    """Group files, in order, into shards of at most `SHARD_BYTES` source bytes and `SHARD_FILES` files."""
    groups: list[list[PlannedFile]] = []
    size = 0
    for file in files:
        size += (own := file.bytes)
        if not groups or size > SHARD_BYTES or len(groups[-1]) == SHARD_FILES:
            groups.append([])
            size = own
        groups[-1].append(file)
    return tuple(Shard(index, tuple(group)) for index, group in enumerate(groups))


def group_sources(part: Slice, target_bytes: int | None) -> list[tuple[SourceFile, ...]]:
    """The sources of each delivered file, the same for the same slice: a retry and a repair find them again by number.

    Args:
        part: the slice.
        target_bytes: neighbours are put together as long as they are no larger than that; None: every file on its own.
    """
    # In path order: the order of a log changes with its checkpoints.
    added = sorted(part.added, key=lambda source: (source.path, source.deletes or "", source.only or ""))
    if part.removed:
        return [tuple(added)] if added else []
    if target_bytes is None:
        return [(source,) for source in added]
    groups: list[list[SourceFile]] = []
    size = 0
    for source in added:
        if not groups or size + source.bytes > target_bytes:
            groups.append([])
            size = 0
        groups[-1].append(source)
        size += source.bytes
    return [tuple(group) for group in groups]
