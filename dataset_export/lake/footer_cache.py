"""Facts of footers kept on disk, so that planning reads those of new files only, and the paths of files that are no more.

Losing it costs time, and the names in an error, and nothing else.
"""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from hashlib import blake2b
from logging import getLogger
from pathlib import Path
from typing import TypeVar

from dataset_export.lake.fingerprint import path_hash
from dataset_export.lake.folder_files import DataFile

LOG = getLogger("dataset_export")
T = TypeVar("T")

CACHE_VARIABLE = "XDG_CACHE_HOME"
WAIT_SECONDS = 10
ASKED_AT_ONCE = 500

_TABLES = """
create table if not exists footers
    (file blob primary key, rows integer not null, schema blob not null, path_hash blob not null, path text not null)
    without rowid;
create index if not exists paths on footers (path_hash);
create table if not exists schemas (id blob primary key, message blob not null) without rowid;
"""


class FooterCache:
    """Rows and schema of data files by what they are known by. Shared by all processes of a user.

    A cache that cannot be used is none: then footers are read each time, and the log says why.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file or _default_file()

    def find(self, place: str, files: Sequence[DataFile]) -> dict[DataFile, tuple[int, bytes]]:
        """What is known of files of a place: rows and schema."""
        keys = {_key(place, file): file for file in files}

        def found(connection: sqlite3.Connection) -> dict[DataFile, tuple[int, bytes]]:
            schemas = dict(connection.execute("select id, message from schemas"))
            return {keys[key]: (rows, schemas[id_]) for key, rows, id_ in _rows(connection, list(keys))}

        return self._transaction(found, {})

    def keep(self, place: str, facts: Mapping[DataFile, tuple[int, bytes]]) -> None:
        """Remember rows and schema of files."""
        ids = {message: blake2b(message, digest_size=16).digest() for _, message in facts.values()}
        rows = [
            (_key(place, file), rows, ids[message], _bytes(path_hash(file.path)), file.path)
            for file, (rows, message) in facts.items()
        ]

        def put(connection: sqlite3.Connection) -> None:
            connection.executemany("insert or ignore into schemas values (?, ?)", [(id_, m) for m, id_ in ids.items()])
            connection.executemany("insert or replace into footers values (?, ?, ?, ?, ?)", rows)

        self._transaction(put, None)

    def paths(self, hashes: Iterable[int]) -> dict[int, str]:
        """Paths by their hashes (`fingerprint.path_hash`), of those that are known, wherever they were."""

        def found(connection: sqlite3.Connection) -> dict[int, str]:
            asked = "select path from footers where path_hash = ? limit 1"
            return {hash_: path for hash_ in hashes for (path,) in connection.execute(asked, [_bytes(hash_)])}

        return self._transaction(found, {})

    def _transaction(self, act: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._file, timeout=WAIT_SECONDS)) as connection, connection:
                connection.executescript(_TABLES)
                return act(connection)
        except (OSError, sqlite3.Error) as error:
            LOG.warning(
                f"footers are read each time, since {self._file} cannot be used: {error}; remove it, or set {CACHE_VARIABLE}"
            )
            return otherwise


def _rows(connection: sqlite3.Connection, keys: Sequence[bytes]) -> Iterator[tuple[bytes, int, bytes]]:
    for start in range(0, len(keys), ASKED_AT_ONCE):
        asked = keys[start : start + ASKED_AT_ONCE]
        marks = ", ".join("?" * len(asked))
        yield from connection.execute(f"select file, rows, schema from footers where file in ({marks})", asked)  # noqa: S608


def _key(place: str, file: DataFile) -> bytes:
    text = f"{place}\0{file.path}\0{file.bytes}\0{file.version}"
    return blake2b(text.encode(), digest_size=16).digest()


def _bytes(hash_: int) -> bytes:
    return hash_.to_bytes(8, "big")


def _default_file() -> Path:
    folder = Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache")
    return folder / "dataset_export" / "footers.sqlite3"
