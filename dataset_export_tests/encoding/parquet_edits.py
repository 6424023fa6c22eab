"""Parquet files that no writer at hand makes: footers and pages changed by hand."""

from collections.abc import Callable

from dataset_export.encoding.parquet_footer import MAGIC, write_footer
from dataset_export.encoding.thrift_compact import I32, I64, Struct, read_struct, write_struct


def footer_of(data: bytes) -> tuple[Struct, int]:
    """The footer of a file and where it begins."""
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    return read_struct(data, start)[0], start


def chunks(footer: Struct) -> list[Struct]:
    """All column chunks."""
    return [chunk for group in footer.structs(4) for chunk in group.structs(1)]


def with_footer(data: bytes, change: Callable[[Struct], object]) -> bytes:
    """The file with its footer changed."""
    footer, start = footer_of(data)
    change(footer)
    return data[:start] + write_footer(footer)


def with_page(data: bytes, change: Callable[[Struct, bytes], bytes]) -> bytes:
    """A file of one page with that page changed: `change` gets its header and body, and returns what is to be there."""
    footer, start = footer_of(data)
    header, body = read_struct(data, 4)
    page = change(header, data[body:start])
    meta = chunks(footer)[0].struct(3)
    meta.put(7, I64, len(page))
    return MAGIC + page + write_footer(footer)


def page(header: Struct, body: bytes) -> bytes:
    """A page whose header has the size of this body."""
    header.put(3, I32, len(body))
    return write_struct(header) + body
