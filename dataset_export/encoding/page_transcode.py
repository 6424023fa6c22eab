"""Page transcoding and column copying: parquet in, parquet out in another codec or with fewer columns, without decoding a
value.

In another codec, every page is decompressed and compressed again; otherwise column chunks are copied byte for byte. Levels,
encodings, dictionaries and statistics stay as they are, and so does everything in the footer but sizes and positions. Page
indexes and bloom filters stay, with their new positions.
"""

from __future__ import annotations

from dataset_export.encoding.chunk_moves import move_chunks
from dataset_export.encoding.contract import Encoded, Sink, Source, Target, Way
from dataset_export.encoding.page_codecs import CODECS
from dataset_export.encoding.parquet_footer import MAGIC, Footer, write_footer
from dataset_export.encoding.parquet_layout import pieces
from dataset_export.encoding.parquet_output import Output
from dataset_export.encoding.same_rows import timestamp_range
from dataset_export.encoding.thrift_compact import Malformed
from dataset_export.errors import CorruptFile


def is_possible(footer: Footer) -> bool:
    """True when every page of the file can be found and decompressed. Other files are for the rewrite, which can also
    say what is wrong with them. Rows and columns are the caller's affair."""
    try:
        pieces(footer.struct, footer.start)
    except Malformed:
        return False
    return True


def write(source: Source, footer: Footer, target: Target, sink: Sink, way: Way) -> Encoded:
    """Write those columns and row groups of the file that are in `footer` into the sink, in the target's codec; what that takes is the
    `way`.

    Raises CorruptFile when a page does not hold what its header and the footer say, or the file is not as long as the
    table says; the sink then holds a part of a file, never a footer.
    """
    if footer.file_size != source.bytes:
        raise CorruptFile(
            f"{source.name} has {footer.file_size} bytes where the table says {source.bytes}: restore it in the table."
        )
    first, last = timestamp_range(source, footer.metadata, target)
    struct = footer.copy()
    output = Output(sink)
    output.write(MAGIC)
    move_chunks(source, footer, struct, CODECS.get(target.encoding.compression), output)
    output.write(write_footer(struct))
    output.flush()
    return Encoded(
        rows=footer.metadata.num_rows,
        excluded=footer.left_out,
        carried_over=0,
        first_timestamp=first,
        last_timestamp=last,
        way=way,
    )
