"""Manifest lists and manifests of an Iceberg table, read file by file and only as far as the question needs."""

import io
from collections import OrderedDict
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from dataset_export.errors import CorruptFile
from dataset_export.lake.avro_records import records, require_whole
from dataset_export.lake.iceberg_files import IcebergFiles
from dataset_export.redaction import quoted

if TYPE_CHECKING:
    from pyiceberg.manifest import ManifestFile
    from pyiceberg.table.snapshots import Snapshot

READERS = 8
ENTRIES_KEPT = 200_000
"""Entries of manifests that are held in memory, so that a plan reads no manifest twice; about half a KB each."""


class Status(IntEnum):
    """What a manifest says of a file."""

    EXISTING = 0
    ADDED = 1
    DELETED = 2


class Content(IntEnum):
    """What is in a file."""

    DATA = 0
    POSITION_DELETES = 1
    EQUALITY_DELETES = 2


_STATUSES, _CONTENTS = {one.value: one for one in Status}, {one.value: one for one in Content}


class Entry(NamedTuple):
    """One file in a manifest. A tuple, since a table may have very many: a dataclass takes three times as long to make.

    Attributes:
        status: added or deleted by the snapshot `snapshot_id`, or existing since it was added by that.
        snapshot_id: see `status`.
        sequence: data sequence number, by which deletes find what they apply to.
        content: what is in the file.
        path: whole URL.
        form: PARQUET, ORC, AVRO or PUFFIN.
        spec_id: of the partition spec.
        partition: values by the spec.
        rows: in the file.
        bytes: of the file.
        null_counts: values that are null, by field id, of the columns that statistics were asked for.
        least: lower bounds likewise, serialized.
        most: upper bounds likewise.
        equality_ids: of an equality delete, the columns it compares.
        referenced: of a position delete, the one data file it is about, when it is about one.
        offset: of a deletion vector, where it is in its file, in bytes.
        length: of a deletion vector, its bytes.
    """

    status: Status
    snapshot_id: int
    sequence: int
    content: Content
    path: str
    form: str
    spec_id: int
    partition: tuple[Any, ...]
    rows: int
    bytes: int
    null_counts: Mapping[int, int]
    least: Mapping[int, Any]
    most: Mapping[int, Any]
    equality_ids: tuple[int, ...]
    referenced: str | None
    offset: int | None
    length: int | None

    @property
    def is_live(self) -> bool:
        """Whether the file belongs to the table where the manifest does."""
        return self.status is not Status.DELETED


class Manifests:
    """Reads what the snapshots of one table consist of. `name` is the table's, for errors; `columns` are ids of the fields that
    statistics are wanted of."""

    def __init__(self, files: IcebergFiles, name: str, columns: frozenset[int]) -> None:
        self._files = files
        self._name = name
        self._columns = columns
        self._lists: dict[str, list[ManifestFile]] = {}
        self._entries: OrderedDict[str, list[Entry]] = OrderedDict()
        self._kept = 0

    def of(self, snapshot: "Snapshot") -> "list[ManifestFile]":
        """The manifests of a snapshot.

        Raises:
            CorruptFile: when the list is missing or damaged.
        """
        path = snapshot.manifest_list
        if path not in self._lists:
            with self._told(path):
                self._lists[path] = _read_list(self._files, path)
        return self._lists[path]

    def entries(self, manifests: "Iterable[ManifestFile]") -> Iterator[Entry]:
        """All entries of manifests, several fetched at a time.

        Raises:
            CorruptFile: when one is missing or damaged.
        """
        wanted = list(manifests)
        for start in range(0, len(wanted), 4 * READERS):
            batch = {manifest.manifest_path: manifest for manifest in wanted[start : start + 4 * READERS]}
            # Looked up at once: what is read now may push out what is needed next.
            known = {path: self._entries.get(path) for path in batch}
            missing = [path for path, entries in known.items() if entries is None]
            fetched = dict(zip(missing, self._fetch(missing), strict=True))
            for path, manifest in batch.items():
                entries = known.pop(path)
                if entries is None:
                    with self._told(path):
                        entries = read_manifest(fetched.pop(path), manifest, self._columns)
                    self._keep(path, entries)
                yield from entries

    def _fetch(self, paths: list[str]) -> list[bytes]:
        if len(paths) <= 1:
            return [self._read(path) for path in paths]
        with ThreadPoolExecutor(READERS, thread_name_prefix="manifests") as pool:
            return list(pool.map(self._read, paths))

    def _read(self, path: str) -> bytes:
        with self._told(path):
            return self._files.read(path)

    def _keep(self, path: str, entries: list[Entry]) -> None:
        self._kept += len(entries) - len(self._entries.get(path, ()))
        self._entries[path] = entries
        while self._kept > ENTRIES_KEPT and len(self._entries) > 1:
            self._kept -= len(self._entries.popitem(last=False)[1])

    @contextmanager
    def _told(self, path: str) -> Generator[None]:
        """Errors of reading a metadata file, with its name."""
        try:
            yield
        except FileNotFoundError as error:
            raise CorruptFile(
                f"the metadata file {path} of the table {self._name} is missing although the table has the snapshot: restore "
                "it, or expire the snapshot"
            ) from error
        except (ValueError, EOFError, IndexError, KeyError, TypeError, SystemError) as error:
            raise CorruptFile(
                f"the metadata file {path} of the table {self._name} is damaged: restore it ({quoted(error)})"
            ) from error


def _read_list(files: IcebergFiles, path: str) -> "list[ManifestFile]":
    from pyiceberg.manifest import read_manifest_list

    data = files.read(path)
    require_whole(data)
    return list(read_manifest_list(_Fetched(path, data)))  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True)
class _Fetched:
    """What pyiceberg asks of a file, whose bytes are here."""

    location: str
    data: bytes

    def open(self, seekable: bool = True) -> io.BytesIO:
        return io.BytesIO(self.data)


# Field ids of a manifest's records (Iceberg: "Manifests"), in the order in which `read_manifest` takes their values.
_NEEDED = (0, 100, 101, 102, 103, 104)
_OPTIONAL = (1, 3, 134, 110, 125, 128, 135, 143, 144, 145)


def read_manifest(data: bytes, manifest: "ManifestFile", columns: frozenset[int]) -> list[Entry]:
    """The entries of a manifest, with what they inherit from it (Iceberg: "Sequence Number Inheritance").

    Args:
        data: its bytes.
        manifest: what the list of manifests says of it.
        columns: ids of the fields that statistics are wanted of.

    Raises:
        ValueError, EOFError, KeyError, TypeError: when it is damaged.
    """
    if len(data) != manifest.manifest_length:
        # Where an Avro file ends, nothing in it says.
        raise ValueError(f"it has {len(data)} bytes, and its list says {manifest.manifest_length}")
    spec_id, inherited = manifest.partition_spec_id, manifest.sequence_number

    def of_columns(values: Mapping[int, Any] | None) -> Mapping[int, Any]:
        return {key: values[key] for key in columns if key in values} if values else {}

    def entry(values: list[Any]) -> Entry:
        status, path, form, partition, rows, size, *more = values
        snapshot_id, sequence, content, null_counts, least, most, equality_ids, referenced, offset, length = more
        if sequence is None and (status == Status.ADDED or inherited == 0):
            sequence = inherited
        if snapshot_id is None:
            snapshot_id = manifest.added_snapshot_id
        if sequence is None or snapshot_id is None:
            raise ValueError("a file that was not added by its manifest has no sequence number or no snapshot")
        return Entry(
            _STATUSES[status],
            snapshot_id,
            sequence,
            _CONTENTS[content or 0],
            path,
            form.upper(),
            spec_id,
            tuple([partition[place] for place in range(len(partition))]) if len(partition) else (),
            rows,
            size,
            of_columns(null_counts),
            of_columns(least),
            of_columns(most),
            tuple(equality_ids or ()),
            referenced,
            offset,
            length,
        )

    return [entry(values) for values in records(data, _NEEDED, _OPTIONAL)]
