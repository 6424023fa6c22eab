"""`review`: what has changed since a dataflow ran last, whom it touches, what it delivers next (spec S4)."""

import json
import shutil
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dataset_export.cli.session import Session
from dataset_export.destinations.local import LocalDestination
from dataset_export.encoding.contract import Compression, Encoding
from dataset_export.errors import ConfigError
from dataset_export.export.dataflow import Dataflow, ExportMode
from dataset_export.export.file_names import FileNameTemplate
from dataset_export.export.folder import FolderTemplate
from dataset_export.export.schedule import Frequency, make_schedule
from dataset_export.orchestration.ran_last import ran_last
from dataset_export_tests.cli.world import START, DeclaredCatalog, World, at, small_world

HOURLY = make_schedule(Frequency.HOURLY, START, every_hours=12, end=START + timedelta(days=30))


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Both datasets have run for every day until today. One for all tests: none of them writes to it."""
    world = small_world(tmp_path_factory.mktemp("ran"))
    assert world.call("run", "flow", "--export-time", "due").exit_code == 0
    return world


def moved(world: World, place: str = "new") -> Session:
    """The same dataflow, to another folder."""
    flow = replace(world.dataflow(), destination=replace(world.dataflow().destination, id=place))
    destination = LocalDestination(folder=str(world.folder / place))
    catalog = DeclaredCatalog({"flow": flow}, {place: destination})
    return Session(load_catalog=lambda: catalog, open_instance=world.instance)  # type: ignore[arg-type]


def changed(world: World, flow: Dataflow) -> dict[str, Any]:
    """The setting that is said to have changed, of one change."""
    (change,) = world.json("review", "flow", session=world.session(flow))["changes"]
    return change


def test_what_ran_last_is_no_change(ran: World) -> None:
    found = ran.json("review", "flow")
    assert (found["ran"], found["changed"], found["changes"]) == (True, False, [])
    assert found["schedule"]["cron"] == "0 0 * * *"
    assert len(found["next_export_times"]) == 5
    assert found["destination"]["address"] == ran.delivered.as_uri()
    assert [part["folder"] for part in found["folders"]] == [f"{dataset}/exportTime={at(4)}" for dataset in ("a", "b")]
    assert [(part["since_version"], part["due_count"]) for part in found["next"]] == [(1, 0), (0, 0)]
    assert ran.call("review", "flow", "--exit-code").exit_code == 0


def test_s4_a_changed_schedule_touches_every_dataset(ran: World) -> None:
    flow = ran.dataflow(schedule=HOURLY)
    found = ran.json("review", "flow", session=ran.session(flow))
    cron = next(change for change in found["changes"] if change["setting"] == "schedule.cron")
    assert (cron["before"], cron["after"], cron["datasets"]) == ("0 0 * * *", HOURLY.cron, ["a", "b"])
    result = ran.call("review", "flow", "--exit-code", session=ran.session(flow))
    assert result.exit_code == 3
    assert f"! schedule.cron: 0 0 * * * → {HOURLY.cron}\n    touches a, b\n" in result.stdout


def test_s4_a_change_of_one_dataset_touches_that_one(ran: World) -> None:
    flow = ran.dataflow(datasets=(ran.dataset("a"), replace(ran.dataset("b"), name="Other")))
    change = changed(ran, flow)
    assert (change["setting"], change["before"], change["after"]) == ("dataset.name", "B", "Other")
    assert change["datasets"] == ["b"]


@pytest.mark.parametrize(
    ("values", "setting", "says"),
    [
        ({"mode": ExportMode.FULL}, "mode", "the whole table"),
        ({"folder": FolderTemplate("x/%DATASET_ID%")}, "folder", "stays where it is"),
        ({"file_name": FileNameTemplate("%DATASET_ID%")}, "file_name", "keeps its names"),
        ({"encoding": Encoding(compression=Compression.ZSTD)}, "compression", "stays as it is"),
        ({"enabled": False}, "enabled", "nothing is exported"),
    ],
)
def test_s4_every_change_says_what_is_delivered_next(
    ran: World, values: dict[str, Any], setting: str, says: str
) -> None:
    change = changed(ran, ran.dataflow(**values))
    assert (change["setting"], change["datasets"]) == (setting, ["a", "b"])
    assert says in change["effect"]


def test_s4_datasets_that_join_leave_and_come_back(world: World) -> None:
    ended = make_schedule(Frequency.DAILY, START, end=START + timedelta(hours=1))
    both = world.dataflow(schedule=ended)
    assert world.call("run", "flow", "--export-time", at(0), session=world.session(both)).exit_code == 0
    only = world.dataflow(schedule=ended, datasets=(world.dataset("a"),))
    change = changed(world, only)
    assert (change["setting"], change["before"], change["after"], change["datasets"]) == ("datasets", "b", None, ["b"])
    assert world.call("resend", "flow", "--export-time", at(0), session=world.session(only)).exit_code == 0
    assert world.json("review", "flow", session=world.session(only))["changes"] == []
    back = changed(world, both)
    assert (back["before"], back["after"]) == (None, "b")
    assert f"what was added since {at(0)}" in back["effect"]
    three = world.dataflow(schedule=ended, datasets=tuple(map(world.dataset, "abc")))
    found = world.json("review", "flow", session=world.session(three))
    assert [change["effect"].partition(":")[0] for change in found["changes"]] == ["it is put back", "it is new here"]
    assert [part["due_count"] for part in found["next"]] == [0, 0, 0]
    assert found["next"][2]["last_export_time"] is None


def test_a_dataflow_that_never_ran(world: World) -> None:
    found = world.json("review", "flow")
    assert (found["ran"], found["changed"]) == (False, True)
    assert [change["after"] for change in found["changes"]] == ["a", "b"]
    assert [part["due_count"] for part in found["next"]] == [4, 4]
    result = world.call("review", "flow", "--exit-code")
    assert result.exit_code == 3
    assert "it has never run:\n+ dataset a\n" in result.stdout
    assert f"next of a: everything; due already: {at(0)}, " in result.stdout


def test_s4_a_new_destination_gets_everything_and_says_so(ran: World) -> None:
    session = moved(ran)
    found = ran.json("review", "flow", session=session)
    address = next(change for change in found["changes"] if change["setting"] == "destination.address")
    assert (address["before"], address["after"]) == (ran.delivered.as_uri(), (ran.folder / "new").as_uri())
    assert "EVERYTHING" in address["effect"]
    assert [part["last_export_time"] for part in found["next"]] == [None, None]
    assert not (ran.folder / "new").exists()
    shutil.copytree(ran.delivered, ran.folder / "new")
    found = ran.json("review", "flow", session=session)
    address = next(change for change in found["changes"] if change["setting"] == "destination.address")
    assert "the same place" in address["effect"]
    assert [part["since_version"] for part in found["next"]] == [1, 0]


def test_a_destination_that_cannot_be_asked_is_no_failure(ran: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in CI, where its secrets are not."""

    def refuse(self: DeclaredCatalog, destination_id: str) -> None:
        raise ConfigError("the environment variable LAB_SECRET is not set; a secret is expected in it")

    monkeypatch.setattr(DeclaredCatalog, "store", refuse)
    found = ran.json("review", "flow", session=moved(ran, "elsewhere"))
    address = next(change for change in found["changes"] if change["setting"] == "destination.address")
    assert address["after"] == (ran.folder / "elsewhere").as_uri()
    assert "cannot be seen now (the environment variable LAB_SECRET is not set" in address["effect"]
    assert "EVERYTHING" in address["effect"]


def test_a_destination_whose_secrets_say_where_it_is(ran: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object, *_: object) -> None:
        raise ConfigError("the environment variable LAB_SECRET is not set; a secret is expected in it")

    monkeypatch.setattr(LocalDestination, "build_store", refuse)
    result = ran.call("review", "flow", "--json")
    assert result.exit_code == 0
    assert "note: where out is cannot be told here, and is not compared: " in result.stderr
    found = json.loads(result.stdout)
    assert (found["destination"]["address"], found["changes"]) == (None, [])


def test_what_was_declared_is_recorded_without_secrets(ran: World) -> None:
    with ran.instance() as instance:
        found = ran_last(ran.dataflow(), instance)
    assert set(found) == {"a", "b"}
    assert found["a"].export_time == at(3)
    assert found["a"].settings["dataset"]["uri"] == str(ran.table("a"))
    assert "storage_options" not in found["a"].settings["dataset"]


def test_the_table_is_for_people(ran: World) -> None:
    shown = ran.call("review", "flow").stdout
    assert f"destination   Out (local), {ran.delivered.as_uri()}" in shown
    assert "changed since it ran last: nothing" in shown
    assert "next of a: what was added since" in shown
    assert f"exportTime={at(4)}/" in shown


def test_an_unknown_dataflow(world: World) -> None:
    assert world.call("review", "flaw").exit_code == 2
