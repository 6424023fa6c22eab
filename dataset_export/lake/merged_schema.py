"""One schema for files of several: all columns that any of them has, each in a type that holds the values of all."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dataset_export.errors import UnsupportedTable

if TYPE_CHECKING:
    import pyarrow as pa

UNITS = ("s", "ms", "us", "ns")
DECIMAL_DIGITS = 38


def merged_schema(schemas: Iterable[tuple[str, "pa.Schema"]], uri: str) -> "pa.Schema":
    """The columns of all files by name: those of the first file in its order, then what others add, in theirs.

    Integers, floats and decimals become the widest of their kind, times get the finest unit, nested types are merged field by
    field. A column that a file lacks is nullable. What writers note beside a schema is left out.

    Args:
        schemas: with the path of a file that has each.
        uri: names the folder in errors.

    Raises:
        UnsupportedTable: when no type holds the values of a column in two files, naming them.
    """
    import pyarrow as pa

    fields: dict[str, pa.Field] = {}
    seen_in: dict[str, str] = {}
    first = True
    for path, schema in schemas:
        names = set(schema.names)
        if len(names) != len(schema.names):
            raise UnsupportedTable(f"the file {path} of the folder {uri} has two columns of one name: write it anew")
        for name in fields.keys() - names:
            fields[name] = fields[name].with_nullable(True)
        for field in schema:
            known = fields.get(field.name)
            if known is None:
                fields[field.name] = pa.field(field.name, _bare(field.type), field.nullable or not first)
                seen_in[field.name] = path
                continue
            both = _both(known.type, _bare(field.type))
            if both is None:
                raise UnsupportedTable(
                    f"the column {field.name} of the folder {uri} is {known.type} in {seen_in[field.name]} and {field.type} in "
                    f"{path}, and no type holds both: write one of the files anew, or keep them in two folders"
                )
            fields[field.name] = pa.field(field.name, both, known.nullable or field.nullable)
        first = False
    return pa.schema(list(fields.values()))


def _bare(kind: Any) -> Any:
    """A type without what is a matter of memory only."""
    import pyarrow as pa
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_large_string(kind) or types.is_string_view(kind):
        kind = pa.string()
    elif types.is_large_binary(kind) or types.is_binary_view(kind):
        kind = pa.binary()
    elif types.is_struct(kind):
        kind = pa.struct([pa.field(field.name, _bare(field.type), field.nullable) for field in kind])
    elif types.is_map(kind):
        kind = pa.map_(_bare(kind.key_type), _bare(kind.item_type))
    elif _is_list(kind):
        kind = _list_of(_bare(kind.value_type), nullable=kind.value_field.nullable)
    return kind


def _both(left: Any, right: Any) -> Any | None:
    """The type that holds the values of both; None when there is none."""
    if left.equals(right):
        return left
    rules = (_null, _integer, _floating, _decimal, _timestamp, _struct, _map, _list)
    return next((both for rule in rules if (both := rule(left, right)) is not None), None)


def _null(left: Any, right: Any) -> Any | None:
    from pyarrow import types

    if types.is_null(right):
        return left
    return right if types.is_null(left) else None


def _integer(left: Any, right: Any) -> Any | None:
    import pyarrow as pa
    from pyarrow import types

    if not (types.is_integer(left) and types.is_integer(right)):
        return None
    if types.is_signed_integer(left) == types.is_signed_integer(right):
        return left if left.bit_width > right.bit_width else right
    # An unsigned integer takes a signed one of twice its bits.
    bits = max(kind.bit_width * (1 if types.is_signed_integer(kind) else 2) for kind in (left, right))
    return {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}.get(bits)


def _floating(left: Any, right: Any) -> Any | None:
    from pyarrow import types

    if not (types.is_floating(left) and types.is_floating(right)):
        return None
    return left if left.bit_width > right.bit_width else right


def _decimal(left: Any, right: Any) -> Any | None:
    import pyarrow as pa
    from pyarrow import types

    if not (types.is_decimal(left) and types.is_decimal(right)):
        return None
    scale = max(left.scale, right.scale)
    digits = max(left.precision - left.scale, right.precision - right.scale) + scale
    return pa.decimal128(digits, scale) if digits <= DECIMAL_DIGITS else None


def _timestamp(left: Any, right: Any) -> Any | None:
    import pyarrow as pa
    from pyarrow import types

    # Zoned values are the same instants whatever zone they are shown in; those without one may be anything.
    if not (types.is_timestamp(left) and types.is_timestamp(right)) or (left.tz is None) != (right.tz is None):
        return None
    return pa.timestamp(max(left.unit, right.unit, key=UNITS.index), left.tz)


def _struct(left: Any, right: Any) -> Any | None:
    import pyarrow as pa
    from pyarrow import types

    if not (types.is_struct(left) and types.is_struct(right)):
        return None
    others = {field.name: field for field in right}
    fields: list[pa.Field] = []
    for field in left:
        other = others.pop(field.name, None)
        both = field.type if other is None else _both(field.type, other.type)
        if both is None:
            return None
        fields.append(pa.field(field.name, both, other is None or field.nullable or other.nullable))
    return pa.struct([*fields, *(pa.field(field.name, field.type) for field in others.values())])


def _map(left: Any, right: Any) -> Any | None:
    import pyarrow as pa
    from pyarrow import types

    if not (types.is_map(left) and types.is_map(right)):
        return None
    key, item = _both(left.key_type, right.key_type), _both(left.item_type, right.item_type)
    return pa.map_(key, item) if key is not None and item is not None else None


def _list(left: Any, right: Any) -> Any | None:
    if not (_is_list(left) and _is_list(right)):
        return None
    value = _both(left.value_type, right.value_type)
    nullable = left.value_field.nullable or right.value_field.nullable
    return _list_of(value, nullable=nullable) if value is not None else None


def _list_of(value: Any, *, nullable: bool) -> Any:
    import pyarrow as pa

    return pa.list_(pa.field("element", value, nullable))


def _is_list(kind: Any) -> bool:
    from pyarrow import types

    return (
        types.is_list(kind) or types.is_large_list(kind) or types.is_list_view(kind) or types.is_large_list_view(kind)
    )
