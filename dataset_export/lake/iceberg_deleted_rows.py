"""The rows of a data file that delete files delete, by their positions.

Position deletes and deletion vectors say them; for equality deletes, the compared columns of the data file are read.
"""

import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dataset_export.errors import CorruptFile, ExportError, UnsupportedTable, VersionGone
from dataset_export.lake.iceberg_files import IcebergFiles
from dataset_export.lake.iceberg_manifests import Content, Entry
from dataset_export.redaction import quoted

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_PATH, _POSITION = "file_path", "pos"
_MAGIC = bytes.fromhex("d1d33964")
"""Of a bitmap in a deletion vector (Puffin: "deletion-vector-v1")."""
_VECTOR_FRAME = 4 + len(_MAGIC) + 4
_POSITIONS_KEPT = 8
"""Position delete files whose content is held in memory: each is about many data files, one after the other."""

Parquet = Any


@dataclass(frozen=True)
class Compared:
    """A column that equality deletes compare.

    Attributes:
        field_id: of it.
        kind: its type in the table; files may have a narrower one.
        missing: its value in files that lack it.
        path: its path in files without field ids; None when they cannot be read.
    """

    field_id: int
    kind: "pa.DataType"
    missing: Any
    path: tuple[str, ...] | None


class DeletedRows:
    """Reads delete files. `table` is the table's name, for errors."""

    def __init__(self, files: IcebergFiles, table: str) -> None:
        self._files = files
        self._table = table
        self._positions: dict[str, Mapping[str, np.ndarray]] = {}

    def of(self, path: str, size: int, deletes: Sequence[Entry], column: Callable[[int], Compared]) -> "np.ndarray":
        """Positions of a data file's deleted rows: 64-bit integers, sorted, each once.

        Args:
            path: of the data file.
            size: of it, in bytes.
            deletes: what applies to it.
            column: tells of a field id what is compared.

        Raises:
            VersionGone: a delete file is gone.
            CorruptFile: one is damaged.
            UnsupportedTable: columns that cannot be compared.
        """
        import numpy as np

        found = [np.empty(0, np.int64)]
        equal: dict[tuple[int, ...], list[Entry]] = defaultdict(list)
        for entry in deletes:
            if entry.content is Content.EQUALITY_DELETES:
                equal[entry.equality_ids].append(entry)
            elif entry.form == "PUFFIN":
                found.append(self._vector(entry))
            else:
                found.append(self._in_position_file(entry, path))
        for ids, entries in equal.items():
            found.append(self._with_values(path, size, [column(field_id) for field_id in ids], entries))
        return np.unique(np.concatenate(found))

    def _vector(self, entry: Entry) -> "np.ndarray":
        import numpy as np
        from pyroaring import BitMap64

        data = self._reading(entry, lambda: self._files.read_range(entry.path, entry.offset or 0, entry.length or 0))
        bitmap = data[4:-4]
        sound = (
            len(data) == entry.length
            and len(data) >= _VECTOR_FRAME
            and int.from_bytes(data[:4], "big") == len(bitmap)
            and bitmap[:4] == _MAGIC
            and int.from_bytes(data[-4:], "big") == zlib.crc32(bitmap)
        )
        rows: Any = self._reading(entry, lambda: BitMap64.deserialize(bitmap[4:])) if sound else BitMap64()
        if not sound or len(rows) != entry.rows:
            raise CorruptFile(
                f"the deletion vector in {entry.path} of the table {self._table} is damaged: restore the file"
            )
        return np.asarray(rows.to_array(), np.uint64).astype(np.int64)

    def _in_position_file(self, entry: Entry, path: str) -> "np.ndarray":
        import numpy as np

        if entry.path not in self._positions:
            while len(self._positions) >= _POSITIONS_KEPT:
                self._positions.pop(next(iter(self._positions)))
            self._positions[entry.path] = self._reading(entry, lambda: self._read_positions(entry))
        return self._positions[entry.path].get(path, np.empty(0, np.int64))

    def _read_positions(self, entry: Entry) -> "Mapping[str, np.ndarray]":
        import pyarrow as pa
        import pyarrow.compute as pc

        with self._opened(entry.path, entry.bytes) as file:
            table = file.read([_PATH, _POSITION])
        paths = pc.call_function("dictionary_encode", [table.column(_PATH).cast(pa.string()).combine_chunks()])
        paths = paths.combine_chunks() if isinstance(paths, pa.ChunkedArray) else paths
        codes = paths.indices.to_numpy(zero_copy_only=False)
        positions = table.column(_POSITION).cast(pa.int64()).to_numpy()
        return {path: positions[codes == code] for code, path in enumerate(paths.dictionary.to_pylist())}

    def _with_values(self, path: str, size: int, columns: Sequence[Compared], entries: Sequence[Entry]) -> "np.ndarray":
        """Rows of the data file that are equal, in the columns, to any row of the delete files; null equals null."""
        import numpy as np
        import pyarrow as pa

        deleted = [
            self._reading(entry, lambda one=entry: self._read_values(one.path, one.bytes, columns)) for entry in entries
        ]
        values = [
            pa.chunked_array([batch[at] for one in deleted for batch in one], column.kind)
            for at, column in enumerate(columns)
        ]
        matcher = _Matcher([value.combine_chunks() for value in values])
        found = [np.empty(0, np.int64)]
        first = 0
        with self._opened(path, size) as file:
            for batch in _columns_of(file, columns, path):
                found.append(np.flatnonzero(matcher.matches(batch)) + first)
                first += len(batch[0])
        return np.concatenate(found)

    def _read_values(self, path: str, size: int, columns: Sequence[Compared]) -> list[list[Any]]:
        with self._opened(path, size) as file:
            return list(_columns_of(file, columns, path))

    def _opened(self, path: str, size: int) -> Parquet:
        import pyarrow as pa
        import pyarrow.parquet as pq

        return pq.ParquetFile(
            pa.PythonFile(self._files.open(path, size), mode="r"), pre_buffer=False, buffer_size=4 << 20
        )

    def _reading(self, entry: Entry, read: Callable[[], Any]) -> Any:
        import pyarrow as pa

        try:
            return read()
        except ExportError:
            raise
        except FileNotFoundError as error:
            raise VersionGone(
                f"the delete file {entry.path} of the table {self._table} was removed with the snapshots that had it: launch the "
                "export in full mode, and export at shorter intervals than snapshots are kept"
            ) from error
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            raise CorruptFile(
                f"the delete file {entry.path} of the table {self._table} is damaged: restore it ({quoted(error)})"
            ) from error


class _Matcher:
    """Finds rows among those that are deleted. `values` are the columns of the deleted rows."""

    def __init__(self, values: Sequence[Any]) -> None:
        import numpy as np
        import pyarrow.compute as pc

        self._columns: list[tuple[Any, np.ndarray]] = []
        codes = np.zeros(len(values[0]), np.int64)
        for value in values:
            distinct = pc.call_function("unique", [value])
            keys = codes * (len(distinct) + 1) + _places(value, distinct)
            known, codes = np.unique(keys, return_inverse=True)
            self._columns.append((distinct, known))

    def matches(self, batch: Sequence[Any]) -> "np.ndarray":
        """For each row of the columns, whether it is a deleted one."""
        import numpy as np

        codes = np.zeros(len(batch[0]), np.int64)
        left = np.ones(len(batch[0]), bool)
        for value, (distinct, known) in zip(batch, self._columns, strict=True):
            places = _places(value, distinct)
            keys = codes * (len(distinct) + 1) + places
            at = np.minimum(np.searchsorted(known, keys), max(0, len(known) - 1))
            left &= (places >= 0) & (known[at] == keys if len(known) else False)
            codes = np.where(left, at, 0)
        return left


def _places(value: Any, distinct: Any) -> "np.ndarray":
    """The place of each value among distinct ones, -1 for none; null is a value."""
    import numpy as np
    import pyarrow.compute as pc

    found = pc.call_function("index_in", [value], pc.SetLookupOptions(distinct, skip_nulls=False))
    return np.asarray(found.fill_null(-1).to_numpy(zero_copy_only=False), np.int64)


def _columns_of(file: Parquet, columns: Sequence[Compared], name: str) -> Iterable[list[Any]]:
    """The compared columns of a file, batch by batch, in the table's types."""
    import pyarrow as pa

    schema = file.schema_arrow
    paths = [_path_in(schema, column, name) for column in columns]
    for batch in file.iter_batches(columns=sorted({".".join(path) for path in paths if path}), use_threads=False):
        found: list[Any] = []
        for column, path in zip(columns, paths, strict=True):
            if path is None:
                found.append(pa.repeat(pa.scalar(column.missing, column.kind), batch.num_rows))
                continue
            value = batch.column(path[0])
            for part in path[1:]:
                value = _part(value, part)
            found.append(value.cast(column.kind))
        yield found


def _part(value: Any, name: str) -> Any:
    """A field of structs; null where the struct is."""
    import pyarrow.compute as pc

    return pc.call_function("struct_field", [value], pc.StructFieldOptions([name]))


def _path_in(schema: "pa.Schema", column: Compared, name: str) -> tuple[str, ...] | None:
    """Where the column is in a file, by its field id, or by its name in files without ids."""
    if any(_field_id(field) is not None for field in schema):
        return _find(schema, column.field_id)
    if column.path is None:
        raise UnsupportedTable(
            f"the columns of {name} have no field ids, so equality deletes cannot be applied to it: give the table a name mapping "
            "(schema.name-mapping.default)"
        )
    return column.path if column.path[0] in schema.names else None


def _find(fields: Any, field_id: int) -> tuple[str, ...] | None:
    from pyarrow import types

    for field in fields:
        if _field_id(field) == field_id:
            return (field.name,)
        if types.is_struct(field.type) and (inner := _find(field.type, field_id)) is not None:
            return (field.name, *inner)
    return None


def _field_id(field: "pa.Field") -> int | None:
    text = (field.metadata or {}).get(b"PARQUET:field_id")
    return None if text is None or int(text) < 0 else int(text)
