"""What was delivered before a dataflow changed can still be looked at, verified and delivered again."""

from dataclasses import replace
from datetime import timedelta

from dataset_export.cli.session import Session
from dataset_export.destinations.local import LocalDestination
from dataset_export.export.schedule import Frequency, make_schedule
from dataset_export_tests.cli.world import START, DeclaredCatalog, World, at


def later(world: World) -> Session:
    """The dataflow begins anew, two days after what it has delivered."""
    schedule = make_schedule(Frequency.DAILY, START + timedelta(days=2), at="05:00", end=START + timedelta(days=30))
    return world.session(world.dataflow(schedule=schedule))


def moved(world: World) -> Session:
    """The dataflow delivers somewhere else."""
    flow = world.dataflow()
    flow = replace(flow, destination=replace(flow.destination, id="new"))
    catalog = DeclaredCatalog({"flow": flow}, {"new": LocalDestination(folder=str(world.folder / "new"))})
    return Session(load_catalog=lambda: catalog, open_instance=world.instance)  # type: ignore[arg-type]


def test_s4_export_times_of_an_earlier_schedule_are_read_and_resent(world: World) -> None:
    assert world.call("run", "flow", "--export-time", at(0)).exit_code == 0
    before = world.json("manifest", "flow", "--export-time", at(0), "--dataset", "a", session=later(world))
    assert before["recordCount"] == 10
    assert world.call("verify", "flow", "--export-time", at(0), "--deep", session=later(world)).exit_code == 0
    (parts,) = [
        part["file_list"]
        for part in world.json("plan", "flow", "--export-time", at(0), session=later(world))["datasets"][:1]
    ]
    assert parts
    (outcome,) = world.json("resend", "flow", "--export-time", at(0), session=later(world))["runs"]
    assert [part["delivered"] for part in outcome["datasets"]] == [True, True]
    assert all(check["passed"] for part in outcome["datasets"] for check in part["checks"])
    after = world.json("manifest", "flow", "--export-time", at(0), "--dataset", "a", session=later(world))
    assert after["flowRunId"] != before["flowRunId"]
    assert (after["tableVersions"], after["recordCount"]) == (before["tableVersions"], before["recordCount"])
    (world.delivered / after["exportResults"][0]["sinkPath"].strip("/") / after["exportResults"][0]["name"]).unlink()
    (outcome,) = world.json("repair", "flow", "--export-time", at(0), "--dataset", "a", session=later(world))["runs"]
    assert outcome["datasets"][0]["repair"] == "1 file(s) sent again, the others kept"


def test_s4_an_export_time_that_never_delivered_is_still_none(world: World) -> None:
    result = world.call("verify", "flow", "--export-time", at(0), session=later(world))
    assert result.exit_code == 2
    assert "before the start" in result.stderr


def test_s4_due_are_only_export_times_that_were_so_when_they_came(world: World) -> None:
    assert world.call("run", "flow", "--export-time", "due").exit_code == 0
    earlier = make_schedule(Frequency.DAILY, START - timedelta(days=9), end="never")
    assert world.call(
        "run", "flow", "--export-time", "due", session=world.session(world.dataflow(schedule=earlier))
    ).stderr == ("note: nothing of flow is due and missing; `resend` delivers an export time again\n")


def test_s4_what_went_to_another_destination_is_named_as_such(world: World) -> None:
    assert world.call("run", "flow", "--export-time", at(0)).exit_code == 0
    for command in (("verify", "flow"), ("manifest", "flow", "--dataset", "a"), ("resend", "flow"), ("repair", "flow")):
        result = world.call(*command, "--export-time", at(0), session=moved(world))
        assert result.exit_code == (2 if command[0] in {"resend", "repair"} else 1)
        assert f"was delivered to {world.delivered.as_uri()}, which is not the dataflow's destination any more" in (
            result.output
        )
        assert "`resend` delivers" not in result.output, "it is refused"
    again = world.call("run", "flow", "--export-time", at(0), session=moved(world))
    assert again.exit_code == 0
    assert "; the next export time delivers everything to the new one" in again.stderr
    (outcome,) = world.json("run", "flow", "--export-time", at(3), session=moved(world))["runs"]
    assert [part["records"] for part in outcome["datasets"]] == [15, 10], "there, everything"
