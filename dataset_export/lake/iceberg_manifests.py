"""Manifest lists and manifests of an Iceberg table, read file by file and only as far as the question needs."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from enum import IntEnum
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from dataset_export.errors import CorruptFile
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
        value_counts: by field id, of columns that the file has.
        null_counts: likewise, of values that are null.
        least: lower bounds by field id, serialized.
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
    value_counts: Mapping[int, int]
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
    """Reads what the snapshots of one table consist of. `name` is the table's, for errors."""

    def __init__(self, files: IcebergFiles, name: str) -> None:
        self._files = files
        self._name = name
        self._lists: dict[str, list[ManifestFile]] = {}
        self._entries: OrderedDict[str, list[Entry]] = OrderedDict()
        self._kept = 0

    def of(self, snapshot: "Snapshot") -> "list[ManifestFile]":
        """The manifests of a snapshot.

        Raises:
            CorruptFile: when the list is missing or damaged.
        """
        if snapshot.manifest_list not in self._lists:
            self._lists[snapshot.manifest_list] = self._read(snapshot.manifest_list, self._read_list)
        return self._lists[snapshot.manifest_list]

    def entries(self, manifests: "Iterable[ManifestFile]") -> Iterator[Entry]:
        """All entries of manifests, several read at a time.

        Raises:
            CorruptFile: when one is missing or damaged.
        """
        wanted = list(manifests)
        for start in range(0, len(wanted), 4 * READERS):
            batch = wanted[start : start + 4 * READERS]
            missing = [manifest for manifest in batch if manifest.manifest_path not in self._entries]
            found = {manifest.manifest_path: self._entries.get(manifest.manifest_path, []) for manifest in batch}
            found |= dict(zip((one.manifest_path for one in missing), self._read_all(missing), strict=True))
            for path, entries in found.items():
                self._keep(path, entries)
                yield from entries

    def _read_all(self, manifests: "list[ManifestFile]") -> Iterable[list[Entry]]:
        if len(manifests) <= 1:
            return map(self._read_manifest, manifests)
        with ThreadPoolExecutor(READERS, thread_name_prefix="manifests") as pool:
            return list(pool.map(self._read_manifest, manifests))

    def _keep(self, path: str, entries: list[Entry]) -> None:
        if path not in self._entries:
            self._entries[path] = entries
            self._kept += len(entries)
        while self._kept > ENTRIES_KEPT and len(self._entries) > 1:
            self._kept -= len(self._entries.popitem(last=False)[1])

    def _read_manifest(self, manifest: "ManifestFile") -> list[Entry]:
        return self._read(manifest.manifest_path, partial(read_manifest, self._files, manifest))

    def _read_list(self, path: str) -> "list[ManifestFile]":
        from pyiceberg.manifest import read_manifest_list

        return list(read_manifest_list(self._files.new_input(path)))  # pyright: ignore[reportArgumentType]

    def _read(self, path: str, read: Any) -> Any:
        try:
            return read(path)
        except FileNotFoundError as error:
            raise CorruptFile(
                f"the metadata file {path} of the table {self._name} is missing although the table has the snapshot: restore "
                "it, or expire the snapshot"
            ) from error
        except (ValueError, EOFError, IndexError, KeyError, TypeError) as error:
            raise CorruptFile(
                f"the metadata file {path} of the table {self._name} is damaged: restore it ({quoted(error)})"
            ) from error


def read_manifest(files: IcebergFiles, manifest: "ManifestFile", path: str) -> list[Entry]:
    """The entries of a manifest, with what they inherit from it (Iceberg: "Sequence Number Inheritance")."""
    from pyiceberg.avro.file import AvroFile
    from pyiceberg.manifest import MANIFEST_ENTRY_SCHEMAS

    # Version 3 has the fields of deletion vectors; older manifests are read as having none.
    with AvroFile[Any](files.new_input(path), MANIFEST_ENTRY_SCHEMAS[3], {}, {}) as reader:  # pyright: ignore[reportArgumentType]
        return [_entry(record, manifest) for record in reader]


def _entry(record: Any, manifest: "ManifestFile") -> Entry:
    status, snapshot_id, sequence, file = record[0], record[1], record[2], record[4]
    if sequence is None and (status == Status.ADDED or manifest.sequence_number == 0):
        sequence = manifest.sequence_number
    snapshot_id = manifest.added_snapshot_id if snapshot_id is None else snapshot_id
    if sequence is None or snapshot_id is None:
        raise ValueError("a file that was not added by its manifest has no sequence number or no snapshot")
    at = _positions()
    partition = file[at["partition"]]
    return Entry(
        status=_STATUSES[status],
        snapshot_id=snapshot_id,
        sequence=sequence,
        content=_CONTENTS[file[at["content"]]],
        path=file[at["file_path"]],
        form=str(file[at["file_format"]]).upper(),
        spec_id=manifest.partition_spec_id,
        partition=tuple(partition[place] for place in range(len(partition))),
        rows=file[at["record_count"]],
        bytes=file[at["file_size_in_bytes"]],
        value_counts=_map(file[at["value_counts"]]),
        null_counts=_map(file[at["null_value_counts"]]),
        least=_map(file[at["lower_bounds"]]),
        most=_map(file[at["upper_bounds"]]),
        equality_ids=tuple(file[at["equality_ids"]] or ()),
        referenced=file[at["referenced_data_file"]],
        offset=file[at["content_offset"]],
        length=file[at["content_size_in_bytes"]],
    )


def _map(values: Any) -> Mapping[int, Any]:
    return {} if values is None else values  # one that is there is decoded when it is asked


@cache
def _positions() -> Mapping[str, int]:
    from pyiceberg.manifest import DATA_FILE_TYPE

    return {field.name: place for place, field in enumerate(DATA_FILE_TYPE[3].fields)}
