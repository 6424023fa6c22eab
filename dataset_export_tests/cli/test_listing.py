"""`dataflows` and `preview` say what will be, from the declarations alone."""

from datetime import timedelta

from dataset_export.export.folder import FolderTemplate
from dataset_export.export.schedule import Frequency, make_schedule
from dataset_export_tests.cli.world import START, World, at


def test_dataflows_lists_what_is_declared(world: World) -> None:
    ended = world.dataflow(name="old", schedule=make_schedule(Frequency.DAILY, START, end=START + timedelta(hours=1)))
    session = world.session(world.dataflow(owner="operations"), ended)
    flow, old = world.json("dataflows", session=session)
    assert flow["name"] == "flow"
    assert (flow["owner"], old["owner"]) == ("operations", None)
    assert flow["datasets"] == ["a", "b"]
    assert flow["cron"] == "0 0 * * *"
    assert flow["next_export_times"][0] == (START + timedelta(days=4)).strftime("%Y-%m-%dT00:00:00Z")
    assert flow["ended"] is False
    assert (old["next_export_times"], old["ended"]) == ([], True)
    table = world.call("dataflows", session=session).stdout
    assert "ended" in next(line for line in table.splitlines() if line.startswith("old"))


def test_preview_shows_the_names_that_the_run_then_makes(world: World) -> None:
    shown = world.json("preview", "flow", "--export-time", at(0))
    assert shown["datasets"][0]["folder"] == f"a/exportTime={at(0)}"
    assert len(shown["next_export_times"]) == 5
    assert world.call("run", "flow", "--export-time", at(0)).exit_code == 0
    for part in shown["datasets"]:
        made = [path for path in world.visible() if path.startswith(part["folder"] + "/")]
        beginning, end = part["manifest"].split("<run id>")
        assert [path for path in made if path.startswith(beginning) and path.endswith(end)]
        example = part["example_files"][0]
        data = [path for path in made if path.endswith(".gz.parquet")]
        assert [len(path.rpartition("/")[2]) for path in data] == [len(example)]


def test_preview_reads_and_writes_nothing(world: World) -> None:
    gone = world.dataset("a")
    flow = world.dataflow(datasets=(type(gone)(**{**gone.__dict__, "uri": "/nowhere/at/all"}),))
    result = world.call("preview", "flow", session=world.session(flow))
    assert result.exit_code == 0
    assert "manifest-out-<run id>.json" in result.stdout
    assert not world.delivered.exists()
    assert not world.home.exists()


def test_preview_warns_of_a_shared_folder(world: World) -> None:
    session = world.session(world.dataflow(folder=FolderTemplate("/")))
    shown = world.json("preview", "flow", session=session)
    assert [part["folder"] for part in shown["datasets"]] == ["", ""]
    assert "share a folder" in shown["warnings"][0]
    assert shown["datasets"][0]["manifest"] != shown["datasets"][1]["manifest"]


def test_preview_takes_coming_export_times_and_no_others(world: World) -> None:
    assert world.call("preview", "flow", "--export-time", at(20)).exit_code == 0
    for wrong in (at(0)[:-1] + "1", at(-1), at(30), "due", "soon"):
        result = world.call("preview", "flow", "--export-time", wrong)
        assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1), wrong
