"""The installed command as a person calls it: YAML declarations, environment, streams and exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dataset_export_tests.cli.world import START, World, at

DECLARED = """
type: dataset_export.components.Dataset
attributes: {{id: a, name: A, behavior: record, location: {table}}}
---
type: dataset_export.components.Destination
attributes: {{id: out, name: Out, type: local, folder: {delivered}}}
---
type: dataset_export.components.Dataflow
attributes:
  name: flow
  datasets: [a]
  destination: out
  schedule: {{frequency: daily, start: {start}, at: "00:00", end: never}}
  folder: "{folder}"
"""


class Command:
    """The command in a process of its own, on a folder of declarations."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.defs = world.folder / "defs"
        self.defs.mkdir()
        self.declare()

    def declare(self, folder: str = "%DATASET_ID%/%EXPORT_TIME%") -> None:
        text = DECLARED.format(
            table=self.world.table("a"), delivered=self.world.delivered, start=START.date(), folder=folder
        )
        (self.defs / "defs.yaml").write_text(text)

    def __call__(self, *args: str) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "DATASET_EXPORT_DEFS": str(self.defs), "DAGSTER_HOME": str(self.world.home)}
        command = [str(Path(sys.executable).parent / "dataset-export"), *args]
        return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)


@pytest.fixture
def command(world: World) -> Command:
    return Command(world)


def test_run_prints_json_alone_on_stdout_and_is_seen_by_the_next_call(command: Command, world: World) -> None:
    ran = command("run", "flow", "--export-time", at(1), "--json")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["runs"][0]["datasets"][0]["records"] == 15
    note, planned, published = ran.stderr.splitlines()
    assert note == f"note: created the Dagster home {world.home}"
    assert "a: planned 2 files" in planned
    assert "a: published 2 files" in published
    assert (world.home / "dagster.yaml").exists()
    verified = command("verify", "flow", "--export-time", at(1), "--deep", "--json")
    assert (verified.returncode, verified.stderr) == (0, "")
    assert json.loads(verified.stdout)["datasets"][0]["files"][0]["mark"] == "="


def test_a_failed_run_is_one_line_without_a_traceback(command: Command, world: World) -> None:
    (source, *_) = sorted(world.table("a").glob("*.parquet"))
    source.write_bytes(b"not parquet")
    ran = command("run", "flow", "--export-time", at(1))
    assert ran.returncode == 1
    errors = [line for line in ran.stderr.splitlines() if not line.startswith(("note: ", at(0)[:4]))]
    assert len(errors) == 1
    assert errors[0].startswith("error: a, stage: ")
    assert source.name in errors[0]
    assert world.visible() == []


def test_a_template_that_leaves_the_folder_is_refused_with_file_and_line(command: Command, world: World) -> None:
    command.declare(folder="../%DATASET_ID%")
    for args in (["run", "flow", "--export-time", at(1)], ["preview", "flow"]):
        ran = command(*args)
        assert (ran.returncode, ran.stdout) == (1, "")
        assert len(ran.stderr.splitlines()) == 1
        assert ran.stderr.startswith("error: ")
        assert "defs.yaml:" in ran.stderr
        assert ".." in ran.stderr
    assert not world.delivered.exists()
    assert not world.home.exists()


def test_a_wrong_question_exits_with_2(command: Command) -> None:
    ran = command("run", "flaw", "--export-time", at(1))
    assert (ran.returncode, ran.stdout, ran.stderr) == (
        2,
        "",
        "error: there is no dataflow 'flaw'; declared are flow\n",
    )
