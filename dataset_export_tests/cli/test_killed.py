"""A run that was killed does not block its export time: the next call says so, and goes on."""

import signal
import subprocess
import sys
import time

from dagster import DagsterRunStatus, RunsFilter

from dataset_export_tests.cli.world import World, at

HANGING = """
import pathlib, signal, sys, time
from dataset_export.cli.main import cli
from dataset_export.destinations.local import LocalStore
from dataset_export_tests.cli.world import World, at

step, put = sys.argv[2], LocalStore.put

def hang(*_):
    pathlib.Path(sys.argv[1], "hanging").touch()
    time.sleep(100)

def put_or_hang(self, path, data, **options):
    return hang() if "manifest-" in path else put(self, path, data, **options)

if step == "confirm":
    LocalStore.confirm = hang
else:
    LocalStore.put = put_or_hang
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
cli(["run", "flow", "--export-time", at(0), "--dataset", "a"], obj=World(pathlib.Path(sys.argv[1])).session())
"""


def hanging_run(world: World, step: str) -> "subprocess.Popen[str]":
    """A real run in its own process, which hangs before it confirms what it staged, or before it puts the manifest."""
    process = subprocess.Popen(
        [sys.executable, "-c", HANGING, str(world.folder), step],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not (world.folder / "hanging").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


def end(process: "subprocess.Popen[str]", with_signal: int) -> tuple[int, str]:
    process.send_signal(with_signal)
    try:
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, said


def test_p6_a_killed_run_is_marked_as_failed_and_the_next_run_goes_on(world: World) -> None:
    process = hanging_run(world, "confirm")
    try:
        busy = world.call("run", "flow", "--export-time", at(0))
        assert (busy.exit_code, len(busy.stderr.splitlines())) == (1, 1)
        assert "is started; wait for it" in busy.stderr
    finally:
        assert end(process, signal.SIGKILL)[0] == -signal.SIGKILL
    with world.instance() as instance:
        assert len(instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTED]))) == 1
    assert world.visible() == []
    result = world.call("run", "flow", "--export-time", at(0))
    assert result.exit_code == 0, result.output
    assert "was killed; it is marked as failed" in result.stderr
    assert world.materialized("a") == {at(0)}
    assert not list((world.delivered / ".dataset_export" / "staging").rglob("*.staged"))


def test_ctrl_c_ends_a_run_cleanly(world: World) -> None:
    code, said = end(hanging_run(world, "manifest"), signal.SIGINT)
    assert code == 130
    assert said.splitlines()[-1] == "error: interrupted"
    assert "Traceback" not in said
    with world.instance() as instance:
        assert instance.get_runs_count(RunsFilter(statuses=[DagsterRunStatus.FAILURE])) == 1
    unfinished = world.visible()
    assert len(unfinished) == 1
    assert world.call("run", "flow", "--export-time", at(0), "--dataset", "a").exit_code == 0
    assert len(world.visible()) == 2
    assert unfinished[0] not in world.visible()
