"""`verify` finds every kind of difference, and the marks say which."""

import json
from pathlib import Path

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


def test_verify_fails_for_what_was_not_delivered(world: World) -> None:
    result = world.call("verify", "flow", "--export-time", at(0), "--json")
    assert result.exit_code == 1
    assert "not delivered" in json.loads(result.stdout)["datasets"][0]["error"]


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
