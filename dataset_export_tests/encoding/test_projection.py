"""Only the columns and fields that a rule leaves are delivered, and the rows are otherwise the same."""

import gzip
import hashlib
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_export.encoding.column_path import ColumnPath, parse_path, path_text
from dataset_export.encoding.contract import (
    ColumnRule,
    Compression,
    Encoded,
    Encoding,
    Format,
    RowRule,
    Source,
    Target,
    Way,
)
from dataset_export.encoding.encode import encode
from dataset_export.encoding.hashing import hashed
from dataset_export.encoding.parquet_leaves import leaves_of
from dataset_export.encoding.projection import Projection
from dataset_export.errors import ConfigError
from dataset_export_tests.encoding.tables import as_integers, canonical, parquet, source, tables

NDJSON = Encoding(Format.JSON, Compression.GZIP)
ZSTD = Encoding(compression=Compression.ZSTD)
SALT = b"a salt of sixteen"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rule(include: str = "", exclude: str = "") -> ColumnRule:
    """Paths with spaces between them."""
    return ColumnRule(tuple(map(parse_path, include.split())), tuple(map(parse_path, exclude.split())))


def delivered(data: pa.Table | bytes, columns: ColumnRule, schema: pa.Schema | None = None, **fields: Any) -> pa.Table:
    return encoded(data, columns, schema, **fields)[0]


def encoded(
    data: pa.Table | bytes, columns: ColumnRule, schema: pa.Schema | None = None, **fields: Any
) -> tuple[pa.Table, Encoded]:
    out = io.BytesIO()
    raw = data if isinstance(data, bytes) else parquet(data)
    encoding = Encoding(compression=fields.pop("compression", Compression.GZIP))
    target = Target(encoding, schema or pq.read_schema(io.BytesIO(raw)), fields.pop("rule", RowRule()), columns)
    minus = fields.pop("minus", ())
    done = encode([source(raw, **fields)], target, out.write, minus=minus)
    return pq.ParquetFile(io.BytesIO(out.getvalue())).read(), done


# The model: python values, and a walk over pyarrow's types


def selectable(kind: Any, path: ColumnPath = ()) -> Iterator[ColumnPath]:
    """Every path that a rule may name: columns, and fields of structs wherever they are."""
    if isinstance(kind, pa.Schema) or pa.types.is_struct(kind):
        for field in kind:
            yield (*path, field.name)
            yield from selectable(field.type, (*path, field.name))
    elif pa.types.is_map(kind):
        yield from selectable(kind.item_type, (*path, "value"))
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        yield from selectable(kind.value_type, (*path, "element"))


def parts(kind: Any, path: ColumnPath = ()) -> Iterator[tuple[ColumnPath, pa.DataType]]:
    """Every path that there is, with its type."""
    inner: list[tuple[str, pa.DataType]] = []
    if isinstance(kind, pa.Schema) or pa.types.is_struct(kind):
        inner = [(field.name, field.type) for field in kind]
    elif pa.types.is_map(kind):
        inner = [("key", kind.key_type), ("value", kind.item_type)]
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inner = [("element", kind.value_type)]
    for name, part in inner:
        yield (*path, name), part
        yield from parts(part, (*path, name))


GONE = object()


def expected(value: Any, kind: Any, path: ColumnPath, columns: ColumnRule, *, included: bool) -> Any:
    """What is left of a value; GONE when nothing is. What is gone depends on the type alone."""
    if path in columns.exclude:
        return GONE
    included = included or path in columns.include or not columns.include
    if path in columns.masked:
        return columns.masked[path] if included else GONE
    if pa.types.is_struct(kind):
        left = {
            field.name: expected(
                (value or {}).get(field.name), field.type, (*path, field.name), columns, included=included
            )
            for field in kind
        }
        left = {name: inner for name, inner in left.items() if inner is not GONE}
        return GONE if not left else left if value is not None else None
    if pa.types.is_map(kind):
        key = lambda inner: expected(inner, kind.key_type, (*path, "key"), columns, included=True)  # noqa: E731
        one = lambda inner: expected(inner, kind.item_type, (*path, "value"), columns, included=included)  # noqa: E731
        if one(None) is GONE:
            return GONE
        return None if value is None else [(key(name), one(inner)) for name, inner in value]
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        one = lambda inner: expected(inner, kind.value_type, (*path, "element"), columns, included=included)  # noqa: E731
        if one(None) is GONE:
            return GONE
        return None if value is None else [one(inner) for inner in value]
    if not included:
        return GONE
    return hash_of(value, kind) if path in columns.hashed else value


def hash_of(value: Any, kind: pa.DataType) -> str | None:
    """By the encoder of one column; what a hash is, is tested where that is."""
    if pa.types.is_temporal(kind) and isinstance(value, int):
        value = pa.array([value], pa.int32() if kind.bit_width == 32 else pa.int64()).cast(kind)[0]
    return hashed(pa.array([value], kind), SALT, "c")[0].as_py()


def rows(table: pa.Table) -> list[dict[str, Any]]:
    return pa.table([as_integers(c.combine_chunks()) for c in table.columns], table.schema.names).to_pylist()


@st.composite
def rules(draw: st.DrawFn, schema: pa.Schema) -> ColumnRule:
    paths = list(selectable(schema))
    some = st.lists(st.sampled_from(paths), max_size=4, unique=True).map(tuple)
    single = [path for path, kind in parts(schema) if not pa.types.is_nested(kind)]
    all_but_keys = [path for path, _ in parts(schema) if path[-1] != "key"]
    return ColumnRule(
        include=draw(some),
        exclude=draw(some),
        hashed=tuple(draw(st.lists(st.sampled_from(single), max_size=2, unique=True))),
        masked=draw(st.dictionaries(st.sampled_from(all_but_keys), st.none() | st.text(max_size=3), max_size=2)),
        salt=SALT,
    )


def test_hashed_keys_are_hashed_where_only_something_in_the_values_is_included() -> None:
    kind = pa.map_(pa.string(), pa.struct([("n", pa.int8()), ("m", pa.int8())]))
    table = pa.table({"a": pa.array([1], pa.int8()), "c": pa.array([[("secret", {"n": 1, "m": 2})]], kind)})
    rule = ColumnRule(include=(("c", "value", "n"),), exclude=(), hashed=(("c", "key"),), masked={}, salt=SALT)
    back, _ = encoded(table, rule, compression=Compression.GZIP, minus=())
    assert back.to_pylist() == [{"c": [(hash_of("secret", pa.string()), {"n": 1})]}]


@settings(max_examples=120, deadline=None)
@given(st.data(), tables(max_rows=5))
def test_a_rule_takes_columns_and_fields_away_and_changes_nothing_else(data: st.DataObject, table: pa.Table) -> None:
    read = pq.ParquetFile(io.BytesIO(parquet(table)))
    columns = data.draw(rules(read.schema_arrow))
    whole = pa.struct(list(read.schema_arrow))
    model = [expected(row, whole, (), columns, included=False) for row in rows(read.read())]
    if expected(None, whole, (), columns, included=False) is GONE:
        with pytest.raises(ConfigError, match="none is left"):
            encode([source(table)], Target(Encoding(), read.schema_arrow, columns=columns), io.BytesIO().write)
        return
    changes = bool(columns.hashed or columns.masked)
    compression = data.draw(st.sampled_from([Compression.GZIP, Compression.SNAPPY, Compression.SOURCE]))
    # A difference with no rows at all takes no row away, and no file can be copied for it.
    minus = data.draw(st.sampled_from([(), (source(table.slice(0, 0)),)]))
    back, done = encoded(table, columns, compression=compression, minus=minus)
    assert back.num_rows == table.num_rows
    if changes or minus:
        assert done.way is Way.REWRITE
    else:
        assert done.way is not Way.REWRITE or has_odd_types(read.schema_arrow)
    assert [canonical(row) for row in rows(back)] == [canonical(row) for row in model]
    out = io.BytesIO()
    encode([source(table)], Target(NDJSON, read.schema_arrow, columns=columns), out.write)
    assert {key for line in gzip.decompress(out.getvalue()).splitlines() for key in json.loads(line)} <= set(
        back.schema.names
    )


@settings(max_examples=150, deadline=None)
@given(st.data(), tables(max_rows=2))
def test_what_is_left_out_and_what_is_delivered_are_the_schema(data: st.DataObject, table: pa.Table) -> None:
    columns = data.draw(rules(table.schema))
    try:
        projection = Projection(table.schema, columns)
    except ConfigError:
        return
    left_out = set(projection.left_out())
    kept = set(selectable(projection.schema))
    assert not left_out & kept
    for path in selectable(table.schema):
        if any(path[: len(masked)] == masked and path != masked for masked in columns.masked):
            continue  # inside a column that is masked as a whole
        assert (path in kept) != any(path[: len(gone)] == gone for gone in left_out)
        if projection.keeps(path):
            assert path in kept
        if path in columns.masked or path in columns.hashed:
            assert not projection.keeps(path)


def has_odd_types(schema: pa.Schema) -> bool:
    """Whether there are types that parquet itself does not know, only Arrow beside it: then nothing can be left out without
    them being lost."""
    return any("Europe/Berlin" in str(kind) or "[ns" in str(kind) or "uint" in str(kind) for _, kind in parts(schema))


# Examples


PEOPLE = pa.table(
    {
        "id": [1, 2, 3],
        "name": ["a", None, "c"],
        "home": [{"street": "s", "geo": {"lat": 1.0, "lon": 2.0}}, None, {"street": None, "geo": None}],
        "items": [[{"sku": "x", "price": 1}], [], None],
        "tags": pa.array(
            [[("k", {"v": 1, "w": 2})], None, []],
            pa.map_(pa.string(), pa.struct([("v", pa.int64()), ("w", pa.int64())])),
        ),
    }
)


def test_columns_and_fields_by_path() -> None:
    table = delivered(PEOPLE, rule(include="id home items tags.value.w", exclude="home.geo.lat items.element.price"))
    assert table.to_pylist() == [
        {"id": 1, "home": {"street": "s", "geo": {"lon": 2.0}}, "items": [{"sku": "x"}], "tags": [("k", {"w": 2})]},
        {"id": 2, "home": None, "items": [], "tags": None},
        {"id": 3, "home": {"street": None, "geo": None}, "items": None, "tags": []},
    ]


def test_what_has_nothing_left_goes_as_a_whole() -> None:
    columns = rule(exclude="home.street home.geo.lat home.geo.lon items.element.sku items.element.price tags")
    assert delivered(PEOPLE, columns).schema.names == ["id", "name"]
    projection = Projection(PEOPLE.schema, columns)
    assert [path_text(path) for path in projection.left_out()] == ["home", "items", "tags"]


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        (
            rule(exclude="emial"),
            "exclude names emial, and the table has no such column; it has id, name, home, items, tags",
        ),
        (rule(exclude="Name"), "no such column; it has id, name, home, items, tags; did you mean 'name'?"),
        (
            rule(include="home.strt"),
            "include names home.strt, and home has no such field; it has home.street, home.geo; did you mean 'home.street'?",
        ),
        (rule(exclude="items.price"), "items has no such field; it has items.element"),
        (rule(exclude="tags.v"), "tags has no such field; it has tags.key, tags.value"),
        (rule(exclude="name.x"), "exclude names name.x, and name is string, with no fields in it"),
        (rule(exclude="items.element"), "names items.element, which is no column of its own; name items, or a field"),
        (rule(include="tags.key"), "include names tags.key, which is no column of its own; name tags"),
        (rule(exclude="id name home items tags"), "none is left to deliver"),
    ],
)
def test_a_rule_that_does_not_fit_the_table_is_refused(columns: ColumnRule, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        delivered(PEOPLE, columns)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("hashed_path", "masked_path", "says"),
    [
        ("emial", "", "hash names emial, and the table has no such column"),
        ("home", "", "hash names home, which has parts; name those to hash: home.street, home.geo"),
        ("items.element", "", "hash names items.element, which has parts; name those to hash: items.element.sku"),
        ("", "home.x", "mask names home.x, and home has no such field"),
        ("", "tags.key", "mask names tags.key, and a map whose keys are all the same is none; hash them, or mask tags"),
    ],
)
def test_what_cannot_be_hashed_or_masked(hashed_path: str, masked_path: str, says: str) -> None:
    columns = ColumnRule(
        hashed=tuple(map(parse_path, hashed_path.split())),
        masked={parse_path(path): None for path in masked_path.split()},
    )
    with pytest.raises(ConfigError) as refused:
        delivered(PEOPLE, columns)
    assert says in str(refused.value)


def test_hashed_and_masked_columns_and_fields() -> None:
    columns = ColumnRule(
        include=(("id",), ("name",), ("home",), ("items",), ("tags",)),
        hashed=(("id",), ("items", "element", "sku"), ("tags", "key")),
        masked={
            ("name",): "-",
            ("home", "street"): None,
            ("home", "geo"): "x",
            ("items", "element", "price"): None,
            ("tags", "value"): "t",
        },
        salt=SALT,
    )
    table = delivered(PEOPLE, columns)
    sha = lambda text: hashlib.sha256(SALT + text.encode()).hexdigest()  # noqa: E731
    assert table.to_pylist() == [
        {
            "id": sha("1"),
            "name": "-",
            "home": {"street": None, "geo": "x"},
            "items": [{"sku": sha("x"), "price": None}],
            "tags": [(sha("k"), "t")],
        },
        {"id": sha("2"), "name": "-", "home": None, "items": [], "tags": None},
        {"id": sha("3"), "name": "-", "home": {"street": None, "geo": "x"}, "items": None, "tags": []},
    ]
    assert table.schema.field("home").type.field("street").type == pa.string()


def test_a_string_column_that_is_hashed_keeps_its_type_and_not_its_values() -> None:
    table = pa.table({"name": ["a", None]})
    columns = ColumnRule(hashed=(("name",),), salt=SALT)
    assert delivered(table, columns).column("name").to_pylist() == [hashlib.sha256(SALT + b"a").hexdigest(), None]
    raw = parquet(table, compression="zstd")
    out = io.BytesIO()
    assert encode([source(raw)], Target(ZSTD, table.schema, columns=columns), out.write).way is Way.REWRITE


def test_a_masked_column_is_not_read_and_rows_are_counted_all_the_same() -> None:
    columns = ColumnRule(masked={("id",): None, ("name",): "x"})
    table = PEOPLE.select(["id", "name"])
    assert delivered(table, columns).to_pylist() == [{"id": None, "name": "x"}] * 3
    assert leaves(PEOPLE, ColumnRule(include=(("id",), ("name",)), masked={("name",): "x"})) == ["id"]


def test_net_new_rows_are_told_by_values_and_not_by_masks() -> None:
    before = pa.table({"id": [1, 2], "name": ["a", "b"]})
    after = pa.table({"id": [1, 2], "name": ["a", "changed"]})
    back, done = encoded(after, ColumnRule(masked={("name",): None}), minus=[source(before)])
    assert back.to_pylist() == [{"id": 2, "name": None}]
    assert done.carried_over == 1


def test_the_salt_is_not_shown() -> None:
    target = Target(Encoding(), PEOPLE.schema, columns=ColumnRule(hashed=(("id",),), salt=SALT))
    assert SALT.decode() not in repr(target)


def test_a_name_with_a_dot() -> None:
    table = pa.table({"a.b": [1], "a": [{"b": 2, "c": 3}]})
    assert delivered(table, rule(exclude="`a.b`")).to_pylist() == [{"a": {"b": 2, "c": 3}}]
    assert delivered(table, rule(exclude="a.b")).to_pylist() == [{"a.b": 1, "a": {"c": 3}}]


def test_lists_of_a_fixed_length() -> None:
    kind = pa.list_(pa.struct([("x", pa.int64()), ("y", pa.int64())]), 2)
    pair = [{"x": 1, "y": 2}, {"x": 3, "y": 4}]
    table = pa.table({"l": pa.array([pair, pair], kind)})
    assert delivered(table, rule(exclude="l.element.y")).to_pylist() == [{"l": [{"x": 1}, {"x": 3}]}] * 2


def test_an_older_file_lacks_columns_and_fields() -> None:
    """Whether the struct is null is known from the fields that are there, also when none of them is delivered."""
    old = pa.table({"id": [1, 2], "home": [{"street": "s"}, None]})
    now = pa.schema(
        [
            ("id", pa.int64()),
            ("home", pa.struct([("street", pa.string()), ("zip", pa.string())])),
            ("mail", pa.string()),
        ]
    )
    assert delivered(old, rule(exclude="home.street"), now).to_pylist() == [
        {"id": 1, "home": {"zip": None}, "mail": None},
        {"id": 2, "home": None, "mail": None},
    ]


def test_partition_columns_are_left_out_too() -> None:
    table = pa.table({"id": [1], "name": ["a"]})
    schema = pa.schema([("id", pa.int64()), ("name", pa.string()), ("day", pa.date32()), ("hour", pa.int32())])
    back = delivered(table, rule(exclude="day"), schema, partition={"day": "2026-01-01", "hour": "3"})
    assert back.to_pylist() == [{"id": 1, "name": "a", "hour": 3}]


@pytest.mark.parametrize("column", ["t", "meta.t"])
def test_the_row_rule_holds_for_a_timestamp_that_is_not_delivered(column: str) -> None:
    moments = pa.array([10, 20, None], pa.timestamp("us", "UTC"))
    stored = moments if column == "t" else pa.StructArray.from_arrays([moments], names=["t"])
    table = pa.table({column.partition(".")[0]: stored, "n": [1, 2, 3]})
    rows_from = RowRule(column, EPOCH + timedelta(microseconds=15))
    for columns in (rule(exclude=column), rule(include="n")):
        back, done = encoded(table, columns, rule=rows_from)
        assert back.to_pylist() == [{"n": 2}, {"n": 3}]
        assert (done.rows, done.excluded) == (2, 1)
        # What is not delivered is not told elsewhere.
        assert done.first_timestamp is done.last_timestamp is None
    back, done = encoded(table, rule(exclude="n"), rule=rows_from)
    assert done.first_timestamp == EPOCH + timedelta(microseconds=20)


def test_net_new_rows_are_told_by_all_columns_delivered_or_not() -> None:
    """The update of a column that is not delivered makes the row new: the reader gets it again."""
    before = pa.table({"id": [1, 2, 3], "secret": ["a", "b", "c"]})
    after = pa.table({"id": [1, 2, 3, 4], "secret": ["a", "changed", "c", "d"]})
    back, done = encoded(after, rule(exclude="secret"), minus=[source(before)])
    assert back.to_pylist() == [{"id": 2}, {"id": 4}]
    assert (done.rows, done.carried_over) == (2, 2)


# Only what is needed is read


def leaves(table: pa.Table, columns: ColumnRule) -> list[str]:
    with pq.ParquetFile(io.BytesIO(parquet(table))) as file:
        return leaves_of(file, Projection(table.schema, columns).needed(None))


def test_only_needed_chunks_are_read() -> None:
    assert leaves(PEOPLE, rule(include="id")) == ["id"]
    assert leaves(PEOPLE, rule(include="home.geo.lat tags.value.w")) == [
        "home.geo.lat",
        "tags.key_value.key",
        "tags.key_value.value.w",
    ]
    assert leaves(PEOPLE, rule(exclude="home items.element.price")) == [
        "id",
        "name",
        "items.list.element.sku",
        "tags.key_value.key",
        "tags.key_value.value.v",
        "tags.key_value.value.w",
    ]


@pytest.mark.parametrize("encoding", [Encoding(), Encoding(compression=Compression.NONE), NDJSON], ids=str)
def test_bytes_of_columns_that_are_left_out_are_not_read(encoding: Encoding) -> None:
    table = pa.table({"blob": [str(n).encode() * 3000 for n in range(1000)], "id": list(range(1000))})
    raw = parquet(table, compression="none", use_dictionary=False)
    read: list[int] = []

    class Counting(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            read.append(len(data))
            return data

    counted = Source(open=lambda: Counting(raw), name="x", bytes=len(raw))
    encode([counted], Target(encoding, table.schema, columns=rule(exclude="blob")), io.BytesIO().write)
    assert sum(read) < len(raw) / 10
