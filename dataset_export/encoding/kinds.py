"""Families of Arrow types, and the one member of each in which values are handled and written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


def plain(kind: pa.DataType) -> pa.DataType:
    """The type in which values of `kind` are handled and written: dictionaries and runs decoded, views as their plain
    forms, and every nested value nullable, so that no null can be lost whatever the table's schema promises."""
    import pyarrow as pa
    from pyarrow import types

    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return plain(kind.value_type)
    if types.is_struct(kind):
        return pa.struct([field.with_type(plain(field.type)).with_nullable(True) for field in kind])
    if types.is_map(kind):
        return pa.map_(plain(kind.key_type), plain(kind.item_type))
    if is_list(kind):
        return _plain_list(kind)
    views = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
    return views.get(kind, kind)


def is_list(kind: pa.DataType) -> bool:
    """True for the five list types; a map is not one."""
    from pyarrow import types

    return is_large(kind) or types.is_list(kind) or types.is_fixed_size_list(kind) or types.is_list_view(kind)


def list_of(kind: Any, item: Any) -> pa.DataType:
    """The list type `kind` with other values; `item` is their field."""
    import pyarrow as pa
    from pyarrow import types

    if types.is_fixed_size_list(kind):
        return pa.list_(item, kind.list_size)
    if types.is_list(kind):
        return pa.list_(item)
    if types.is_large_list(kind):
        return pa.large_list(item)
    return pa.large_list_view(item) if is_large(kind) else pa.list_view(item)


def is_large(kind: pa.DataType) -> bool:
    """True for lists with 64-bit offsets."""
    from pyarrow import types

    return types.is_large_list(kind) or types.is_large_list_view(kind)


def is_text(kind: pa.DataType) -> bool:
    """True for the three string types."""
    from pyarrow import types

    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def is_bytes(kind: pa.DataType) -> bool:
    """True for binary of any length; not for that of a fixed one."""
    from pyarrow import types

    return types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)


def _plain_list(kind: Any) -> pa.DataType:
    import pyarrow as pa
    from pyarrow import types

    item = kind.value_field.with_type(plain(kind.value_type)).with_nullable(True)
    if types.is_fixed_size_list(kind):
        return pa.list_(item, kind.list_size)
    return pa.large_list(item) if is_large(kind) else pa.list_(item)
