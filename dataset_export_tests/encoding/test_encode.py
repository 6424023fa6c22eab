"""Which way is chosen, what the rule leaves out, and what happens to sources and sinks that break."""

import gc
import gzip
import io
import zlib
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_export.encoding.contract import ColumnRule, Compression, Encoding, Format, RowRule, Source, Target, Way
from dataset_export.encoding.encode import check_encoding, choose_way, encode, extension
from dataset_export.encoding.parquet_footer import read_footer
from dataset_export.errors import ConfigError, CorruptFile, IntegrityError, TransientError, UsageError
from dataset_export_tests.encoding.tables import parquet, source

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZSTD = Encoding(compression=Compression.ZSTD)
NDJSON = Encoding(Format.JSON, Compression.GZIP)


@pytest.mark.parametrize(
    ("form", "compression", "ending"),
    [
        ("parquet", "none", ".parquet"),
        ("parquet", "gzip", ".gz.parquet"),
        ("parquet", "zstd", ".zstd.parquet"),
        ("parquet", "snappy", ".snappy.parquet"),
        ("parquet", "source", ".parquet"),
        ("json", "gzip", ".json.gz"),
    ],
)
def test_extension(form: str, compression: str, ending: str) -> None:
    assert extension(Encoding(Format(form), Compression(compression))) == ending


@pytest.mark.parametrize("compression", ["none", "zstd", "snappy", "source"])
def test_json_takes_gzip_only(compression: str) -> None:
    with pytest.raises(ConfigError, match=f"not.*{compression}|{compression}: set compression to gzip"):
        check_encoding(Encoding(Format.JSON, Compression(compression)))


def way(data: bytes, target: Target, **fields: object) -> Way:
    minus = fields.pop("minus", ())
    return choose_way(read_footer(source(data)), source(data, **fields), target, minus)


def events(micros: list[int | None], **options: object) -> bytes:
    table = pa.table({"t": pa.array(micros, pa.timestamp("us", "UTC")), "n": list(range(len(micros)))})
    return parquet(table, compression="zstd", **options)


def schema_of(data: bytes) -> pa.Schema:
    return pq.read_schema(io.BytesIO(data))


def test_pages_are_copied_or_transcoded_when_columns_and_rows_are_the_same() -> None:
    data = events([10, 20])
    schema = schema_of(data)
    at = lambda micros: RowRule("t", EPOCH + timedelta(microseconds=micros))  # noqa: E731
    assert way(data, Target(ZSTD, schema)) is Way.PASS_THROUGH
    assert way(data, Target(Encoding(compression=Compression.SOURCE), schema)) is Way.PASS_THROUGH
    assert way(data, Target(Encoding(), schema)) is Way.PAGE_TRANSCODE
    assert way(data, Target(NDJSON, schema)) is Way.NDJSON
    for encoding, same_rows in ((ZSTD, Way.PASS_THROUGH), (Encoding(), Way.PAGE_TRANSCODE)):
        assert way(data, Target(encoding, schema), partition={"day": "1"}) is Way.REWRITE
        assert way(data, Target(encoding, schema), minus=[source(data)]) is Way.REWRITE
        assert way(data, Target(encoding, schema, at(10))) is same_rows
        assert way(data, Target(encoding, schema, at(11))) is Way.REWRITE
        assert way(data, Target(encoding, schema, at(11)), whole=True) is same_rows
    assert way(events([10, 20], write_statistics=False), Target(ZSTD, schema, at(1))) is Way.REWRITE
    assert way(events([None, None]), Target(ZSTD, schema, at(11))) is Way.PASS_THROUGH


@pytest.mark.parametrize(
    "fields",
    [
        [("n", pa.int64()), ("t", pa.timestamp("us", "UTC"))],
        [("t", pa.timestamp("us", "UTC")), ("n", pa.int32())],
        [("t", pa.timestamp("us")), ("n", pa.int64())],
        [("t", pa.timestamp("us", "UTC")), ("n", pa.int64()), ("later", pa.string())],
        [("t", pa.timestamp("us", "UTC"))],
    ],
)
def test_any_other_schema_is_a_rewrite(fields: list) -> None:
    assert way(events([1]), Target(ZSTD, pa.schema(fields))) is Way.REWRITE
    assert way(events([1]), Target(Encoding(), pa.schema(fields))) is Way.REWRITE


def test_nullability_and_offset_width_do_not_prevent_pass_through() -> None:
    data = parquet(pa.table({"s": ["a"], "l": [["b"]]}), compression="zstd")
    schema = pa.schema(
        [pa.field("s", pa.large_string(), nullable=False), pa.field("l", pa.large_list(pa.string_view()))]
    )
    assert way(data, Target(ZSTD, schema)) is Way.PASS_THROUGH


@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize("encoding", [ZSTD, Encoding()], ids=["pass-through", "page transcode"])
def test_the_range_is_known_without_and_with_statistics(encoding: Encoding, statistics: bool) -> None:
    data = events([30, None, 10], write_statistics=statistics)
    out = io.BytesIO()
    encoded = encode([source(data)], Target(encoding, schema_of(data), RowRule("t")), out.write)
    if encoding is ZSTD:
        assert out.getvalue() == data
    assert encoded.way is (Way.PASS_THROUGH if encoding is ZSTD else Way.PAGE_TRANSCODE)
    assert encoded.rows == 3
    assert encoded.first_timestamp == EPOCH + timedelta(microseconds=10)
    assert encoded.last_timestamp == EPOCH + timedelta(microseconds=30)


@pytest.mark.parametrize("encoding", [Encoding(), NDJSON], ids=["parquet", "json"])
@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(st.none() | st.integers(-50, 50), max_size=12),
    kind=st.sampled_from(
        [pa.timestamp(unit, tz) for unit in ("s", "ms", "us", "ns") for tz in (None, "UTC")] + [pa.date32()]
    ),
    nested=st.booleans(),
    bound=st.integers(-60 * 10**6, 60 * 10**6),
)
def test_the_rule_leaves_out_older_rows_and_counts_them(
    encoding: Encoding, values: list[int | None], kind: pa.DataType, nested: bool, bound: int
) -> None:
    micros_per_tick = (
        86_400 * 10**6
        if pa.types.is_date32(kind)
        else 10**6 / {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[kind.unit]
    )
    column = pa.array(values, kind)
    if nested:
        column = pa.StructArray.from_arrays([column], names=["at"], mask=column.is_null())
    table = pa.table({"t": column, "n": pa.array(range(len(values)), pa.int64())})
    bound = bound * 86_400 if pa.types.is_date32(kind) else bound
    rule = RowRule("t.at" if nested else "t", EPOCH + timedelta(microseconds=bound))
    out = io.BytesIO()
    raw = parquet(table)
    encoded = encode([source(raw)], Target(encoding, schema_of(raw), rule), out.write)
    kept = [n for n, value in enumerate(values) if value is None or value * micros_per_tick >= bound]
    assert (encoded.rows, encoded.excluded) == (len(kept), len(values) - len(kept))
    if encoded.way is Way.DROPPED:
        assert not out.getvalue()
    elif encoding.format is Format.PARQUET:
        assert pq.ParquetFile(io.BytesIO(out.getvalue())).read().column("n").to_pylist() == kept
    else:
        assert gzip.decompress(out.getvalue()).count(b"\n") == len(kept)
    seen = [values[n] * micros_per_tick // 1 for n in kept if values[n] is not None]
    assert encoded.first_timestamp == (EPOCH + timedelta(microseconds=min(seen)) if seen else None)
    assert encoded.last_timestamp == (EPOCH + timedelta(microseconds=max(seen)) if seen else None)


@pytest.mark.parametrize("column", ["missing", "n", "t.at", "n.at"])
def test_a_timestamp_column_that_is_none_is_a_config_error(column: str) -> None:
    data = events([1])
    with pytest.raises(ConfigError, match=column.split(".", maxsplit=1)[0]):
        encode([source(data)], Target(Encoding(), schema_of(data), RowRule(column, EPOCH)), io.BytesIO().write)


DAMAGE = {
    "empty": lambda data: b"",
    "text": lambda data: b"not parquet at all" * 10,
    "tail cut": lambda data: data[:-20],
    "middle cut": lambda data: data[:100] + data[2000:],
    "pages overwritten": lambda data: data[:4] + b"\xff" * 400 + data[404:],
}
# Pass-through does not look into pages: it delivers the file as the table has it.
SEEN = [
    (way, damage) for way in (Encoding(), ZSTD, NDJSON) for damage in DAMAGE if (way, damage) != (ZSTD, [*DAMAGE][-1])
]


@pytest.mark.parametrize(("encoding", "damage"), SEEN)
def test_a_damaged_source_is_named(encoding: Encoding, damage: str) -> None:
    data = parquet(pa.table({"n": list(range(5000)), "s": [str(n) for n in range(5000)]}), compression="zstd")
    damaged = Source(open=lambda: io.BytesIO(DAMAGE[damage](data)), name="year=2026/part-7", bytes=len(data))
    with pytest.raises(CorruptFile, match="year=2026/part-7"):
        encode([damaged], Target(encoding, schema_of(data)), io.BytesIO().write)


def test_a_missing_source_is_corrupt_and_a_lost_connection_is_not() -> None:
    def raising(error: Exception) -> Source:
        def opens() -> None:
            raise error

        return Source(open=opens, name="part-7.parquet", bytes=1)

    target = Target(Encoding(), pa.schema([("n", pa.int64())]))
    with pytest.raises(CorruptFile, match=r"part-7\.parquet is missing"):
        encode([raising(FileNotFoundError("gone"))], target, io.BytesIO().write)
    with pytest.raises(TransientError, match=r"part-7\.parquet"):
        encode([raising(ConnectionResetError("reset"))], target, io.BytesIO().write)
    with pytest.raises(TransientError, match="as it was"):
        encode([raising(TransientError("as it was"))], target, io.BytesIO().write)


class SinkBroke(Exception):
    pass


# A row group copy is a column copy of other chunks, and what is dropped goes nowhere.
@pytest.mark.parametrize("made", sorted({*Way} - {Way.ROW_GROUP_COPY, Way.DROPPED}))
def test_what_the_sink_raises_arrives_unchanged_and_nothing_is_written_after_it(made: Way) -> None:
    rows = range(50_000)
    data = parquet(pa.table({"s": [f"{n:x}" * 20 for n in rows], "n": list(rows)}), compression="zstd")
    encoding = {Way.NDJSON: NDJSON, Way.PASS_THROUGH: ZSTD, Way.COLUMN_COPY: ZSTD}.get(made, Encoding())
    schema = schema_of(data)
    columns = ColumnRule(exclude=(("n",),)) if made is Way.COLUMN_COPY else ColumnRule()
    target = Target(
        encoding, schema.append(pa.field("later", pa.int8())) if made is Way.REWRITE else schema, columns=columns
    )
    assert way(data, target) is made
    calls: list[int] = []

    def sink(piece: bytes | bytearray | memoryview) -> None:
        calls.append(len(piece))
        if len(calls) > 1 or made not in (Way.REWRITE, Way.NDJSON):
            raise SinkBroke

    with pytest.raises(SinkBroke):
        encode([source(data)], target, sink)
    seen = len(calls)
    gc.collect()
    assert len(calls) == seen


@pytest.mark.parametrize("encoding", [Encoding(compression=Compression.SNAPPY), NDJSON], ids=["parquet", "json"])
def test_an_interrupt_in_the_sink_stays_an_interrupt(encoding: Encoding) -> None:
    data = parquet(pa.table({"s": [f"{n:x}" * 20 for n in range(50_000)]}), compression="zstd")

    def sink(piece: bytes | bytearray | memoryview) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode([source(data)], Target(encoding, schema_of(data)), sink)


@pytest.mark.parametrize("encoding", [Encoding(), NDJSON], ids=["rewrite", "json"])
def test_a_source_that_breaks_midway_leaves_no_whole_file(encoding: Encoding) -> None:
    good = parquet(pa.table({"n": list(range(100_000))}))
    out = bytearray()
    broken = Source(open=lambda: io.BytesIO(good[:-30]), name="second", bytes=len(good))
    with pytest.raises(CorruptFile, match="second"):
        encode([source(good), broken], Target(encoding, schema_of(good)), out.extend)
    gc.collect()
    if encoding is NDJSON:
        member = zlib.decompressobj(wbits=31)
        member.decompress(out)
        assert not member.eof
    else:
        with pytest.raises(pa.ArrowInvalid):
            pq.ParquetFile(io.BytesIO(out))


@pytest.mark.parametrize("encoding", [ZSTD, Encoding()], ids=["pass-through", "page transcode"])
def test_a_file_of_another_length_than_the_table_says_is_refused(encoding: Encoding) -> None:
    data = events([1])
    longer = Source(open=lambda: io.BytesIO(data), name="part-7", bytes=len(data) + 1)
    with pytest.raises(CorruptFile, match="part-7"):
        encode([longer], Target(encoding, schema_of(data)), io.BytesIO().write)


def test_rows_that_differ_from_the_footer_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataset_export.encoding import rows

    whole = rows.batches
    monkeypatch.setattr(rows, "batches", lambda *args: [batch.slice(1) for batch in whole(*args)])
    data = events([1, 2])
    wider = schema_of(data).append(pa.field("later", pa.int8()))
    with pytest.raises(IntegrityError, match="2 rows by its footer and 1"):
        encode([source(data)], Target(Encoding(), wider), io.BytesIO().write)


def test_no_sources_are_refused() -> None:
    with pytest.raises(UsageError):
        encode([], Target(Encoding(), pa.schema([])), io.BytesIO().write)
