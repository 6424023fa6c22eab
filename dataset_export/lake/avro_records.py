"""Records of an Avro file, as far as fields of them are wanted: a manifest tells dozens of things of each of very many files.

Schemas, types and codecs are pyiceberg's, and so is the decoder of numbers and texts. Its own reader makes an object for every record and
field, goes through the schema anew for every file, and takes a file that is cut off in a block for one that ends before it.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache
from operator import methodcaller
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyiceberg.avro.decoder import BinaryDecoder
    from pyiceberg.avro.file import AvroFileHeader
    from pyiceberg.avro.reader import Reader
    from pyiceberg.types import IcebergType, NestedField, StructType

_SYNC_BYTES = 16
_SCHEMAS_KEPT = 64

Read = Callable[["BinaryDecoder"], Any]
Steps = tuple[tuple[int | None, Read], ...]
"""How to read a record: in the order of its fields, the place of each among the wanted ones, or None to pass over it."""


def records(data: bytes, needed: Sequence[int], optional: Sequence[int] = ()) -> Iterator[list[Any]]:
    """The records of a file.

    Args:
        data: the file.
        needed: ids of fields of the record, and of structs in it, that the file must have.
        optional: likewise, of fields that it may lack; they are None then.

    Returns:
        Of each record the values of the needed fields and of the optional ones, in this order.

    Raises:
        ValueError, EOFError: when the file is no Avro file, damaged or cut off, or lacks a needed field.
    """
    from pyiceberg.avro.decoder import new_decoder

    wanted = (*needed, *optional)
    header, blocks = _opened(data)
    steps = _steps(header.meta["avro.schema"], wanted)
    lacking = set(needed) - {wanted[place] for place, _ in steps if place is not None}
    if lacking:
        raise ValueError(f"its records lack the fields {sorted(lacking)}")
    for count, block in blocks:
        decoder = new_decoder(block)
        for _ in range(count):
            values = [None] * len(wanted)
            for place, read in steps:
                if place is None:
                    read(decoder)
                else:
                    values[place] = read(decoder)
            yield values
        if decoder.tell() != len(block):
            raise ValueError("a block has more bytes than its records")


def require_whole(data: bytes) -> None:
    """Raise ValueError or EOFError when a file is no Avro file, or cut off."""
    for _ in _opened(data)[1]:
        pass


def _opened(data: bytes) -> "tuple[AvroFileHeader, Iterator[tuple[int, bytes]]]":
    from pyiceberg.avro.decoder import StreamingBinaryDecoder
    from pyiceberg.avro.file import MAGIC

    # The faster decoder of blocks does not look where a file ends.
    decoder = StreamingBinaryDecoder(data)
    header = _header_reader().read(decoder)
    if header.magic != MAGIC:
        raise ValueError("it is no Avro file")
    return header, _blocks(decoder, header, len(data))


def _blocks(decoder: "BinaryDecoder", header: "AvroFileHeader", end: int) -> Iterator[tuple[int, bytes]]:
    """Of each block the number of records, and their bytes."""
    from pyiceberg.avro.codecs import AVRO_CODEC_KEY, KNOWN_CODECS

    name: Any = header.meta.get(AVRO_CODEC_KEY, "null")
    if name not in KNOWN_CODECS:
        raise ValueError(f"it is compressed with {name}, which is not known")
    codec = KNOWN_CODECS[name]
    while decoder.tell() < end:
        count, block = decoder.read_int(), decoder.read_bytes()
        if decoder.read(_SYNC_BYTES) != header.sync:
            raise ValueError("a block does not end where it should")
        yield count, codec.decompress(block) if codec is not None else block


@cache
def _header_reader() -> "Reader":
    from pyiceberg.avro.file import META_SCHEMA, AvroFileHeader
    from pyiceberg.avro.resolver import construct_reader

    return construct_reader(META_SCHEMA, {-1: AvroFileHeader})


@lru_cache(_SCHEMAS_KEPT)
def _steps(schema: str, wanted: tuple[int, ...]) -> Steps:
    import json

    from pyiceberg.utils.schema_conversion import AvroSchemaConversion

    return tuple(_of_fields(AvroSchemaConversion().avro_to_iceberg(json.loads(schema)).as_struct(), wanted))


def _of_fields(struct: "StructType", wanted: tuple[int, ...]) -> Iterator[tuple[int | None, Read]]:
    from pyiceberg.types import StructType

    for field in struct.fields:
        if field.field_id in wanted:
            yield wanted.index(field.field_id), _read(field)
        elif isinstance(field.field_type, StructType) and field.required:
            yield from _of_fields(field.field_type, wanted)
        else:
            yield None, _skip(field)


def _read(field: "NestedField") -> Read:
    from pyiceberg.avro.resolver import construct_reader

    value = _plain(field.field_type) or _map(field.field_type) or construct_reader(field.field_type).read
    return value if field.required else _unless_null(value)


def _skip(field: "NestedField") -> Read:
    # Read, since pyiceberg passes over decimals as if they were bytes, and over maps element by element.
    if _map(field.field_type) is _ints_by_int:
        return _pass_over_ints if field.required else _unless_null(_pass_over_ints)
    return _read(field)


def _plain(kind: "IcebergType") -> Read | None:
    from pyiceberg.types import BinaryType, IntegerType, LongType, StringType

    if isinstance(kind, IntegerType | LongType):
        return methodcaller("read_int")
    if isinstance(kind, StringType):
        return methodcaller("read_utf8")
    return methodcaller("read_bytes") if isinstance(kind, BinaryType) else None


def _map(kind: "IcebergType") -> Read | None:
    """A reader of maps from integers to integers or bytes; None for another type."""
    from pyiceberg.types import BinaryType, IntegerType, LongType, MapType

    if not isinstance(kind, MapType) or not kind.value_required or not isinstance(kind.key_type, IntegerType):
        return None
    if isinstance(kind.value_type, BinaryType):
        return _bytes_by_int
    return _ints_by_int if isinstance(kind.value_type, IntegerType | LongType) else None


def _bytes_by_int(decoder: "BinaryDecoder") -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while count := decoder.read_int():
        if count < 0:
            decoder.skip_int()
        decoder.read_int_bytes_dict(abs(count), found)
    return found


def _ints_by_int(decoder: "BinaryDecoder") -> dict[int, int]:
    found: dict[int, int] = {}
    while count := decoder.read_int():
        if count < 0:
            decoder.skip_int()
        pairs = decoder.read_ints(2 * abs(count))
        found.update(zip(pairs[::2], pairs[1::2], strict=True))
    return found


def _pass_over_ints(decoder: "BinaryDecoder") -> None:
    while count := decoder.read_int():
        if count < 0:
            decoder.skip(decoder.read_int())
        else:
            decoder.read_ints(2 * count)


def _unless_null(read: Read) -> Read:
    return lambda decoder: read(decoder) if decoder.read_int() else None
