"""Pass-through: the source file already is what must be delivered, so its bytes are copied."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from dataset_export.encoding.contract import Compression, CopyingSink, Encoded, Sink, Source, Target, Way
from dataset_export.encoding.page_codecs import CODECS
from dataset_export.encoding.parquet_footer import Footer
from dataset_export.encoding.parquet_input import blamed_on
from dataset_export.encoding.parquet_layout import codecs
from dataset_export.encoding.same_rows import timestamp_range
from dataset_export.encoding.thrift_compact import Malformed
from dataset_export.errors import CorruptFile

if TYPE_CHECKING:
    import pyarrow.parquet as pq

CHUNK = 1 << 20
"""Bytes per read of a file of this machine, and per call of the sink. Measured: to write four times as much in one call takes the
kernel up to six times as long."""

REQUEST = 8 << 20
"""Bytes per read of any other file: each is a request."""


def is_possible(footer: Footer, compression: Compression) -> bool:
    """True when the file has the asked-for codec. Rows and columns are the caller's affair."""
    if compression is Compression.SOURCE:
        return True
    try:
        return set(codecs(footer.struct)) <= {CODECS[compression]}
    except Malformed:
        return False


def copy(source: Source, metadata: pq.FileMetaData, target: Target, sink: Sink) -> Encoded:
    """Copy the file, whose footer is `metadata`, into the sink. Every byte is read, also where the sink copies it by itself: what
    is delivered is what was read.

    Raises CorruptFile when the file is not as long as the table says.
    """
    first, last = timestamp_range(source, metadata, target)
    copied = 0
    if source.origin is not None and isinstance(sink, CopyingSink):
        origin = source.origin()
        if origin is not None:
            sink.copies(origin)
    with blamed_on(source):
        raw = source.open()
    try:
        size = CHUNK if isinstance(raw, io.BufferedIOBase) else REQUEST
        while True:
            with blamed_on(source):
                chunk = raw.read(size)
            if not chunk:
                break
            sink(chunk)
            copied += len(chunk)
    finally:
        raw.close()
    if copied != source.bytes:
        raise CorruptFile(
            f"{source.name} has {copied} bytes where the table says {source.bytes}: restore it in the table."
        )
    return Encoded(
        rows=metadata.num_rows,
        excluded=0,
        carried_over=0,
        first_timestamp=first,
        last_timestamp=last,
        way=Way.PASS_THROUGH,
    )
