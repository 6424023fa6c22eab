"""A plain folder of parquet files as a table, local or on an object store.

It has no log, so its versions are made of what the store tells of its files (design: "Which rows belong to an export"). A version is
the set of files that were last modified at a moment or before, and its number is that moment. A file belongs to a version once it
has settled, that is, has not been modified for a while: a file that is still written moves on, and one that a store dates by the
beginning of its upload is there by then.

Nothing keeps a folder from being changed behind a version's back. So what a version consists of is fingerprinted when it is
exported, and compared before the next export goes on from it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from dataset_export.errors import CorruptFile, NotFound, VersionGone
from dataset_export.lake import fingerprint
from dataset_export.lake.fingerprint import Difference
from dataset_export.lake.folder_changes import changes_in_words
from dataset_export.lake.folder_files import DataFile, data_files, moment_of, version_at
from dataset_export.lake.footer_cache import FooterCache
from dataset_export.lake.footers import Footers, schema_in
from dataset_export.lake.location import TableLocation
from dataset_export.lake.merged_schema import merged_schema
from dataset_export.lake.objects import ObjectFolder, RangedFile, local_path
from dataset_export.lake.origin import Origin
from dataset_export.lake.spans import only_pruned, sums_of
from dataset_export.lake.table import Slice, SourceFile, Version

if TYPE_CHECKING:
    import pyarrow as pa


SEPARATOR = "."
"""Between a fingerprint and its spans."""


def now() -> datetime:
    """The time (UTC) by which files settle."""
    return datetime.now(UTC)


class ParquetFolder:
    """The `Table` protocol over a folder of parquet files. Looks into it at the first question; one per thread."""

    def __init__(self, location: TableLocation) -> None:
        self._location = location
        self._objects = ObjectFolder(location)
        self._cache = FooterCache()
        self._footers = Footers(self._objects, location, self._cache)
        self._listed: list[DataFile] | None = None

    def versions(self, limit: int | None = None) -> list[Version]:
        """The newest versions, newest first, of what has settled. Raises NotFound when there is none."""
        settled = self._settled()
        if not settled:
            raise NotFound(
                f"the folder {self._location.uri} has no parquet file that has not been modified for "
                f"{self._location.settle_minutes} minutes (settle_minutes)"
            )
        numbers = sorted({file.version for file in settled}, reverse=True)
        return [Version(number, moment_of(number)) for number in numbers[:limit]]

    def newest_before(self, moment: datetime, *, at_least: int | None = None) -> Version | None:
        """The version with everything modified strictly before `moment` that has settled, never one below `at_least`."""
        try:
            found = [file.version for file in self._settled() if file.modified < moment]
        except NotFound:
            if at_least is None or self._kept is None:
                raise
            # All of it may have been removed by now: `require` tells.
            found, self._listed = list[int](), list[DataFile]()
        if at_least is not None:
            found.append(at_least)
        return Version(max(found), moment_of(max(found))) if found else None

    def slice(self, lower: int | None, upper: int) -> Slice:
        """The files that came after version `lower` (None: all) up to and including `upper`, by modification and path."""
        if lower is not None and lower > upper:
            raise ValueError(f"a slice from version {lower} to the older version {upper}")
        added = [file for file in self._at(upper) if lower is None or file.version > lower]
        return Slice(lower, upper, tuple(self._source_files(added)))

    def schema(self, version: int) -> "pa.Schema":
        """The columns of all files of a version by name, then those that folders are named for, as text. See `merged_schema`."""
        import pyarrow as pa

        files = self._at(version)
        first: dict[bytes, str] = {}
        for file, facts in zip(files, self._footers.of(files), strict=True):
            first.setdefault(facts.schema, file.path)
        schema = merged_schema(((path, schema_in(message)) for message, path in first.items()), self._location.uri)
        folders = dict.fromkeys(name for file in files for name in file.partition)
        for name in folders:
            if name not in schema.names:
                schema = schema.append(pa.field(name, pa.string()))
        return schema

    def row_count(self, version: int) -> int | None:
        """Rows of all files of a version, by their footers."""
        return sum(facts.rows for facts in self._footers.of(self._at(version)))

    def fingerprint(self, version: int) -> str:
        """What a version consists of; see `lake.fingerprint` and, where files are not kept for ever, `lake.spans`."""
        files, kept = self._at(version), self._kept
        text = fingerprint.fingerprint(files)
        return text if kept is None else f"{text}{SEPARATOR}{sums_of(files, version, kept)}"

    def require(self, version: int, recorded: str | None, lower: int | None = None) -> None:
        """Raise VersionGone when the files of a version are not those of its fingerprint, naming them and the way out. Those up to
        `lower` may be gone once they are older than `retention_days`."""
        uri = self._location.uri
        if recorded is None:
            raise VersionGone(
                f"{uri} was no folder of parquet files when version {version} was exported, so what is new in it cannot be told: "
                "launch the export in full mode, or declare it as another dataset"
            )
        text, _, sums = recorded.partition(SEPARATOR)
        found = fingerprint.difference(text, self._at(version))
        if found is not None and lower is not None and self._kept is not None:
            found = self._not_pruned(found, sums, version, lower, self._kept)
        if found is not None:
            gone = self._cache.paths(record.path for record in found.gone)
            raise VersionGone(changes_in_words(found, self._files(), gone, version, uri))

    def open(self, file: SourceFile) -> RangedFile:
        """Open a data file for reading by ranges. Raises CorruptFile when it is gone or is not the file that was listed."""
        uri = self._location.uri
        try:
            listed = self._objects.head(file.path)
        except FileNotFoundError as error:
            raise CorruptFile(
                f"the file {file.path} of the folder {uri} was removed while it was to be exported: put it back, or export again"
            ) from error
        # Some stores tell fractions of a second in a listing only.
        since = listed.modified - datetime.fromisoformat(file.modified) if file.modified else timedelta()
        if listed.bytes != file.bytes or abs(since) >= timedelta(seconds=1):
            raise CorruptFile(
                f"the file {file.path} of the folder {uri} was changed while it was to be exported: export again, and write new "
                "files instead of changing those that are there"
            )
        return RangedFile(self._objects, file.path, listed.bytes)

    def origin(self, file: SourceFile) -> Origin | None:
        """Where the bytes of a data file lie."""
        return self._objects.origin(file.path)

    def row_selection(self, file: SourceFile) -> None:
        """None: every row of a file counts."""

    def file_columns(self, file: SourceFile, version: int) -> None:
        """None: columns have the names that they have in the files."""

    @property
    def _kept(self) -> timedelta | None:
        days = self._location.retention_days
        return None if days is None else timedelta(days=days)

    def _not_pruned(self, found: Difference, sums: str, version: int, lower: int, kept: timedelta) -> Difference | None:
        """What is left of a difference without the files up to `lower` that are gone because they were old."""
        kept_from = version_at(now() - kept)
        if found.complete:
            gone = [record for record in found.gone if record.version >= min(kept_from, lower + 1)]
            return replace(found, gone=gone) if gone or found.came else None
        if sums and only_pruned(sums, self._at(version), version, kept_from=kept_from, lower=lower):
            return None
        return found

    def _settled(self) -> list[DataFile]:
        """The files that may be exported, by a new look at the folder."""
        self._listed = None
        latest = now() - timedelta(minutes=self._location.settle_minutes)
        return [file for file in self._files() if file.modified <= latest]

    def _files(self) -> list[DataFile]:
        if self._listed is None:
            found = list(self._objects.list(""))
            if not found and local_path(self._location.uri) is None:
                raise NotFound(
                    f"there is no table at {self._location.uri}: nothing is below it; correct its location, or fill it"
                )
            self._listed = data_files(found, self._location.uri)
        return self._listed

    def _at(self, version: int) -> list[DataFile]:
        return [file for file in self._files() if file.version <= version]

    def _source_files(self, files: Sequence[DataFile]) -> Iterable[SourceFile]:
        for file, facts in zip(files, self._footers.of(files), strict=True):
            yield SourceFile(
                path=file.path,
                bytes=file.bytes,
                rows=facts.rows,
                partition=file.partition,
                modified=file.modified.isoformat(),
            )
