"""Thrift's compact protocol: what parquet's footer, page headers and indexes are written in.

A struct is read without knowing what its fields mean, and written again with all of them, also those that are younger
than this module. Spec: thrift-compact-protocol.md of apache/thrift.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

BOOL, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT, UUID = 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13
"""Types as the protocol numbers them. A true field has type 1 and a false one type 2; both are BOOL here."""

_FALSE = 2
_NEXT_I32 = 1 << 4 | I32
_FIXED = {BYTE: 1, DOUBLE: 8, UUID: 16}
_DEPTH = 64
_VARINT_BITS = 70

Bytes = bytes | bytearray | memoryview


class Malformed(Exception):
    """Bytes that are not what the format says; the message tells what was found, not in which file."""


class Struct(dict[int, tuple[int, Any]]):
    """Field number to type and value. Values: bool, int, bytes, Struct, or a list with the type of its items; what has a
    fixed size (bytes, doubles) stays as it is written."""

    def integer(self, field: int, default: int | None = None) -> int:
        """An integer field. Raises Malformed when it is missing and has no default, or is no integer."""
        kind, value = self.get(field, (I64, default))
        if value is None or not I16 <= kind <= I64:
            raise Malformed(f"field {field} is missing or is no integer")
        return value

    def struct(self, field: int) -> Struct:
        """A field that is a struct. Raises Malformed for anything else."""
        _, value = self.get(field, (STRUCT, None))
        if not isinstance(value, Struct):
            raise Malformed(f"field {field} is missing or is no struct")
        return value

    def structs(self, field: int) -> list[Struct]:
        """A field that is a list of structs, empty when it is missing. Raises Malformed for anything else."""
        kind, value = self.get(field, (LIST, (STRUCT, [])))
        if kind != LIST or (value[1] and value[0] != STRUCT):
            raise Malformed(f"field {field} is no list of structs")
        return value[1]

    def text(self, field: int) -> str:
        """A field that is a string, empty when it is missing."""
        kind, value = self.get(field, (BINARY, b""))
        return value.decode(errors="replace") if kind == BINARY else ""

    def put(self, field: int, kind: int, value: Any) -> None:
        """Set a field."""
        self[field] = (kind, value)


def read_struct(data: Bytes, start: int = 0, *, after: int = 0) -> tuple[Struct, int]:
    """The struct that begins at `start`, and the position behind it; with `after` what of a struct follows that field.

    Raises Malformed, also when the data ends first."""
    try:
        return _read_struct(data, start, after, 0)
    except IndexError:
        raise Malformed("it ends in the middle of a struct") from None


def read_integers(data: Bytes) -> tuple[list[int], int]:
    """The 32-bit fields 1, 2, 3… that a struct begins with, and the position behind them. Raises Malformed."""
    numbers: list[int] = []
    at = 0
    try:
        while data[at] == _NEXT_I32:
            number = data[at + 1]
            at += 2
            if number > 127:
                number, at = _read_varint(data, at - 1)
            numbers.append(number >> 1 ^ -(number & 1))
    except IndexError:
        raise Malformed("it ends in the middle of a struct") from None
    return numbers, at


def write_struct(struct: Struct, *, after: int = 0) -> bytes:
    """The bytes of a struct, fields in the order of their numbers; with `after` to follow that field."""
    out = bytearray()
    _write_struct(struct, out, after)
    return bytes(out)


def write_integers(numbers: Iterable[int]) -> bytearray:
    """The bytes of the 32-bit fields 1, 2, 3… that a struct begins with."""
    out = bytearray()
    for number in numbers:
        out.append(_NEXT_I32)
        _write_varint(number << 1 ^ number >> 31, out)
    return out


def _read_struct(data: Bytes, at: int, field: int, depth: int) -> tuple[Struct, int]:
    if depth > _DEPTH:
        raise Malformed("structs are nested too deeply")
    struct = Struct()
    while head := data[at]:
        at += 1
        kind = head & 15
        if head > 15:
            field += head >> 4
        else:
            number, at = _read_varint(data, at)
            field = number >> 1 ^ -(number & 1)
        if I16 <= kind <= I64:
            number = data[at]
            at += 1
            if number > 127:
                number, at = _read_varint(data, at - 1)
            struct[field] = kind, number >> 1 ^ -(number & 1)
        elif kind <= _FALSE:
            struct[field] = BOOL, kind == BOOL
        else:
            value, at = _read_value(data, at, kind, depth)
            struct[field] = kind, value
    return struct, at + 1


def _read_value(data: Bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if I16 <= kind <= I64:
        number, at = _read_varint(data, at)
        return number >> 1 ^ -(number & 1), at
    if kind == BINARY:
        size, at = _read_varint(data, at)
        return _slice(data, at, size)
    if kind == STRUCT:
        return _read_struct(data, at, 0, depth + 1)
    if kind in (LIST, SET):
        return _read_list(data, at, depth + 1)
    if kind == MAP:
        return _read_map(data, at, depth + 1)
    # The items of a list of booleans are bytes.
    size = _FIXED.get(kind, 1 if kind in (BOOL, _FALSE) else 0)
    if not size:
        raise Malformed(f"there is no type {kind}")
    return _slice(data, at, size)


def _read_list(data: Bytes, at: int, depth: int) -> tuple[tuple[int, list[Any]], int]:
    head = data[at]
    at += 1
    size, kind = head >> 4, head & 15
    if size == 15:
        size, at = _read_varint(data, at)
    if size > len(data) - at or depth > _DEPTH:
        raise Malformed("a list is longer than what is left, or nested too deeply")
    items: list[Any] = []
    for _ in range(size):
        item, at = _read_value(data, at, kind, depth)
        items.append(item)
    return (kind, items), at


def _read_map(data: Bytes, at: int, depth: int) -> tuple[tuple[int, list[tuple[Any, Any]]], int]:
    size, at = _read_varint(data, at)
    if not size:
        return (0, []), at
    kinds = data[at]
    at += 1
    if size > len(data) - at or depth > _DEPTH:
        raise Malformed("a map is longer than what is left, or nested too deeply")
    items: list[tuple[Any, Any]] = []
    for _ in range(size):
        key, at = _read_value(data, at, kinds >> 4, depth)
        value, at = _read_value(data, at, kinds & 15, depth)
        items.append((key, value))
    return (kinds, items), at


def _read_varint(data: Bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while shift < _VARINT_BITS:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7
    raise Malformed("a number has more than 64 bits")


def _slice(data: Bytes, at: int, size: int) -> tuple[bytes, int]:
    if size > len(data) - at:
        raise Malformed("it ends in the middle of a value")
    return bytes(data[at : at + size]), at + size


def _write_struct(struct: Struct, out: bytearray, last: int = 0) -> None:
    for field, (kind, value) in sorted(struct.items()):
        written = _FALSE if kind == BOOL and not value else kind
        if 0 < field - last < 16:
            out.append((field - last) << 4 | written)
        else:
            out.append(written)
            _write_varint(field << 1 ^ field >> 63, out)
        last = field
        if kind != BOOL:
            _write_value(value, kind, out)
    out.append(0)


def _write_value(value: Any, kind: int, out: bytearray) -> None:
    if I16 <= kind <= I64:
        _write_varint(value << 1 ^ value >> 63, out)
    elif kind == BINARY:
        _write_varint(len(value), out)
        out += value
    elif kind == STRUCT:
        _write_struct(value, out)
    elif kind in (LIST, SET):
        item_kind, items = value
        if len(items) < 15:
            out.append(len(items) << 4 | item_kind)
        else:
            out.append(15 << 4 | item_kind)
            _write_varint(len(items), out)
        for item in items:
            _write_value(item, item_kind, out)
    elif kind == MAP:
        _write_map(value, out)
    else:
        out += value


def _write_map(value: tuple[int, list[tuple[Any, Any]]], out: bytearray) -> None:
    kinds, items = value
    _write_varint(len(items), out)
    if items:
        out.append(kinds)
    for key, item in items:
        _write_value(key, kinds >> 4, out)
        _write_value(item, kinds & 15, out)


def _write_varint(number: int, out: bytearray) -> None:
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
