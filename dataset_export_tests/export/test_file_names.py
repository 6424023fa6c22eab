"""Names of data files that a dataflow chooses the beginning of: every promise holds with them."""

from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_export.destinations.local import LocalStore
from dataset_export.errors import ConfigError
from dataset_export.export.file_names import (
    LONGEST_BEGINNING,
    FileNameTemplate,
    file_name,
    name_mark,
    part_path,
    place_in_export,
)
from dataset_export.export.file_shape import FileShape
from dataset_export.export.repair import Depth
from dataset_export.export.sweep import sweep
from dataset_export_tests.export.exporter import (
    START,
    Exporter,
    Killed,
    MortalStore,
    named_files,
    rows_by_manifest,
    staged_files,
    visible_data_files,
)
from dataset_export_tests.lake.delta_tables import DeltaBuilder

TEMPLATE = "%DATASET_NAME%_%DATETIME(YYYYMMdd)%"
BEGINNING = f"Orders_{START:%Y%m%d}-00000-tid-"


@pytest.fixture
def exporter(tmp_path: Path) -> Exporter:
    delta = DeltaBuilder(str(tmp_path / "lake"))
    for first in (1, 11):
        delta.commit_time(delta.append(*range(first, first + 10)), START)
    exporter = Exporter(LocalStore(tmp_path / "delivered"), delta.uri, shape=FileShape(max_rows_per_file=4))
    return named(exporter, TEMPLATE)


def named(exporter: Exporter, template: str) -> Exporter:
    exporter.dataflow = replace(exporter.dataflow, file_name=FileNameTemplate(template))
    return exporter


def names(exporter: Exporter) -> set[str]:
    return {path.rpartition("/")[2] for path in visible_data_files(exporter.store)}


def test_s6_names_begin_as_the_dataflow_says(exporter: Exporter) -> None:
    exporter.export(1)
    assert len(names(exporter)) == 6
    assert any(name.startswith(BEGINNING) for name in names(exporter))
    assert all(name.startswith("Orders_") and "-tid-" in name for name in names(exporter))


def test_p4_a_retry_makes_the_same_names(exporter: Exporter) -> None:
    run_id = str(uuid4())
    with pytest.raises(Killed):
        exporter.export(1, run_id, store=MortalStore(exporter.store, 9, after=True))
    before = visible_data_files(exporter.store)
    exporter.export(1, run_id)
    assert before <= visible_data_files(exporter.store) == named_files(exporter.store)


def test_p6_a_sweep_finds_what_a_dead_run_made_of_any_name(exporter: Exporter) -> None:
    exporter.export(1)
    with pytest.raises(Killed):
        exporter.export(1, store=MortalStore(exporter.store, 20, after=True), resend=True)
    assert visible_data_files(exporter.store) > named_files(exporter.store)
    named(exporter, "part")
    sweep(exporter.store, "hourly", "orders", exporter.ledger, dry_run=False)
    assert visible_data_files(exporter.store) == named_files(exporter.store)
    assert staged_files(exporter.store) == []


def test_p5_a_resend_under_other_names_takes_the_old_ones_away(exporter: Exporter) -> None:
    exporter.export(1)
    named(exporter, "part").export(1, resend=True)
    assert visible_data_files(exporter.store) == named_files(exporter.store)
    assert all(name.startswith("part-") for name in names(exporter))
    assert sum(rows_by_manifest(exporter.store).values()) == 20


def test_p7_a_repair_under_other_names_keeps_what_is_whole(exporter: Exporter) -> None:
    exporter.export(1)
    lost = sorted(visible_data_files(exporter.store))[0]
    exporter.store.delete(lost)
    named(exporter, "part").export(1, repair=Depth.LISTING)
    assert visible_data_files(exporter.store) == named_files(exporter.store)
    assert {name.partition("-tid-")[0].rpartition("-")[0] for name in names(exporter)} == {
        "part",
        BEGINNING.partition("-")[0],
    }
    assert sum(rows_by_manifest(exporter.store).values()) == 20


def test_the_longest_beginning_fits_where_files_are_staged(exporter: Exporter) -> None:
    named(exporter, "雪" * (LONGEST_BEGINNING // 3) + "x").export(1)
    assert sum(rows_by_manifest(exporter.store).values()) == 20
    with pytest.raises(ConfigError, match="room for 100"):
        FileNameTemplate("雪" * (LONGEST_BEGINNING // 3 + 1))


def test_a_beginning_that_a_macro_makes_is_checked_before_anything_is_written(exporter: Exporter) -> None:
    dataset = replace(exporter.dataset, name="_hidden")
    with pytest.raises(ConfigError, match="begin with something else"):
        replace(exporter.dataflow, datasets=(dataset,))


@given(beginning=st.text(min_size=1), ordinal=st.integers(0, 200_000), part=st.integers(0, 2_000))
def test_the_place_of_a_file_is_read_from_any_name(beginning: str, ordinal: int, part: int) -> None:
    name = part_path(file_name(beginning, name_mark("flow", "a", START, "run"), ordinal, ".gz.parquet"), part)
    assert place_in_export(name) == (ordinal, part, ".gz.parquet")
