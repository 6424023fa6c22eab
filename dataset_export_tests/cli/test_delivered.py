"""`manifest` and `sweep`: what is at the destination, and what dead runs left there."""

import json
from pathlib import Path

from dataset_export.export.manifest import parse_manifest
from dataset_export_tests.cli.world import World, at, small_world


def manifest_file(world: World, dataset: str) -> Path:
    (found,) = [path for path in world.visible() if path.startswith(f"{dataset}/") and "manifest-" in path]
    return world.delivered / found


def test_json_is_the_document_byte_for_byte(world: World) -> None:
    world.json("run", "flow", "--export-time", at(0))
    result = world.call("manifest", "flow", "--export-time", at(0), "--dataset", "a", "--json")
    assert result.stdout_bytes == manifest_file(world, "a").read_bytes()
    shown = world.call("manifest", "flow", "--export-time", at(0), "--dataset", "a").stdout
    assert "start → 0" in shown
    assert parse_manifest("m", result.stdout_bytes).files[0].name in shown


def test_a_manifest_is_found_where_nothing_is_recorded(world: World, tmp_path: Path) -> None:
    world.json("run", "flow", "--export-time", at(0))
    session = world.session()
    session.open_instance = small_world(tmp_path / "elsewhere").instance
    document = world.json("manifest", "flow", "--export-time", at(0), "--dataset", "b", session=session)
    assert document == json.loads(manifest_file(world, "b").read_text())


def test_an_export_that_was_not_delivered_or_is_gone_is_an_error(world: World) -> None:
    absent = world.call("manifest", "flow", "--export-time", at(0), "--dataset", "a")
    assert (absent.exit_code, absent.stdout) == (1, "")
    assert "is not delivered; `run` delivers it" in absent.stderr
    world.json("run", "flow", "--export-time", at(0))
    manifest_file(world, "a").unlink()
    gone = world.call("manifest", "flow", "--export-time", at(0), "--dataset", "a")
    assert gone.exit_code == 1
    assert "is gone" in gone.stderr
    # And the way out that the error names is open.
    assert world.call("resend", "flow", "--export-time", at(0), "--dataset", "a").exit_code == 0
    assert manifest_file(world, "a").exists()


def test_sweep_shows_and_then_removes_only_what_a_failed_run_left(world: World) -> None:
    world.append("a", 15, 5, day=1.5)
    source = max(world.table("a").glob("*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    world.json("run", "flow", "--export-time", at(1), "--dataset", "a")
    data = source.read_bytes()
    source.write_bytes(bytes(len(data)))
    assert world.call("run", "flow", "--export-time", at(2), "--dataset", "a").exit_code == 1
    (entry,) = (world.delivered / ".dataset_export" / "journal").rglob(f"{at(2)}-*.json")
    journaled = json.loads(entry.read_text())
    # As if the run had been killed in the middle of publishing.
    leftover = world.delivered / journaled["folder"] / f"part-00000-{journaled['mark']}-1-1-c000.gz.parquet"
    foreign = leftover.with_name("of-somebody-else.parquet")
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half")
    foreign.write_bytes(b"theirs")
    before = world.visible()
    dry = world.json("sweep", "flow", "--dry-run")
    assert world.visible() == before
    assert [swept["visible"] for swept in dry["removed"]] == [[str(leftover.relative_to(world.delivered))]]
    swept = world.json("sweep", "flow")
    assert swept["removed"] == dry["removed"]
    assert set(before) - set(world.visible()) == {str(leftover.relative_to(world.delivered))}
    assert foreign.read_bytes() == b"theirs"
    assert world.json("sweep", "flow")["removed"] == []
