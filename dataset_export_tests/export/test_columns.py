"""Exports that leave out, hash or mask columns: what is delivered, what the manifest says, what a resend and a repair do."""

import gzip
import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_export.destinations.local import LocalStore
from dataset_export.encoding.contract import Compression, Encoding, Format
from dataset_export.errors import ConfigError, SchemaChanged, StalePlan
from dataset_export.export.columns import Columns
from dataset_export.export.dataflow import Behavior
from dataset_export.export.manifest import Manifest
from dataset_export.export.repair import Depth
from dataset_export.export.schema_change import OnSchemaChange
from dataset_export.secret_refs import SecretRef
from dataset_export_tests.export.exporter import Exporter, live_manifests, rows_by_manifest, staged_files
from dataset_export_tests.lake.delta_tables import DeltaBuilder

EARLY = datetime(2026, 10, 31, 12, tzinfo=UTC)
PEOPLE = pa.table(
    {
        "id": pa.array([1, 2, 3], pa.int64()),
        "email": ["a@x", None, "c@x"],
        "home": [{"street": "s", "city": "Oslo"}, None, {"street": None, "city": "Bern"}],
        "items": [[{"sku": "x", "price": 1.5}], [], None],
    }
)
REDUCED = [
    {"id": 1, "home": {"city": "Oslo"}, "items": [{"sku": "x"}]},
    {"id": 2, "home": None, "items": []},
    {"id": 3, "home": {"city": "Bern"}, "items": None},
]
EXCLUDE = Columns(exclude=("email", "home.street", "items.element.price"))


@pytest.fixture
def lake(tmp_path: Path) -> DeltaBuilder:
    table = DeltaBuilder(str(tmp_path / "people"))
    table.commit_time(table.write(PEOPLE), EARLY)
    return table


def choosing(exporter: Exporter, columns: Columns, **changes: Any) -> Exporter:
    exporter.dataflow = replace(exporter.dataflow, columns={"orders": columns}, **changes)
    return exporter


def local(folder: Path, lake: DeltaBuilder, columns: Columns, **fields: Any) -> Exporter:
    return choosing(Exporter(LocalStore(folder / "delivered"), lake.uri, **fields), columns)


def paths(folder: Path, manifest: Manifest) -> list[Path]:
    return [folder / "delivered" / file.path for file in manifest.files]


@pytest.mark.parametrize("compression", [Compression.SNAPPY, Compression.GZIP, Compression.ZSTD])
def test_readers_see_exactly_the_columns_that_are_left(
    tmp_path: Path, lake: DeltaBuilder, compression: Compression
) -> None:
    manifest = local(tmp_path, lake, EXCLUDE, encoding=Encoding(compression=compression)).export(0)
    [file] = paths(tmp_path, manifest)
    assert pq.ParquetFile(file).read().to_pylist() == REDUCED
    assert pl.read_parquet(file).to_dicts() == REDUCED
    relation = duckdb.sql(f"from read_parquet('{file}', hive_partitioning = false)")
    assert [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()] == REDUCED
    assert all(name not in file.read_bytes() for name in (b"email", b"street", b"price"))


def test_ndjson_has_exactly_the_columns_that_are_left(tmp_path: Path, lake: DeltaBuilder) -> None:
    manifest = local(tmp_path, lake, EXCLUDE, encoding=Encoding(Format.JSON, Compression.GZIP)).export(0)
    [file] = paths(tmp_path, manifest)
    relation = duckdb.sql(f"from read_json('{file}', hive_partitioning = false)")
    assert relation.columns == ["id", "home", "items"]
    assert sorted(relation.fetchall()) == [tuple(row.values()) for row in REDUCED]


def test_the_manifest_says_what_is_left_out_and_has_the_schema_of_what_is_delivered(
    tmp_path: Path, lake: DeltaBuilder
) -> None:
    document = local(tmp_path, lake, EXCLUDE).export(0).document
    assert document["columns"] == {
        "leftOut": ["email", "home.street", "items.element.price"],
        "hashed": [],
        "masked": [],
    }
    assert [(column["name"], column["type"]) for column in document["schema"]] == [
        ("id", "int64"),
        ("home", "struct<city: string>"),
        ("items", "list<element: struct<sku: string>>"),
    ]


@pytest.mark.parametrize(
    ("compression", "way"),
    [(Compression.SNAPPY, "column copy"), (Compression.SOURCE, "column copy"), (Compression.GZIP, "page transcode")],
)
def test_no_value_is_decoded_only_to_leave_columns_out(
    tmp_path: Path, lake: DeltaBuilder, compression: Compression, way: str
) -> None:
    manifest = local(tmp_path, lake, EXCLUDE, encoding=Encoding(compression=compression)).export(0)
    assert [file.way for file in manifest.files] == [way]


def test_without_settings_the_manifest_says_nothing_of_columns(tmp_path: Path, lake: DeltaBuilder) -> None:
    assert "columns" not in local(tmp_path, lake, Columns()).export(0).document


def test_what_is_included_is_all_there_is_also_when_the_table_grows(tmp_path: Path, lake: DeltaBuilder) -> None:
    exporter = local(tmp_path, lake, Columns(include=("id", "home.city")))
    choosing(exporter, exporter.dataflow.columns["orders"], on_schema_change=OnSchemaChange.FAIL)
    exporter.export(0)
    wider = pa.table({"id": [4], "home": [{"city": "Rome", "zip": "1"}], "phone": ["1"]})
    lake.commit_time(lake.write(wider, schema_mode="merge"), datetime(2026, 11, 1, 8, 30, tzinfo=UTC))
    second = exporter.export(1)
    assert second.document["columns"] == {
        "leftOut": ["email", "home.street", "home.zip", "items", "phone"],
        "hashed": [],
        "masked": [],
    }
    [file] = paths(tmp_path, second)
    assert pq.ParquetFile(file).read().to_pylist() == [{"id": 4, "home": {"city": "Rome"}}]


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        (
            Columns(exclude=("emial",)),
            "columns: exclude names emial, and the table has no such column; it has id, email",
        ),
        (
            Columns(include=("home.zip",)),
            "columns: include names home.zip, and home has no such field; it has home.street",
        ),
        (Columns(exclude=("id", "email", "home", "items")), "columns: of the table's columns none is left to deliver"),
    ],
)
def test_columns_that_the_table_does_not_have_fail_before_the_first_byte(
    tmp_path: Path, lake: DeltaBuilder, columns: Columns, says: str
) -> None:
    exporter = local(tmp_path, lake, columns)
    with pytest.raises(ConfigError) as refused:
        exporter.export(0)
    assert str(refused.value).startswith(f"hourly/orders at 202611010800: {says}")
    assert list(exporter.store.list("")) == []
    assert staged_files(exporter.store) == []


def test_an_excluded_column_that_vanished_stops_the_export(tmp_path: Path, lake: DeltaBuilder) -> None:
    """It may have got another name, under which it would be delivered."""
    exporter = local(tmp_path, lake, EXCLUDE)
    exporter.export(0)
    renamed = PEOPLE.rename_columns(["id", "mail", "home", "items"])
    version = lake.write(renamed, mode="overwrite", schema_mode="overwrite")
    lake.commit_time(version, datetime(2026, 11, 1, 8, 30, tzinfo=UTC))
    with pytest.raises(ConfigError, match="exclude names email, and the table has no such column"):
        exporter.export(1)


def test_other_settings_are_a_change_of_the_schema(tmp_path: Path, lake: DeltaBuilder) -> None:
    exporter = local(tmp_path, lake, Columns())
    exporter.export(0)
    choosing(exporter, Columns(exclude=("home.street",)), on_schema_change=OnSchemaChange.FAIL)
    with pytest.raises(SchemaChanged, match=r"removed: home.street \(string\)"):
        exporter.export(1)
    choosing(exporter, Columns(exclude=("home.street",)), on_schema_change=OnSchemaChange.EVOLVE)
    removed = exporter.export(1).document["schemaChange"]["removed"]
    assert removed == [{"column": "home.street", "type": "string", "nullable": True}]


def test_a_resend_delivers_by_the_settings_of_today(tmp_path: Path, lake: DeltaBuilder) -> None:
    exporter = local(tmp_path, lake, Columns())
    exporter.export(0)
    again = choosing(exporter, EXCLUDE).export(0, resend=True)
    [file] = paths(tmp_path, again)
    assert pq.ParquetFile(file).read().to_pylist() == REDUCED
    assert [manifest.path for manifest in live_manifests(exporter.store)] == [again.path]


def test_a_repair_after_the_settings_changed_sends_everything(tmp_path: Path, lake: DeltaBuilder) -> None:
    lake.commit_time(lake.write(PEOPLE), EARLY)
    exporter = local(tmp_path, lake, EXCLUDE)
    first = exporter.export(0)
    exporter.store.delete(first.files[0].path)
    choosing(exporter, Columns(exclude=("email", "home.street")))
    request = exporter.request(0, repair=Depth.LISTING)
    plan = exporter.plan(request)
    assert plan.repair is None
    assert plan.repair_note is not None
    assert "its columns was {'leftOut': ['email', 'home.street'" in plan.repair_note
    second = exporter.record(exporter.publish(request, plan, exporter.stage(request, plan)))
    assert len({file.name.split("-tid-")[1][:19] for file in second.files}) == 1
    assert second.document["columns"] == {"leftOut": ["email", "home.street"], "hashed": [], "masked": []}


def test_a_repair_with_the_same_settings_keeps_what_is_whole(tmp_path: Path, lake: DeltaBuilder) -> None:
    lake.commit_time(lake.write(PEOPLE), EARLY)
    exporter = local(tmp_path, lake, EXCLUDE)
    first = exporter.export(0)
    gone, kept = (file.path for file in first.files)
    exporter.store.delete(gone)
    second = exporter.export(0, repair=Depth.LISTING)
    assert kept in {file.path for file in second.files}
    assert rows_by_manifest(exporter.store) == {1: 2, 2: 2, 3: 2}


def test_settings_that_change_between_two_tries_of_a_run_are_not_mixed(tmp_path: Path, lake: DeltaBuilder) -> None:
    exporter = local(tmp_path, lake, EXCLUDE)
    request = exporter.request(0)
    plan = exporter.plan(request)
    choosing(exporter, Columns(exclude=("email",)))
    later = exporter.request(0, request.run_id)
    with pytest.raises(StalePlan, match="the columns that hourly delivers have changed since this run began"):
        exporter.publish(later, plan, exporter.stage(later, plan))
    assert live_manifests(exporter.store) == []


def test_the_timestamp_column_may_be_left_out(tmp_path: Path) -> None:
    table = DeltaBuilder(str(tmp_path / "events"))
    rows = pa.table(
        {
            "id": [1, 2],
            "meta": pa.StructArray.from_arrays(
                [
                    pa.array(
                        [datetime(2026, 10, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)], pa.timestamp("us", "UTC")
                    )
                ],
                names=["at"],
            ),
        }
    )
    table.commit_time(table.write(rows), EARLY)
    exporter = local(
        tmp_path, table, Columns(exclude=("meta",)), behavior=Behavior.TIME_SERIES, timestamp_column="meta.at"
    )
    manifest = exporter.export(0)
    assert manifest.document["excludedRecords"] == [{"reason": "older than 365 days", "recordCount": 1}]
    [file] = manifest.document["exportResults"]
    assert "firstTimestamp" not in file
    [path] = paths(tmp_path, manifest)
    assert pq.ParquetFile(path).read().to_pylist() == [{"id": 1}]


def test_an_update_of_a_column_that_is_left_out_delivers_the_row_again(tmp_path: Path, lake: DeltaBuilder) -> None:
    exporter = local(tmp_path, lake, EXCLUDE)
    exporter.export(0)
    version = lake.update("id = 2", email="'new@x'")
    lake.commit_time(version, datetime(2026, 11, 1, 8, 30, tzinfo=UTC))
    document = exporter.export(1).document
    assert (document["recordCount"], document["carriedOverRecordCount"]) == (1, 2)
    assert rows_by_manifest(exporter.store) == {1: 1, 2: 2, 3: 1}


def test_partition_columns_may_be_left_out(tmp_path: Path) -> None:
    table = DeltaBuilder(str(tmp_path / "parted"))
    data = pa.table({"id": [1, 2], "day": ["a", "b"], "name": ["x", "y"]})
    table.commit_time(table.write(data, partition_by=["day"]), EARLY)
    exporter = local(tmp_path, table, Columns(exclude=("day",)))
    found = [row for path in paths(tmp_path, exporter.export(0)) for row in pq.ParquetFile(path).read().to_pylist()]
    assert sorted(found, key=lambda row: row["id"]) == [{"id": 1, "name": "x"}, {"id": 2, "name": "y"}]


# Hashed and masked


SALT = "correct horse battery staple"
HIDING = Columns(
    exclude=("home.street",),
    hash=("email", "items.element.sku"),
    mask={"home.city": "-", "items.element.price": None},
    salt=SecretRef(env="PARTNER_SALT"),
)


def sha(text: str) -> str:
    return hashlib.sha256((SALT + text).encode()).hexdigest()


HIDDEN = [
    {"id": 1, "email": sha("a@x"), "home": {"city": "-"}, "items": [{"sku": sha("x"), "price": None}]},
    {"id": 2, "email": None, "home": None, "items": []},
    {"id": 3, "email": sha("c@x"), "home": {"city": "-"}, "items": None},
]


@pytest.fixture
def salt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARTNER_SALT", SALT)


@pytest.mark.usefixtures("salt")
def test_readers_see_hashes_and_masks(tmp_path: Path, lake: DeltaBuilder) -> None:
    manifest = local(tmp_path, lake, HIDING).export(0)
    [file] = paths(tmp_path, manifest)
    assert pq.ParquetFile(file).read().to_pylist() == HIDDEN
    assert pl.read_parquet(file).to_dicts() == HIDDEN
    relation = duckdb.sql(f"from read_parquet('{file}', hive_partitioning = false)")
    assert [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()] == HIDDEN
    assert SALT.encode() not in manifest.bytes
    document = dict(manifest.document["columns"])
    fingerprint = document.pop("saltFingerprint")
    assert document == {
        "leftOut": ["home.street"],
        "hashed": ["email", "items.element.sku"],
        "masked": [{"column": "home.city", "with": "-"}, {"column": "items.element.price", "with": None}],
    }
    assert len(fingerprint) == 16
    # A hash of the salt alone could be tried out fast.
    assert fingerprint not in hashlib.sha256(SALT.encode()).hexdigest()


@pytest.mark.usefixtures("salt")
def test_ndjson_has_hashes_and_masks(tmp_path: Path, lake: DeltaBuilder) -> None:
    manifest = local(tmp_path, lake, HIDING, encoding=Encoding(Format.JSON, Compression.GZIP)).export(0)
    [file] = paths(tmp_path, manifest)
    first, second, third = map(json.loads, gzip.decompress(file.read_bytes()).splitlines())
    assert first == {"id": 1, "email": sha("a@x"), "home": {"city": "-"}, "items": [{"sku": sha("x")}]}
    assert second == {"id": 2, "items": []}
    assert third == {"id": 3, "email": sha("c@x"), "home": {"city": "-"}}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (None, "the environment variable PARTNER_SALT is not set"),
        ("short", "the salt in {env: PARTNER_SALT} has fewer than 16 characters"),
    ],
)
def test_a_salt_that_is_not_there_or_too_short_stops_the_plan(
    tmp_path: Path, lake: DeltaBuilder, monkeypatch: pytest.MonkeyPatch, value: str | None, says: str
) -> None:
    monkeypatch.delenv("PARTNER_SALT", raising=False)
    if value is not None:
        monkeypatch.setenv("PARTNER_SALT", value)
    exporter = local(tmp_path, lake, HIDING)
    with pytest.raises(ConfigError) as refused:
        exporter.export(0)
    assert str(refused.value).startswith(f"hourly/orders at 202611010800: columns: {says}")
    assert list(exporter.store.list("")) == []


def test_a_salt_in_a_file(tmp_path: Path, lake: DeltaBuilder) -> None:
    secret = tmp_path / "salt"
    secret.write_text(SALT + "\n")
    columns = Columns(include=("email",), hash=("email",), salt=SecretRef(file=str(secret)))
    [file] = paths(tmp_path, local(tmp_path, lake, columns).export(0))
    assert pq.ParquetFile(file).read().column("email").to_pylist() == [sha("a@x"), None, sha("c@x")]


@pytest.mark.usefixtures("salt")
def test_another_salt_is_never_mixed_with_the_old_one(
    tmp_path: Path, lake: DeltaBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.commit_time(lake.write(PEOPLE), EARLY)
    exporter = local(tmp_path, lake, HIDING)
    first = exporter.export(0)
    exporter.store.delete(first.files[0].path)
    monkeypatch.setenv("PARTNER_SALT", "another horse altogether")
    second = exporter.export(0, repair=Depth.LISTING)
    assert {file.path for file in second.files}.isdisjoint({file.path for file in first.files})
    assert second.document["columns"]["saltFingerprint"] != first.document["columns"]["saltFingerprint"]
    lake.commit_time(lake.write(PEOPLE), datetime(2026, 11, 1, 8, 30, tzinfo=UTC))
    request = exporter.request(1)
    plan = exporter.plan(request)
    monkeypatch.setenv("PARTNER_SALT", SALT)
    with pytest.raises(StalePlan, match="have changed since this run began"):
        exporter.publish(request, plan, exporter.stage(request, plan))


# What is refused without the table


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"exclude": ("a", "a")}, "exclude names a twice; take one of them out"),
        ({"include": ("a", "a.b")}, "include names a.b and a, which it is a part of; take one of them out"),
        ({"include": ("a.b",), "exclude": ("a",)}, "include names a.b, and exclude a; take one of them out"),
        ({"include": ("a",), "exclude": ("a",)}, "include names a, and exclude a; take one of them out"),
        ({"include": ("a",), "exclude": ("b",)}, "exclude names b, which include leaves out"),
        ({"include": ("a.",)}, "'a.' is no path of a column"),
        ({"hash": ("a",)}, "hash needs a salt; write {env: NAME} or {file: PATH}"),
        ({"salt": SecretRef(env="S")}, "salt is only for hash"),
        ({"exclude": ("a",), "hash": ("a.b",), "salt": SecretRef(env="S")}, "exclude names a, and hash a.b; take one"),
        (
            {"mask": {"a": None}, "hash": ("a",), "salt": SecretRef(env="S")},
            "hash names a, and mask a; take one of them",
        ),
        ({"mask": {"a": None, "a.b": "x"}}, "mask names a.b and a, which it is a part of"),
        ({"mask": {"a": None}, "exclude": ("a.b",)}, "exclude names a.b, and mask a; take one of them out"),
        (
            {"mask": {"a": None}, "include": ("b",)},
            "mask names a, which include leaves out; take it out, or include it",
        ),
        ({"mask": {"a": None}, "include": ("a.b",)}, "include names a.b, and mask a; take one of them out"),
    ],
)
def test_settings_that_contradict_each_other(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Columns(**settings)
    assert says in str(refused.value)


def test_a_part_of_what_is_included_may_be_excluded() -> None:
    Columns(include=("a", "b.c"), exclude=("a.x", "b.c.d", "a.y"))


def test_what_is_included_may_be_hashed_or_masked_as_a_whole() -> None:
    Columns(include=("a", "b"), hash=("a",), mask={"b": None}, salt=SecretRef(env="S"))
