"""Delivered folders, read by the programs that partners use: the rows are exactly those of the lake, nested values too."""

import json
import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from dataset_export.destinations.local import LocalStore
from dataset_export.encoding.contract import Compression, Encoding, Format
from dataset_export_tests.export.exporter import START, Exporter
from dataset_export_tests.lake.delta_tables import DeltaBuilder

SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64()),
        pa.field("at", pa.timestamp("us", "UTC")),
        pa.field("day", pa.date32()),
        pa.field("price", pa.decimal128(20, 4)),
        pa.field("ratio", pa.float64()),
        pa.field("text", pa.string()),
        pa.field("who", pa.struct([("name", pa.string()), ("emails", pa.list_(pa.string()))])),
        pa.field("items", pa.list_(pa.struct([("sku", pa.string()), ("quantity", pa.int32())]))),
        pa.field("tags", pa.map_(pa.string(), pa.string())),
    ]
)


def row(i: int) -> dict[str, Any]:
    """Every third value is null somewhere, so that nested nulls and empty lists are among them."""
    return {
        "id": 2**53 + i,
        "at": datetime(2026, 10, 1, 1, 2, 3, 456_789, tzinfo=UTC) + timedelta(minutes=i),
        "day": None if i % 3 == 0 else date(2026, 1, 1) + timedelta(days=i),
        "price": None if i % 5 == 0 else Decimal(f"1234567890123{i:03d}.0120"),
        "ratio": i / 3,
        "text": None if i % 4 == 0 else f'ünï\n"{i}" \u2028',
        "who": None if i % 7 == 0 else {"name": f"n{i}", "emails": [] if i % 2 else [f"{i}@x", None]},
        "items": [{"sku": f"s{k}", "quantity": None if k == 1 else k} for k in range(i % 4)],
        "tags": [(f"k{k}", f"v{i}") for k in range(i % 3)],
    }


ROWS = [row(i) for i in range(120)]


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One folder of gzip parquet and one of NDJSON: a first full export and an incremental one, of two files each."""
    root = tmp_path_factory.mktemp("readers")
    delta = DeltaBuilder(str(root / "lake"))
    exporters = {
        "parquet": Exporter(LocalStore(root / "parquet"), delta.uri),
        "json": Exporter(LocalStore(root / "json"), delta.uri, encoding=Encoding(Format.JSON, Compression.GZIP)),
    }
    for hour in (0, 1):
        for part in (0, 1):
            begin = hour * 60 + part * 30
            version = delta.write(pa.Table.from_pylist(ROWS[begin : begin + 30], SCHEMA))
            delta.commit_time(version, START + timedelta(hours=hour, minutes=-30))
        for exporter in exporters.values():
            exporter.export(hour)
    return {name: root / name for name in exporters}


def plain(value: Any) -> Any:
    """One form for the same value from different readers: lists, dicts without nulls, ISO times in UTC, exact decimals."""
    if hasattr(value, "asDict"):
        value = value.asDict(recursive=False)
    if isinstance(value, pd.Timestamp):
        value = value.to_pydatetime()
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return value.normalize()
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, dict):
        return {k: plain(v) for k, v in sorted(value.items()) if plain(v) is not None}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return None if value is pd.NaT else value


def expected() -> list[Any]:
    return [plain({**r, "tags": dict(r["tags"])}) for r in ROWS]


def same(rows: list[dict[str, Any]]) -> None:
    """Compare with the lake, whatever the order of files; a map may come as a dict or as pairs."""
    found = [plain({**r, "tags": dict(r["tags"]) if r.get("tags") is not None else {}}) for r in rows]
    assert sorted(found, key=lambda r: r["id"]) == expected()


def test_duckdb_reads_parquet(delivered: dict[str, Path]) -> None:
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        table = connection.execute(f"from read_parquet('{delivered['parquet']}/**/*.parquet')").to_arrow_table()
    same(table.select(SCHEMA.names).to_pylist())


def test_duckdb_reads_ndjson(delivered: dict[str, Path]) -> None:
    columns = (
        "{id: 'BIGINT', 'at': 'TIMESTAMPTZ', day: 'DATE', price: 'DOUBLE', ratio: 'DOUBLE', text: 'VARCHAR', "
        "who: 'STRUCT(name VARCHAR, emails VARCHAR[])', items: 'STRUCT(sku VARCHAR, quantity INTEGER)[]', "
        "tags: 'MAP(VARCHAR, VARCHAR)'}"
    )
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        source = f"read_json('{delivered['json']}/**/*.json.gz', format='newline_delimited', columns={columns})"
        table = connection.execute(f"from {source}").to_arrow_table()
    # DuckDB parses every JSON number with a fraction as a double: that, and no more, of a decimal can be compared.
    exact = {wanted["id"]: wanted.get("price") for wanted in expected()}
    rows = table.select(SCHEMA.names).to_pylist()
    for found in rows:
        wanted = exact[found["id"]]
        assert found["price"] == (float(wanted) if wanted is not None else None)
        found["price"] = wanted
    same(rows)


def test_pandas_reads_parquet(delivered: dict[str, Path]) -> None:
    files = sorted(delivered["parquet"].rglob("*.parquet"))
    frame = pd.concat([pd.read_parquet(file) for file in files])
    same(frame[SCHEMA.names].to_dict("records"))


def test_pandas_reads_ndjson(delivered: dict[str, Path]) -> None:
    """pandas takes numbers as floats, so that decimals are compared as such, and leaves times to `convert_dates`."""
    files = sorted(delivered["json"].rglob("*.json.gz"))
    frame = pd.concat(
        [
            pd.read_json(file, lines=True, convert_dates=["at"], dtype={"day": str, "id": "int64"}, precise_float=True)
            for file in files
        ]
    )
    rows = frame.sort_values("id").to_dict("records")
    for found, wanted in zip(rows, expected(), strict=True):
        price = found.pop("price")
        assert wanted.pop("price", None) is None if price != price else True
        assert {k: v for k, v in plain(found).items() if v != "nan"} == {
            k: v for k, v in wanted.items() if k != "price"
        }


SPARK_DDL = (
    "id bigint, at timestamp, day date, price decimal(20,4), ratio double, text string, "
    "who struct<name: string, emails: array<string>>, items array<struct<sku: string, quantity: int>>, "
    "tags map<string, string>"
)


@pytest.mark.spark
@pytest.mark.parametrize("form", ["parquet", "json"])
def test_spark_reads(spark: Any, delivered: dict[str, Path], form: str) -> None:
    reader = spark.read.option("recursiveFileLookup", "true")
    folder = str(delivered[form])
    frame = (
        reader.option("pathGlobFilter", "*.parquet").parquet(folder)
        if form == "parquet"
        else reader.option("pathGlobFilter", "*.json.gz").schema(SPARK_DDL).json(folder)
    )
    # As text of whole rows: the timestamps of Row objects pass through the driver's local zone.
    frame = frame.selectExpr(
        *[c for c in SCHEMA.names if c != "at"], "date_format(at, 'yyyy-MM-dd HH:mm:ss.SSSSSS') as at"
    )
    rows = [found.asDict(recursive=True) for found in frame.collect()]
    same([{**found, "at": datetime.fromisoformat(found["at"]).replace(tzinfo=UTC)} for found in rows])


def test_ndjson_is_what_the_rules_say(delivered: dict[str, Path]) -> None:
    import gzip

    lines = [
        line
        for file in delivered["json"].rglob("*.json.gz")
        for line in gzip.decompress(file.read_bytes()).decode().split("\n")[:-1]
    ]
    numbers: Callable[[str], Any] = Decimal
    rows = [json.loads(line, parse_float=numbers) for line in lines]
    found = {r["id"]: r for r in rows}
    assert found[2**53 + 1]["at"] == "2026-10-01T01:03:03.456789Z"
    assert found[2**53 + 1]["price"] == Decimal("1234567890123001.0120")
    assert "price" not in found[2**53]
    assert list(found[2**53 + 1]) == [name for name in SCHEMA.names if name in found[2**53 + 1]]
