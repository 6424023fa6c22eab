"""Arrow tables of nested types made by hypothesis, and sources over bytes in memory."""

import io
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from dataset_export.encoding.contract import Source

MICROS = st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)

LEAVES = {
    pa.int8(): st.integers(-128, 127),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float32(): st.floats(width=32),
    pa.float64(): st.floats(),
    pa.bool_(): st.booleans(),
    pa.string(): st.text(max_size=6),
    pa.large_string(): st.text(max_size=6),
    pa.binary(): st.binary(max_size=5),
    pa.binary(3): st.binary(min_size=3, max_size=3),
    pa.decimal128(38, 4): st.integers(-(10**38) + 1, 10**38 - 1).map(lambda n: Decimal(f"{n}E-4")),
    pa.decimal128(9, 0): st.integers(-(10**9) + 1, 10**9 - 1).map(Decimal),
    pa.date32(): st.integers(-719_162, 2_932_896),
    pa.time64("us"): st.integers(0, 86_400_000_000 - 1),
    pa.timestamp("ms"): MICROS.map(lambda micros: micros // 1000),
    pa.timestamp("us"): MICROS,
    pa.timestamp("us", "UTC"): MICROS,
    pa.timestamp("us", "Europe/Berlin"): MICROS.map(lambda micros: micros // 2),
    pa.timestamp("ns", "UTC"): st.integers(-(2**63) + 1, 2**63 - 1),
}
KEYS = [pa.string(), pa.int64(), pa.date32(), pa.bool_(), pa.binary(), pa.timestamp("us", "UTC")]


def kinds() -> st.SearchStrategy[pa.DataType]:
    """Types up to three levels deep."""
    return st.recursive(
        st.sampled_from(list(LEAVES)),
        lambda inner: st.one_of(
            inner.map(pa.list_),
            inner.map(pa.large_list),
            st.lists(inner, min_size=1, max_size=3).map(
                lambda types: pa.struct([(f"f{place}", kind) for place, kind in enumerate(types)])
            ),
            st.tuples(st.sampled_from(KEYS), inner).map(lambda pair: pa.map_(*pair)),
        ),
        max_leaves=5,
    )


def values(kind: pa.DataType) -> st.SearchStrategy:
    """Values of a type as `pa.array` takes them; a third of them null."""
    return st.one_of(st.none(), _present(kind), _present(kind))


def _present(kind: pa.DataType) -> st.SearchStrategy:
    if pa.types.is_struct(kind):
        return st.fixed_dictionaries({field.name: values(field.type) for field in kind})
    if pa.types.is_map(kind):
        entries = st.tuples(LEAVES[kind.key_type], values(kind.item_type))
        return st.lists(entries, max_size=3, unique_by=lambda entry: entry[0])
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return st.lists(values(kind.value_type), max_size=3)
    return LEAVES[kind]


@st.composite
def tables(draw: st.DrawFn, max_rows: int = 8) -> pa.Table:
    """Tables of one to four columns."""
    types = draw(st.lists(kinds(), min_size=1, max_size=4))
    rows = draw(st.integers(0, max_rows))
    columns = [pa.array(draw(st.lists(values(kind), min_size=rows, max_size=rows)), kind) for kind in types]
    return pa.table(columns, names=[f"c{place}" for place in range(len(types))])


def parquet(table: pa.Table, **options: object) -> bytes:
    """The table as the bytes of a parquet file."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()


def source(data: bytes | pa.Table, name: str = "part-1.parquet", **fields: object) -> Source:
    """A source over bytes in memory that offers exactly the four methods a lake's file has."""
    raw = parquet(data) if isinstance(data, pa.Table) else data
    return Source(open=lambda: FourMethods(raw), name=name, bytes=len(raw), **fields)


class FourMethods:
    """The least that a lake's file is."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int = -1, /) -> bytes:
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()


def canonical(value: object) -> object:
    """A hashable stand-in that is equal for equal values; NaN equals NaN, -0.0 differs from 0.0."""
    if isinstance(value, dict):
        return tuple((key, canonical(inner)) for key, inner in value.items())
    if isinstance(value, list | tuple):
        return (type(value).__name__, *map(canonical, value))
    if isinstance(value, float):
        return "NaN" if value != value else value.hex()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return (type(value).__name__, value)


def exact(table: pa.Table) -> list:
    """Rows as comparable values; timestamps as integers, because nanoseconds and years fit no datetime."""
    return [
        canonical(row)
        for row in pa.table([as_integers(c.combine_chunks()) for c in table.columns], table.schema.names).to_pylist()
    ]


def as_integers(array: pa.Array) -> pa.Array:
    kind = array.type
    if pa.types.is_temporal(kind):
        return array.cast(pa.int32() if kind.bit_width == 32 else pa.int64())
    if pa.types.is_struct(kind):
        parts = [as_integers(part) for part in array.flatten()]
        fields = [pa.field(field.name, part.type) for field, part in zip(kind, parts, strict=True)]
        return pa.StructArray.from_arrays(parts, fields=fields, mask=array.is_null())
    if pa.types.is_map(kind):
        array = array.take(np.arange(len(array))) if len(array) else array
        keys, items = as_integers(array.keys), as_integers(array.items)
        return pa.MapArray.from_arrays(array.offsets, keys, items, mask=array.is_null())
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        array = array.take(np.arange(len(array))) if len(array) else array
        make = pa.ListArray if pa.types.is_list(kind) else pa.LargeListArray
        return make.from_arrays(array.offsets, as_integers(array.values), mask=array.is_null())
    return array
