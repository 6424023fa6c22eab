"""`verify` finds every kind of difference, and the marks say which."""

import json
from pathlib import Path

from dataset_export.export.folder import FolderTemplate
from dataset_export_tests.cli.world import World, at


def data_file(world: World, dataset: str) -> Path:
    (found,) = [path for path in world.visible() if path.startswith(f"{dataset}/") and path.endswith(".parquet")]
    return world.delivered / found


def marks(world: World, *options: str) -> tuple[int, dict[str, list[str]]]:
    result = world.call("verify", "flow", "--export-time", at(0), "--json", *options)
    document = json.loads(result.stdout)
    assert document["same"] == (result.exit_code == 0)
    return result.exit_code, {
        part["dataset"]: [file["mark"] for file in part["files"]] for part in document["datasets"]
    }


def test_verify_marks_what_differs(world: World) -> None:
    world.json("run", "flow", "--export-time", at(0))
    assert marks(world) == (0, {"a": ["="], "b": ["="]})
    assert marks(world, "--deep") == (0, {"a": ["="], "b": ["="]})
    damaged = bytearray(data_file(world, "a").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    data_file(world, "a").chmod(0o644)
    data_file(world, "a").write_bytes(damaged)
    assert marks(world) == (0, {"a": ["="], "b": ["="]})
    assert marks(world, "--deep") == (1, {"a": ["!"], "b": ["="]})
    assert marks(world, "--deep", "--dataset", "b") == (0, {"b": ["="]})
    data_file(world, "a").write_bytes(damaged[:-1])
    data_file(world, "b").unlink()
    assert marks(world) == (1, {"a": ["!"], "b": ["-"]})
    shown = world.call("verify", "flow", "--export-time", at(0))
    assert "  ! a/" in shown.stdout
    assert "  - b/" in shown.stdout
    assert len(shown.stderr.splitlines()) == 1
    assert "2 of 2 datasets differ" in shown.stderr


def test_verify_shows_what_no_manifest_names(world: World) -> None:
    world.json("run", "flow", "--export-time", at(0))
    stranger = data_file(world, "a").parent / "theirs.csv"
    stranger.write_text("1,2\n")
    shown = world.call("verify", "flow", "--export-time", at(0))
    assert shown.exit_code == 0
    assert f"  + a/exportTime={at(0)}/theirs.csv" in shown.stdout
    first, second = world.json("verify", "flow", "--export-time", at(0))["datasets"]
    assert first["unnamed"] == [{"mark": "+", "path": f"a/exportTime={at(0)}/theirs.csv", "bytes": 4}]
    assert second["unnamed"] == []


def test_a_shared_folder_is_explained_by_all_its_manifests(world: World) -> None:
    flow = world.dataflow(folder=FolderTemplate("all"))
    session = world.session(flow)
    world.json("run", "flow", "--export-time", at(0), session=session)
    world.json("run", "flow", "--export-time", at(1), session=session)
    for export_time in (at(0), at(1)):
        parts = world.json("verify", "flow", "--export-time", export_time, session=world.session(flow))["datasets"]
        assert [part["unnamed"] for part in parts] == [[], []]
    hidden = next((world.delivered / "all").glob("manifest-*-a-*.json"))
    hidden.rename(world.folder / "kept")
    left = world.json("verify", "flow", "--dataset", "b", "--export-time", at(0), session=world.session(flow))
    assert [entry["mark"] for entry in left["datasets"][0]["unnamed"]] == ["+"]


def test_repair_sends_what_verify_marks_and_nothing_else(world: World) -> None:
    world.json("run", "flow", "--export-time", at(0))
    kept, gone = data_file(world, "b"), data_file(world, "a")
    gone.unlink()
    (run,) = world.json("repair", "flow", "--export-time", at(0))["runs"]
    assert run["repair"] == "listing"
    a, b = run["datasets"]
    assert a["repair"] == "1 file(s) sent again, the others kept"
    assert b["repair"] == "all 1 file(s) whole, nothing sent"
    assert data_file(world, "a") != gone
    assert data_file(world, "b") == kept
    assert marks(world, "--deep") == (0, {"a": ["="], "b": ["="]})
    damaged = bytearray(kept.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    kept.chmod(0o644)
    kept.write_bytes(damaged)
    shown = world.call("repair", "flow", "--export-time", at(0), "--deep", "--dataset", "b")
    assert shown.exit_code == 0, shown.output
    assert "repair of b: 1 file(s) sent again" in shown.stdout
    assert marks(world, "--deep") == (0, {"a": ["="], "b": ["="]})


def test_repair_refuses_what_was_never_delivered(world: World) -> None:
    result = world.call("repair", "flow", "--export-time", at(0))
    assert result.exit_code == 2
    assert "nothing to repair" in result.stderr


def test_verify_fails_for_what_was_not_delivered(world: World) -> None:
    result = world.call("verify", "flow", "--export-time", at(0), "--json")
    assert result.exit_code == 1
    assert "not delivered" in json.loads(result.stdout)["datasets"][0]["error"]
    assert result.stderr.strip().endswith("is not delivered; `run` delivers it"), "one way out, not two"


def test_verify_finds_a_manifest_that_was_exchanged(world: World) -> None:
    world.json("run", "flow", "--export-time", at(0))
    (manifest,) = (world.delivered / f"a/exportTime={at(0)}").glob("manifest-*.json")
    document = json.loads(manifest.read_text())
    document["writer"] = "somebody else"
    manifest.chmod(0o644)
    manifest.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n")
    result = world.call("verify", "flow", "--export-time", at(0))
    assert result.exit_code == 1
    assert "is not the manifest that was recorded" in result.stderr
