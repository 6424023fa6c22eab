"""The account of the soak notices what it is there to notice."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dataset_export.destinations.local import LocalStore
from dataset_export.export.manifest import Manifest
from dataset_export_tests.export.exporter import START, Exporter
from dataset_export_tests.lake.delta_tables import DeltaBuilder
from dataset_export_tests.soak.account import wrong_deliveries
from dataset_export_tests.soak.declarations import Flow
from dataset_export_tests.soak.facts import Delivery, Facts, Run
from dataset_export_tests.soak.lake import Commit, GrowingTable

HOURS = 3


class World:
    """Three hours of a dataflow, delivered and noted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "delivery"
        lake = DeltaBuilder(str(folder / "lake"))
        exporter = Exporter(LocalStore(self.folder / "partner"), lake.uri)
        self.flow = Flow("hourly", ("orders",), "partner", START, timedelta(hours=1), None, {})
        self.facts = Facts({"hourly": self.flow})
        self.table = GrowingTable(lake.uri, is_events=False)
        for hour in range(HOURS):
            ids, at = range(hour * 10, hour * 10 + 4), START + timedelta(hours=hour, minutes=-10)
            lake.commit_time(lake.append(*ids), at)
            self.table.commits.append(Commit(at, ids, ("id", "name")))
        for hour in range(HOURS):
            exporter.export(hour)
            self.deliver(START + timedelta(hours=hour))

    def deliver(self, moment: datetime) -> None:
        delivery = Delivery(self.flow, "orders", moment, moment, 4, 0, other_columns=False, increment=moment > START)
        self.facts.note(Run("hourly", moment, True, frozenset({"orders"}), True, (), (), (delivery,)))

    def files(self, pattern: str) -> list[Path]:
        return sorted(self.folder.rglob(pattern))

    def wrong(self) -> list[str]:
        until = START + timedelta(hours=HOURS - 1)
        return list(wrong_deliveries(self.folder, self.facts, {"orders": self.table}, until))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_nothing_is_wrong(world: World) -> None:
    assert world.wrong() == []


def _lose_an_export(world: World) -> None:
    world.files("manifest-*")[1].unlink()


def _say_that_a_row_is_left_out(world: World) -> None:
    file = world.files("manifest-*")[1]
    document = json.loads(file.read_text())
    document["excludedRecords"] = [{"reason": "older than 365 days", "recordCount": 1}]
    file.write_bytes(Manifest(file.name, document).bytes)


def _add_a_row_nobody_exports(world: World) -> None:
    world.table.commits[1] = Commit(world.table.commits[1].at, range(10, 15), ("id", "name"))


def _take_a_row_away(world: World) -> None:
    world.table.commits[1] = Commit(world.table.commits[1].at, range(10, 13), ("id", "name"))


def _add_a_column_nobody_exports(world: World) -> None:
    world.table.commits[2] = Commit(world.table.commits[2].at, range(20, 24), ("id", "name", "more"))


def _stray_file(world: World) -> None:
    (world.folder / "partner" / "orders" / "stray.parquet").write_bytes(b"")


def _unrecorded_export(world: World) -> None:
    world.facts = Facts(world.facts.declared)


@pytest.mark.parametrize(
    ("defect", "complaint"),
    [
        (_lose_an_export, "that no manifest names"),
        (_say_that_a_row_is_left_out, "said to be left out"),
        (_add_a_row_nobody_exports, "1 row(s) missing, 0 too many"),
        (_take_a_row_away, "0 row(s) missing, 1 too many"),
        (_add_a_column_nobody_exports, "the columns are"),
        (_stray_file, "that no manifest names"),
        (_unrecorded_export, "export time(s) are missing"),
        (_unrecorded_export, "not those that are materialized"),
    ],
)
def test_what_is_wrong_is_complained_of(world: World, defect: Callable[[World], None], complaint: str) -> None:
    defect(world)
    assert any(complaint in one for one in world.wrong())
