"""NDJSON: one JSON object per row, gzip around it. arrow-rs writes the text, isal compresses it.

Measured on the benchmark's files: half of the time is arrow-rs, which holds the GIL while it writes. A fresh `BytesIO`
per batch beats a collecting sink, a reused buffer and a memory file. isal level 1 gives smaller files than
zlib's level 4 in an eighth of its time; level 2 is no smaller, level 3 takes twice as long for 1 %.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

from dataset_export.encoding.contract import Encoded, Sink, Source, Target, Way
from dataset_export.encoding.gzip_member import GzipMember
from dataset_export.encoding.json_values import check_schema, json_values
from dataset_export.encoding.rows import Rows


def write(sources: Sequence[Source], target: Target, sink: Sink, minus: Sequence[Source]) -> Encoded:
    """Write the rows of `sources` into `sink` as gzip-compressed NDJSON (rules of the values: spec S6, `json_values`).
    Raises as `encode.encode` does; the sink then holds a part of a gzip member, never its end."""
    from arro3.io import write_ndjson

    rows = Rows(sources, target, minus)
    check_schema(rows.schema)
    gzip = GzipMember()
    for batch in rows.batches():
        text = io.BytesIO()
        write_ndjson(json_values(batch), text)
        sink(gzip.compress(text.getbuffer()))
    sink(gzip.flush())
    return rows.encoded(Way.NDJSON)
