"""`run` and `resend`: what they deliver, and what they refuse before anything is sent."""

import json
from pathlib import Path

import pytest
from dagster import DagsterRunStatus

from dataset_export.export.columns import Columns
from dataset_export.export.schema_change import OnSchemaChange
from dataset_export.orchestration.names import DATAFLOW_TAG
from dataset_export_tests.cli.world import World, at


def test_s8_run_now_delivers_records_and_reports(world: World) -> None:
    result = world.call("run", "flow", "--export-time", at(0), "--json")
    assert result.exit_code == 0, result.output
    (run,) = json.loads(result.stdout)["runs"]
    a, b = run["datasets"]
    assert (a["dataset"], a["records"], a["files"], a["delivered"]) == ("a", 10, 1, True)
    assert b["records"] == 10
    assert {check["name"]: check["passed"] for check in a["checks"]} == {
        "files_match_manifest": True,
        "records_reconcile": True,
        "schema_unchanged": True,
    }
    assert world.materialized("a") == world.materialized("b") == {at(0)}
    assert Path(a["manifest"].removeprefix("file://").replace("%3D", "=")).exists()
    assert "a: planned 1 file" in result.stderr
    assert "DEBUG" not in result.stderr
    with world.instance() as instance:
        recorded = instance.get_run_by_id(run["run_id"])
        assert recorded is not None
        assert recorded.tags[DATAFLOW_TAG] == "flow"
        assert recorded.status is DagsterRunStatus.SUCCESS


def test_run_due_delivers_all_that_is_missing_oldest_first(world: World) -> None:
    world.json("run", "flow", "--export-time", at(1), "--dataset", "a")
    runs = world.json("run", "flow", "--export-time", "due")["runs"]
    assert [[part["dataset"] for part in run["datasets"]] for run in runs] == [
        ["a", "b"],
        ["b"],
        ["a", "b"],
        ["a", "b"],
    ]
    times = [run["export_time"] for run in runs]
    assert times == sorted(times)
    assert world.materialized("a") == {at(0), at(1), at(2), at(3)}
    # `a` was delivered whole by the later export time, so the earlier one has nothing left of it.
    assert [part["records"] for run in runs for part in run["datasets"] if part["dataset"] == "a"] == [0, 0, 0]
    again = world.call("run", "flow", "--export-time", "due")
    assert (again.exit_code, again.stdout) == (0, "")
    assert "nothing of flow is due" in again.stderr


def test_run_leaves_out_what_is_delivered(world: World) -> None:
    world.json("run", "flow", "--export-time", "latest")
    before = world.visible()
    again = world.call("run", "flow", "--export-time", at(3))
    assert again.exit_code == 0
    assert "is delivered already" in again.stderr
    assert world.visible() == before


def test_s8_resend_of_one_dataset_or_all_replaces_what_was_delivered(world: World) -> None:
    never = world.call("resend", "flow", "--export-time", at(0))
    assert (never.exit_code, len(never.stderr.splitlines())) == (2, 1)
    assert "use `run`" in never.stderr
    world.json("run", "flow", "--export-time", at(0))
    before = set(world.visible())
    (again,) = world.json("resend", "flow", "--export-time", at(0), "--dataset", "a")["runs"]
    after = set(world.visible())
    assert again["resend"] is True
    assert [part["records"] for part in again["datasets"]] == [10]
    assert {path for path in before & after if path.startswith("a/")} == set()
    assert {path for path in before if path.startswith("b/")} <= after
    assert len(after) == len(before)
    (both,) = world.json("resend", "flow", "--export-time", at(0))["runs"]
    assert [part["records"] for part in both["datasets"]] == [10, 10]
    assert not set(world.visible()) & after


@pytest.mark.parametrize(
    ("export_time", "said"),
    [
        (at(0)[:-1] + "1", "none of the dataflow's export times"),
        (at(20), "lies in the future"),
        (at(-1), "before the start"),
        (at(30), "at or after the end"),
        ("202613010000", "is not an export time"),
        ("tomorrow", "is not an export time"),
    ],
)
def test_a_wrong_export_time_is_refused_before_anything_is_sent(world: World, export_time: str, said: str) -> None:
    for command in ("run", "plan", "resend", "verify"):
        result = world.call(command, "flow", "--export-time", export_time)
        assert result.exit_code == 2
        assert said in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert not world.delivered.exists()
    assert world.materialized("a", "b") == set()
    with world.instance() as instance:
        assert instance.get_runs_count() == 0


def test_unknown_dataflow_and_dataset_are_refused_with_the_known_names(world: World) -> None:
    flow = world.call("run", "flaw", "--export-time", at(0))
    dataset = world.call("run", "flow", "--export-time", at(0), "--dataset", "c")
    assert (flow.exit_code, dataset.exit_code) == (2, 2)
    assert flow.stderr == "error: there is no dataflow 'flaw'; declared are flow\n"
    assert "it exports a, b" in dataset.stderr
    assert not world.delivered.exists()


def test_a_disabled_dataflow_is_refused(world: World) -> None:
    result = world.call("run", "flow", "--export-time", at(0), session=world.session(world.dataflow(enabled=False)))
    assert result.exit_code == 2
    assert "enabled: true" in result.stderr


def test_a_changed_schema_is_told_and_is_no_failure(world: World) -> None:
    assert world.call("run", "flow", "--export-time", at(0), "--dataset", "a").exit_code == 0
    world.append("a", 15, 1, day=0.6, note=["new"])
    planned = world.call("plan", "flow", "--export-time", at(1), "--dataset", "a")
    assert "note: the columns of a have changed: added: note (string)" in planned.stderr
    result = world.call("run", "flow", "--export-time", at(1), "--dataset", "a")
    assert result.exit_code == 0, result.output
    assert "note: the check schema_unchanged of a warns: added: note (string)" in result.stderr
    assert "2 of 3 passed" in result.stdout


def test_a_changed_schema_that_is_not_wanted_fails_plan_and_run(world: World) -> None:
    session = world.session(world.dataflow(on_schema_change=OnSchemaChange.FAIL))
    assert world.call("run", "flow", "--export-time", at(0), "--dataset", "a", session=session).exit_code == 0
    world.append("a", 15, 1, day=0.6, note=["new"])
    for command in ("plan", "run"):
        result = world.call(command, "flow", "--export-time", at(1), "--dataset", "a", session=session)
        assert result.exit_code == 1
        assert f"flow/a at {at(1)}: the columns are not those of {at(0)} (added: note (string))" in result.stderr
    assert world.materialized("a") == {at(0)}


def test_every_dataset_that_fails_says_why(world: World) -> None:
    columns = {"a": Columns(exclude=("nope",)), "b": Columns(exclude=("neither",))}
    session = world.session(world.dataflow(columns=columns))
    result = world.call("run", "flow", "--export-time", at(0), session=session)
    assert result.exit_code == 1
    assert "a, plan: " in result.stderr
    assert "nope" in result.stderr
    assert "b, plan: " in result.stderr
    assert "neither" in result.stderr
