"""The commit log of a Delta table, read object by object.

deltalake tells a table's state at a version; what changed between two versions, and when, only the log's JSON files
say. They are read from the newest backwards, and only as many as the question needs.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from urllib.parse import unquote

from dataset_export.errors import CorruptFile, NotFound, UnsupportedTable, VersionGone
from dataset_export.lake.deletion_vectors import DeletionVector, vector_in_log
from dataset_export.lake.objects import Listed, ObjectFolder
from dataset_export.lake.signed_changes import Commit, FileAction
from dataset_export.lake.table import SourceFile, Version
from dataset_export.lake.timestamp_bounds import lower_bound, upper_bound

LOG = "_delta_log"
READERS = 8
_COMMIT_NAME = re.compile(rf"{LOG}/(\d{{20}})\.json")
_COMMIT_INFO_BYTES = 16 << 10


class DeltaLog:
    """The `_delta_log` folder of one table. `uri` names the table in errors."""

    def __init__(self, objects: ObjectFolder, uri: str) -> None:
        self._objects = objects
        self._uri = uri
        self._times: dict[int, datetime] = {}

    def versions(self) -> Iterator[Version]:
        """The versions the log still has, newest first. Commit times are read as the caller goes on, a few ahead.

        Raises:
            NotFound: when there is no table.
        """
        entries = self._newest_first()
        ahead = 1
        with ThreadPoolExecutor(READERS) as pool:
            while batch := list(islice(entries, ahead)):
                numbers = [number for number, _ in batch]
                yield from map(Version, numbers, pool.map(self._committed_at, batch))
                ahead = min(ahead * 2, 4 * READERS)

    def commits(
        self, lower: int, upper: int, timestamps: Callable[[], tuple[str, ...] | None] = lambda: None
    ) -> Iterator[Commit]:
        """The commits after `lower` up to and including `upper`, in order. `timestamps` tells, when all of them are read,
        where the statistics have the column of which files carry the lower bound.

        Raises:
            VersionGone: when one of them is no longer in the log.
            UnsupportedTable: for a file action that this version cannot follow.
        """
        read = list(self._read_commits(lower, upper))
        path = timestamps()
        for number, entries in read:
            yield Commit(number, [self._file_action(action, path, adds=adds) for adds, action in _actions(entries)])

    def vectors(self, lower: int, upper: int) -> Iterator[list[tuple[bool, str, str | None]]]:
        """Of each commit after `lower` up to and including `upper` the files that it adds (True) and removes, by path, with their deletion
        vectors as `SourceFile.deletes` has them. Nothing else of a file is looked at, since there may be very many.

        Raises:
            VersionGone, UnsupportedTable: as `commits`.
        """
        for _, entries in self._read_commits(lower, upper):
            yield [
                (adds, data_path(action["path"], self._uri), _vector_text(action.get("deletionVector")))
                for adds, action in _actions(entries)
            ]

    def _newest_first(self) -> Iterator[tuple[int, Listed]]:
        checkpoint = self._last_checkpoint()
        oldest: int | None = None
        if checkpoint is not None:
            for number, entry in self._listed(after=f"{LOG}/{checkpoint:020}"):
                oldest = number
                yield number, entry
        for number, entry in self._listed(after=None):
            if oldest is None or number < oldest:
                oldest = number
                yield number, entry
        if oldest is None and checkpoint is None:
            raise NotFound(
                f"there is no Delta table at {self._uri}: it has no {LOG} with commits; correct its location, or its format"
            )

    def _listed(self, after: str | None) -> list[tuple[int, Listed]]:
        found = [
            (int(name[1]), entry)
            for entry in self._objects.list(LOG, after=after)
            if (name := _COMMIT_NAME.fullmatch(entry.path))
        ]
        return sorted(found, key=lambda pair: pair[0], reverse=True)

    def _last_checkpoint(self) -> int | None:
        try:
            return int(json.loads(self._objects.read(f"{LOG}/_last_checkpoint"))["version"])
        except (FileNotFoundError, ValueError, KeyError):
            return None  # only a hint: the listing has everything

    def _committed_at(self, entry: tuple[int, Listed]) -> datetime:
        number, listed = entry
        if number not in self._times:
            self._times[number] = self._read_time(listed)
        return self._times[number]

    def _read_time(self, listed: Listed) -> datetime:
        head = self._objects.read(listed.path, length=min(_COMMIT_INFO_BYTES, listed.bytes)) if listed.bytes else b""
        first, newline, _ = head.partition(b"\n")
        info = self._commit_info([first], listed.path) if newline or len(head) == listed.bytes else None
        if info is None:
            # Writers without in-commit timestamps may put commitInfo anywhere.
            info = self._commit_info(self._objects.read(listed.path).splitlines(), listed.path)
        if info is not None:
            millis = info.get("inCommitTimestamp", info.get("timestamp"))
            if millis is not None:
                return datetime.fromtimestamp(int(millis) / 1000, UTC)
        return listed.modified.astimezone(UTC)  # Delta's own rule where the log has no time

    def _commit_info(self, lines: list[bytes], name: str) -> Mapping[str, Any] | None:
        for line in lines:
            if b'"commitInfo"' in line and (info := self._entry(line, name).get("commitInfo")) is not None:
                return info
        return None

    def _entry(self, line: bytes, name: str) -> dict[str, Any]:
        if not line.strip():
            return {}
        try:
            return json.loads(str(line, "utf-8"))
        except ValueError as error:
            raise CorruptFile(f"the log file {name} of the table {self._uri} is damaged: restore it") from error

    def _read_commits(self, lower: int, upper: int) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        with ThreadPoolExecutor(READERS) as pool:
            for start in range(lower + 1, upper + 1, 2 * READERS):
                numbers = range(start, min(start + 2 * READERS, upper + 1))
                for number, text in zip(numbers, pool.map(self._read_commit, numbers), strict=True):
                    if text is None:
                        raise log_gone(self._uri, lower, number)
                    yield number, [self._entry(line, f"{number:020}.json") for line in text.splitlines()]

    def _read_commit(self, number: int) -> bytes | None:
        try:
            return self._objects.read(f"{LOG}/{number:020}.json")
        except FileNotFoundError:
            return None

    def _file_action(self, action: Mapping[str, Any], timestamps: tuple[str, ...] | None, *, adds: bool) -> FileAction:
        vector = vector_in_log(action.get("deletionVector"))
        partition = action.get("partitionValues")
        size = action.get("size")
        stats = _statistics(action.get("stats"))
        file = SourceFile(
            path=data_path(action["path"], self._uri),
            bytes=size or 0,
            rows=counted_rows(stats.get("numRecords"), vector),
            # Delta: an empty text is null, whatever the type.
            partition={name: value or None for name, value in (partition or {}).items()},
            min_timestamp=lower_bound(_nested_value(stats.get("minValues"), timestamps)),
            max_timestamp=upper_bound(
                _nested_value(stats.get("maxValues"), timestamps), _nested_value(stats.get("nullCount"), timestamps)
            ),
            deletes=vector.text if vector else None,
        )
        return FileAction(
            file=file,
            adds=adds,
            data_change=action.get("dataChange") is not False,
            complete=partition is not None and size is not None,
        )


def _actions(entries: list[dict[str, Any]]) -> Iterator[tuple[bool, Mapping[str, Any]]]:
    """What a commit adds (True) and removes."""
    for entry in entries:
        if add := entry.get("add"):
            yield True, add
        if remove := entry.get("remove"):
            yield False, remove


def _vector_text(entry: Mapping[str, Any] | None) -> str | None:
    vector = vector_in_log(entry) if entry else None
    return vector.text if vector else None


def log_gone(uri: str, lower: int, missing: int) -> VersionGone:
    """The error for a log that no longer reaches back to `lower`."""
    return VersionGone(
        f"the log of the table {uri} no longer has version {missing}, so the rows added after version {lower} cannot "
        "be told: launch the export in full mode, and export at shorter intervals than delta.logRetentionDuration keeps"
    )


def data_path(path: str, uri: str) -> str:
    """The path of a data file from the log's URL-encoded one, relative to the table.

    Raises:
        UnsupportedTable: for an absolute path, which a shallow clone has.
    """
    if path.startswith(("/", "file:")) or "://" in path:
        raise UnsupportedTable(
            f"the table {uri} refers to the file {path} outside its location (a shallow clone): make a deep clone and "
            "export that"
        )
    return unquote(path) if "%" in path else path


def counted_rows(rows: int | None, vector: DeletionVector | None) -> int | None:
    """Rows of a file that count: those by its statistics, which include the deleted ones, less the latter."""
    return rows if rows is None or vector is None else rows - vector.rows


def _nested_value(values: Mapping[str, Any] | None, path: tuple[str, ...] | None) -> Any:
    found: Any = values if path else None
    for name in path or ():
        if not isinstance(found, Mapping):
            return None
        found = found.get(name)
    return found


def _statistics(stats: str | None) -> Mapping[str, Any]:
    return json.loads(stats) if stats else {}
