"""The difference of two schemas, against a model that asks pyarrow's types and not their texts."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_export.export.manifest import fingerprint, schema_columns
from dataset_export.export.schema_change import SchemaChange, change_in, columns_in, schema_change
from dataset_export.export.type_text import Column, nested

Path = tuple[str, ...]
Node = tuple[str, bool]

LEAVES = [pa.int64(), pa.string(), pa.decimal128(10, 2), pa.timestamp("us", "UTC"), pa.binary(4)]
NAMES = ["a", "b", "c", "key", "element"]
ODD = ["a, b: c", "a", "b<", "d>", "e: struct<f", " not null", ": ", ", "]


def schemas(names: Sequence[str], depth: int = 2) -> st.SearchStrategy[pa.Schema]:
    return _fields(names, depth).map(pa.schema)


def _fields(names: Sequence[str], depth: int) -> st.SearchStrategy[list[pa.Field]]:
    return st.lists(
        st.builds(pa.field, st.sampled_from(names), _kinds(names, depth), st.booleans()),
        max_size=4,
        unique_by=lambda field: field.name,
    )


def _kinds(names: Sequence[str], depth: int) -> st.SearchStrategy[pa.DataType]:
    leaves = st.sampled_from(LEAVES)
    if not depth:
        return leaves
    inner = _kinds(names, depth - 1)
    return st.one_of(
        leaves,
        _fields(names, depth - 1).filter(len).map(pa.struct),
        st.builds(lambda kind, null: pa.list_(pa.field("element", kind, null)), inner, st.booleans()),
        inner.map(lambda kind: pa.list_(kind, 3)),
        inner.map(lambda kind: pa.map_(pa.string(), kind)),
    )


def change(before: pa.Schema, after: pa.Schema) -> SchemaChange | None:
    return schema_change(columns_in(schema_columns(before)), columns_in(schema_columns(after)))


def flat(fields: Any, path: Path = ()) -> Iterator[tuple[Path, Node]]:
    """Every column and nested field of pyarrow's own schema, with its kind and nullability."""
    for field in fields:
        here = (*path, field.name)
        kind = field.type
        if pa.types.is_struct(kind):
            yield here, ("struct", field.nullable)
            yield from flat(kind, here)
        elif pa.types.is_map(kind):
            yield here, ("map", field.nullable)
            yield from flat([pa.field("key", kind.key_type, False), pa.field("value", kind.item_type)], here)
        elif pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
            fixed = pa.types.is_fixed_size_list(kind)
            yield here, (f"fixed[{kind.list_size}]" if fixed else "list", field.nullable)
            yield from flat([kind.value_field], here)
        else:
            yield here, (str(kind), field.nullable)


def applied(found: SchemaChange | None, before: pa.Schema, after: pa.Schema) -> dict[Path, Node]:
    """`before` with the change made; what a path looks like afterwards is looked up in `after`, and nowhere else."""
    model, target = dict(flat(before)), dict(flat(after))
    if found is None:
        return model
    for path in [*found.removed, *(one.path for one in found.changed)]:
        model = {key: node for key, node in model.items() if not ".".join((*key, "")).startswith(path + ".")}
    for path in [*found.added, *(one.path for one in found.changed)]:
        model |= {key: node for key, node in target.items() if ".".join((*key, "")).startswith(path + ".")}
    return model


@settings(max_examples=300, deadline=None)
@given(schemas(NAMES), schemas(NAMES))
def test_the_change_made_to_the_first_schema_gives_the_second(before: pa.Schema, after: pa.Schema) -> None:
    assert applied(change(before, after), before, after) == dict(flat(after))


@settings(max_examples=300, deadline=None)
@given(schemas(NAMES), schemas(NAMES))
def test_only_what_differs_is_named(before: pa.Schema, after: pa.Schema) -> None:
    found = change(before, after)
    if found is None:
        return
    old, new = ({".".join(path): node for path, node in flat(schema)} for schema in (before, after))
    assert found.added.keys() <= new.keys() - old.keys()
    assert found.removed.keys() <= old.keys() - new.keys()
    for one in found.changed:
        assert old[one.path] != new[one.path]


@settings(max_examples=300, deadline=None)
@given(schemas(NAMES + ODD), schemas(NAMES + ODD))
def test_there_is_a_change_exactly_when_the_fingerprints_differ(before: pa.Schema, after: pa.Schema) -> None:
    differ = fingerprint(schema_columns(before)) != fingerprint(schema_columns(after))
    assert (change(before, after) is not None) == differ
    assert change(before, before) is None


@settings(max_examples=100, deadline=None)
@given(schemas(NAMES), schemas(NAMES))
def test_the_way_back_is_the_opposite(before: pa.Schema, after: pa.Schema) -> None:
    there, back = change(before, after), change(after, before)
    if there is None or back is None:
        assert there is back
        return
    assert (there.added, there.removed) == (back.removed, back.added)
    assert {(c.path, c.before, c.after) for c in there.changed} == {(c.path, c.after, c.before) for c in back.changed}
    assert sorted(there.reordered) == sorted(back.reordered)


@settings(max_examples=100, deadline=None)
@given(schemas(NAMES), schemas(NAMES))
def test_the_manifest_keeps_it(before: pa.Schema, after: pa.Schema) -> None:
    found = change(before, after)
    if found is not None:
        assert change_in(found.document) == found
        assert str(change_in(found.document)) == str(found)


def test_in_words() -> None:
    before = pa.schema(
        [
            ("id", pa.int64()),
            ("phone", pa.string()),
            ("amount", pa.int64()),
            ("home", pa.struct([("zip", pa.string()), ("city", pa.string())])),
            ("items", pa.list_(pa.field("element", pa.struct([("sku", pa.string())])))),
        ]
    )
    after = pa.schema(
        [
            pa.field("amount", pa.float64()),
            pa.field("id", pa.int64(), nullable=False),
            ("home", pa.struct([("city", pa.string()), ("zip", pa.string()), ("street", pa.string())])),
            ("items", pa.list_(pa.field("element", pa.struct([("sku", pa.int32())])))),
            ("email", pa.string()),
        ]
    )
    assert str(change(before, after)) == (
        "added: email (string), home.street (string); removed: phone (string); changed: id (int64 → int64 not null), "
        "amount (int64 → double), items.element.sku (string → int32); in another order: the columns, home"
    )


def test_a_sentence_stays_readable() -> None:
    after = pa.schema([(f"c{n}", pa.int64()) for n in range(50)])
    text = str(change(pa.schema([]), after))
    assert text.endswith("c19 (int64) and 30 more")


@pytest.mark.parametrize("kind", [pa.int64(), pa.dictionary(pa.int32(), pa.string()), pa.struct([])])
def test_a_type_without_fields(kind: pa.DataType) -> None:
    assert nested(str(kind)) is None


@settings(max_examples=200, deadline=None)
@given(schemas(NAMES, depth=3))
def test_the_text_of_a_type_gives_its_fields(schema: pa.Schema) -> None:
    if len(schema) == 0:
        return
    found = nested(str(pa.struct(list(schema))))
    assert found is not None
    assert found.fields == tuple(Column(f.name, str(f.type), f.nullable) for f in schema)
