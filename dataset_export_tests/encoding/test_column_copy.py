"""Files that lose columns without a value being decoded: what is left is the same for every reader, byte for byte in its pages,
and nothing tells of what is gone."""

import hashlib
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_export.encoding.column_path import parse_path
from dataset_export.encoding.contract import (
    ColumnRule,
    Compression,
    Encoded,
    Encoding,
    RowRule,
    Target,
    Way,
)
from dataset_export.encoding.encode import encode
from dataset_export.encoding.parquet_columns import without_columns
from dataset_export.encoding.thrift_compact import BINARY, I32, LIST, STRUCT, Malformed, Struct
from dataset_export_tests.encoding.parquet_edits import chunks, footer_of, with_footer
from dataset_export_tests.encoding.parquet_validator import validate
from dataset_export_tests.encoding.parquet_writers import READERS, WRITERS
from dataset_export_tests.encoding.tables import exact, parquet, source

SOURCE = Encoding(compression=Compression.SOURCE)
ZSTD = Encoding(compression=Compression.ZSTD)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

ROWS = range(900)
TABLE = pa.table(
    {
        "id": pa.array(ROWS, pa.int64()),
        "secret": pa.array([f"secret {n % 13}" if n % 5 else None for n in ROWS]),
        "home": pa.array(
            [{"street": f"hidden {n}", "city": f"c{n % 7}"} if n % 4 else None for n in ROWS],
            pa.struct([("street", pa.string()), ("city", pa.string())]),
        ),
        "items": pa.array(
            [[{"sku": f"s{k}", "cost": n / 3} for k in range(n % 3)] if n % 6 else None for n in ROWS],
            pa.list_(pa.struct([("sku", pa.string()), ("cost", pa.float64())])),
        ),
        "tags": pa.array([[(f"k{k}", n) for k in range(n % 4)] for n in ROWS], pa.map_(pa.string(), pa.int64())),
        "at": pa.array([n * 10**6 if n % 8 else None for n in ROWS], pa.timestamp("us", "UTC")),
    }
)


def rule(exclude: str) -> ColumnRule:
    return ColumnRule(exclude=tuple(map(parse_path, exclude.split())))


EXCLUDED = rule("secret home.street items.element.cost")


def copied(
    data: bytes, columns: ColumnRule, encoding: Encoding = SOURCE, *, way: Way = Way.COLUMN_COPY, **fields: object
) -> bytes:
    schema = fields.pop("schema", None) or pq.read_schema(io.BytesIO(data))
    out = io.BytesIO()
    encoded = encode([source(data, **fields)], Target(encoding, schema, columns=columns), out.write)
    assert encoded == Encoded(pq.read_metadata(io.BytesIO(data)).num_rows, 0, 0, None, None, way)
    return out.getvalue()


def rewritten(data: bytes, columns: ColumnRule) -> bytes:
    """By the way that decodes every value."""
    out = io.BytesIO()
    schema = pq.read_schema(io.BytesIO(data))
    target = Target(Encoding(compression=Compression.NONE), schema, columns=columns)
    assert encode([source(data)], target, out.write, minus=[source(TABLE.slice(0, 0))]).way is Way.REWRITE
    return out.getvalue()


@pytest.mark.parametrize("codec", ["snappy", "zstd", "gzip", "none"])
@pytest.mark.parametrize("writer", WRITERS)
def test_files_of_every_writer_lose_columns_and_keep_the_rest(writer: str, codec: str, tmp_path: Path) -> None:
    data = WRITERS[writer](TABLE, codec, tmp_path)
    done = copied(data, EXCLUDED)
    walked = validate(done, pq.read_metadata(io.BytesIO(data)).row_group(0).column(0).compression)
    if "checksums" in writer:
        assert (walked.checksums, walked.offset_indexes) == (walked.pages, walked.column_indexes)
        assert walked.offset_indexes > 0
    if "parquet-rs" in writer:
        assert walked.bloom_filters > 0
    (tmp_path / "copied.parquet").write_bytes(done)
    (tmp_path / "rewritten.parquet").write_bytes(rewritten(data, EXCLUDED))
    for name, read in READERS.items():
        assert read(tmp_path / "copied.parquet") == read(tmp_path / "rewritten.parquet"), name
    assert all(word not in done for word in (b"secret", b"street", b"cost"))
    assert b"hidden" not in done


@pytest.mark.parametrize("wanted", [Compression.GZIP, Compression.NONE])
def test_in_another_codec_only_the_pages_that_stay_are_made_anew(wanted: Compression, tmp_path: Path) -> None:
    data = parquet(TABLE, compression="zstd", write_page_checksum=True, write_page_index=True, data_page_size=500)
    done = copied(data, EXCLUDED, Encoding(compression=wanted), way=Way.PAGE_TRANSCODE)
    validate(done, "GZIP" if wanted is Compression.GZIP else "UNCOMPRESSED")
    (tmp_path / "copied.parquet").write_bytes(done)
    (tmp_path / "rewritten.parquet").write_bytes(rewritten(data, EXCLUDED))
    for name, read in READERS.items():
        assert read(tmp_path / "copied.parquet") == read(tmp_path / "rewritten.parquet"), name
    assert b"secret" not in done


def test_pages_are_copied_byte_for_byte() -> None:
    data = parquet(TABLE, compression="zstd", row_group_size=300)
    done = copied(data, EXCLUDED, ZSTD)

    def pages(file: bytes) -> dict[tuple[int, bytes], str]:
        found = {}
        for at, chunk in enumerate(chunks(footer_of(file)[0])):
            meta = chunk.struct(3)
            start = min(place for place in (meta.integer(9), meta.integer(11, 0)) if place)
            path = b".".join(meta[3][1][1])
            body = file[start : start + meta.integer(7)]
            found[at // len(pq.read_metadata(io.BytesIO(file)).schema), path] = hashlib.sha256(body).hexdigest()
        return found

    before, after = pages(data), pages(done)
    assert {path for _, path in after} == {
        b"id",
        b"home.city",
        b"items.list.element.sku",
        b"tags.key_value.key",
        b"tags.key_value.value",
        b"at",
    }
    assert len(after) == 18
    assert after == {key: before[key] for key in after}


def test_only_some_columns_in_another_codec_make_it_page_transcoding() -> None:
    """What is left decides: a column in another codec that goes does not matter."""
    mixed = parquet(TABLE.select(["id", "secret", "at"]), compression={"id": "zstd", "secret": "gzip", "at": "zstd"})
    copied(mixed, rule("secret"), ZSTD)
    copied(mixed, rule("at"), ZSTD, way=Way.PAGE_TRANSCODE)


def test_a_file_that_never_had_the_column_is_passed_through() -> None:
    older = parquet(TABLE.drop_columns(["secret"]), compression="zstd")
    done = copied(older, rule("secret"), ZSTD, way=Way.PASS_THROUGH, schema=TABLE.schema)
    assert done == older


def test_partition_columns_that_are_left_out_need_no_rewrite() -> None:
    data = parquet(TABLE, compression="zstd")
    table = TABLE.schema.append(pa.field("day", pa.date32()))
    partition = {"day": "2026-11-01"}
    assert copied(data, rule("day"), ZSTD, way=Way.PASS_THROUGH, schema=table, partition=partition) == data
    copied(data, rule("day secret"), ZSTD, schema=table, partition=partition)
    back = copied(data, rule("secret"), ZSTD, way=Way.REWRITE, schema=table, partition=partition)
    assert pq.read_schema(io.BytesIO(back)).names[-1] == "day"


# Rows


def test_the_row_rule_is_judged_by_a_column_that_goes() -> None:
    data = parquet(TABLE, compression="zstd")

    def way(not_before: datetime, **fields: object) -> tuple[Way, int]:
        target = Target(ZSTD, TABLE.schema, RowRule("at", not_before), rule("at"))
        encoded = encode([source(data, **fields)], target, io.BytesIO().write)
        assert encoded.first_timestamp is None
        return encoded.way, encoded.rows

    assert way(EPOCH) == (Way.COLUMN_COPY, 900)
    late = EPOCH + timedelta(seconds=450)
    # 450 and later, and those without a time.
    kept = sum(1 for n in ROWS if n % 8 == 0 or n >= 450)
    assert way(late) == (Way.REWRITE, kept)
    assert way(late, whole=True) == (Way.COLUMN_COPY, 900)


def test_statistics_in_another_unit_prove_nothing() -> None:
    """A file may be older than a change of the column's unit; its numbers must not be taken for those of the table."""
    old = pa.table({"id": [1, 2], "at": pa.array([2000, 5000], pa.timestamp("us", "UTC"))})
    schema = pa.schema([("id", pa.int64()), ("at", pa.timestamp("ms", "UTC"))])
    data = parquet(old, compression="zstd")
    target = Target(ZSTD, schema, RowRule("at", EPOCH + timedelta(milliseconds=3)), rule("at"))
    out = io.BytesIO()
    encoded = encode([source(data)], target, out.write)
    assert (encoded.way, encoded.rows, encoded.excluded) == (Way.REWRITE, 1, 1)
    assert pq.read_table(io.BytesIO(out.getvalue())).to_pylist() == [{"id": 2}]


def test_the_range_of_timestamps_is_told_when_they_stay() -> None:
    data = parquet(TABLE, compression="zstd")
    encoded = encode([source(data)], Target(ZSTD, TABLE.schema, RowRule("at"), EXCLUDED), io.BytesIO().write)
    assert encoded.way is Way.COLUMN_COPY
    assert encoded.first_timestamp == EPOCH + timedelta(seconds=1)
    assert encoded.last_timestamp == EPOCH + timedelta(seconds=899)


# When it cannot be done


@pytest.mark.parametrize(
    "columns",
    [
        ColumnRule(hashed=(("secret",),), salt=b"a salt of sixteen"),
        ColumnRule(exclude=(("secret",),), masked={("id",): None}),
    ],
)
def test_values_that_change_are_decoded(columns: ColumnRule) -> None:
    copied(parquet(TABLE, compression="zstd"), columns, ZSTD, way=Way.REWRITE)


def test_a_file_without_a_column_that_is_delivered_is_rewritten() -> None:
    older = parquet(TABLE.drop_columns(["at"]), compression="zstd")
    copied(older, rule("secret"), ZSTD, way=Way.REWRITE, schema=TABLE.schema)


def test_types_that_only_arrow_knows_are_not_lost_with_its_note() -> None:
    table = pa.table({"id": [1], "secret": ["x"], "took": pa.array([5], pa.duration("us"))})
    done = copied(parquet(table, compression="zstd"), rule("secret"), ZSTD, way=Way.REWRITE)
    assert pq.read_table(io.BytesIO(done)).schema.field("took").type == pa.duration("us")
    copied(parquet(table, compression="zstd"), rule("secret took"), ZSTD)


def test_lists_of_two_levels_that_would_be_read_as_others_are_rewritten() -> None:
    """A repeated group of two fields is a list of structs; of one field, a list of that field."""
    kind = pa.list_(pa.field("element", pa.struct([("sku", pa.string()), ("cost", pa.int64())]), nullable=False))
    table = pa.table({"id": [1, 2], "items": pa.array([[{"sku": "a", "cost": 1}], []], kind)})

    def two_levels(footer: Struct) -> None:
        schema = footer.structs(2)
        at = next(place for place, element in enumerate(schema) if element.text(4) == "element")
        schema[at - 1].put(5, I32, 2)
        del schema[at]
        for chunk in chunks(footer):
            path = [name for name in chunk.struct(3)[3][1][1] if name != b"element"]
            chunk.struct(3).put(3, LIST, (BINARY, path))
        footer.pop(5)

    data = with_footer(parquet(table, compression="zstd"), two_levels)
    read = pq.read_table(io.BytesIO(data))
    assert read.to_pylist() == table.to_pylist()
    done = copied(data, rule("items.element.cost"), ZSTD, way=Way.REWRITE)
    assert pq.read_table(io.BytesIO(done)).to_pylist() == [{"id": 1, "items": [{"sku": "a"}]}, {"id": 2, "items": []}]
    copied(data, rule("items"), ZSTD)


# What the footer says


def test_what_rows_are_sorted_by_is_told_as_far_as_it_still_holds() -> None:
    table = pa.table({"a": [1, 1, 2], "b": [1, 2, 1], "c": [1, 1, 1], "d": [0, 0, 0]})
    data = parquet(
        table, compression="zstd", sorting_columns=[pq.SortingColumn(1), pq.SortingColumn(3), pq.SortingColumn(2)]
    )

    def sorted_by(exclude: str) -> list[str]:
        metadata = pq.read_metadata(io.BytesIO(copied(data, rule(exclude), ZSTD)))
        group = metadata.row_group(0)
        return [group.column(column.column_index).path_in_schema for column in group.sorting_columns]

    assert sorted_by("a") == ["b", "d", "c"]
    assert sorted_by("d") == ["b"]
    assert sorted_by("b") == []


def test_only_notes_that_old_dates_need_stay_beside_the_footer() -> None:
    table = TABLE.replace_schema_metadata({"who": "secret", "org.apache.spark.legacyDateTime": ""})
    done = copied(parquet(table, compression="zstd"), rule("secret"), ZSTD)
    assert pq.read_metadata(io.BytesIO(done)).metadata == {b"org.apache.spark.legacyDateTime": b""}


def test_a_file_without_rows(tmp_path: Path) -> None:
    done = copied(parquet(TABLE.slice(0, 0), compression="zstd"), EXCLUDED, ZSTD)
    (tmp_path / "empty.parquet").write_bytes(done)
    assert pq.read_schema(tmp_path / "empty.parquet").names == ["id", "home", "items", "tags", "at"]
    assert exact(pq.read_table(tmp_path / "empty.parquet")) == []
    assert pl.read_parquet(tmp_path / "empty.parquet").height == 0
    assert duckdb.sql(f"from read_parquet('{tmp_path}/empty.parquet')").fetchall() == []


@pytest.mark.parametrize("kept", [[True], [True] * 10, []])
def test_another_number_of_columns_is_refused(kept: list[bool]) -> None:
    footer, _ = footer_of(parquet(TABLE))
    with pytest.raises(Malformed):
        without_columns(footer, kept)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda footer: footer.put(7, LIST, (STRUCT, footer.structs(7)[1:])), "has 8 column orders for 9 columns"),
        (lambda footer: footer.structs(4)[0].structs(1).pop(), "a row group has 8 column chunks for 9 columns"),
        (lambda footer: footer.structs(2).pop(), "its schema ends too early"),
        (lambda footer: footer.structs(2).append(Struct()), "its schema is not that of its columns"),
    ],
)
def test_a_footer_that_contradicts_itself_is_refused(spoil: Callable[[Struct], object], says: str) -> None:
    footer, _ = footer_of(parquet(TABLE))
    spoil(footer)
    with pytest.raises(Malformed, match=says):
        without_columns(footer, [True] * 8 + [False])
