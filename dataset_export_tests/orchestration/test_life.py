"""The life of a dataflow under a real `dagster-daemon`, with moved time: a daily export, from its first to after its end.

The dataflow is declared in YAML and deployed anew by writing the file, as a person does. Its lake gets a row every noon,
so that the export of a day delivers the row of the day before.
"""

import os
import signal
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from textwrap import dedent

import dagster as dg
import pytest
from dagster import DagsterRunStatus

from dataset_export.destinations.local import LocalStore
from dataset_export.export.schedule import format_export_time
from dataset_export.orchestration.dead_runs import PROCESS_TAG
from dataset_export.orchestration.names import PARTITION_TAG
from dataset_export_tests.export.exporter import (
    live_manifests,
    named_files,
    rows_by_manifest,
    staged_files,
    visible_data_files,
)
from dataset_export_tests.lake.delta_tables import DeltaBuilder
from dataset_export_tests.orchestration.daemon import Daemon, MovedClock, running_daemon

KEY = dg.AssetKey(["flow", "orders"])
SCHEDULE = "flow_schedule"
DAYS = 12

CODE_LOCATION = """
import time
from pathlib import Path

from dataset_export.destinations.local import LocalStore
from dataset_export.orchestration import life

HANG, HANGING = Path({root!r}, "hang"), Path({root!r}, "hanging")
confirm = LocalStore.confirm

def hang_or_confirm(self, staged):
    if HANG.exists():
        HANGING.touch()
    while HANG.exists():
        time.sleep(0.1)
    return confirm(self, staged)

LocalStore.confirm = hang_or_confirm
life.INTERVAL_SECONDS = 5  # nobody wants to wait for half a minute here

import dagster as dg
from dataset_export.components.project import load_definitions
defs = load_definitions()
"""


class World:
    """A lake, a local folder, the declarations, and the clock that daemons see. Day 0 is some days ahead."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.day_0 = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=3)
        delta = DeltaBuilder(str(root / "lake"))
        for number in range(DAYS):
            delta.commit_time(delta.append(number), self.at(number - 1, 12))
        self.out = root / "out"
        self.clock = MovedClock(root / "offset")
        self.location = root / "code_location.py"
        self.location.write_text(CODE_LOCATION.format(root=str(root)))

    def at(self, day: int, hour: float) -> datetime:
        return self.day_0 + timedelta(days=day, hours=hour)

    def before_export(self, day: int) -> datetime:
        return self.at(day, 2) - timedelta(seconds=5)

    def keys(self, *days: int) -> list[str]:
        """Export times, which are at two o'clock."""
        return [format_export_time(self.at(day, 2)) for day in days]

    def declare(self, *, last_day: int, flows: Sequence[str] = ("flow",), max_concurrent_exports: int = 9) -> None:
        """Write what is declared; `end` is the end of a day."""
        file = self.root / "defs/flow/defs.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        text = f"""
            type: dataset_export.components.Dataset
            attributes: {{id: orders, behavior: record, location: {self.root}/lake}}
            ---
            type: dataset_export.components.Destination
            attributes: {{id: partner, type: local, folder: {self.out}, max_concurrent_exports: {max_concurrent_exports}}}
            """
        for name in flows:
            text += f"""
            ---
            type: dataset_export.components.Dataflow
            attributes:
              name: {name}
              datasets: [orders]
              destination: partner
              schedule: {{frequency: daily, start: {self.day_0:%Y-%m-%d}, at: "02:00", end: {self.at(last_day, 0):%Y-%m-%d}}}
            """
        file.write_text(dedent(text))

    def daemon(self) -> AbstractContextManager[Daemon]:
        variables = {**self.clock.environment, "DATASET_EXPORT_DEFS": str(self.root / "defs")}
        code = f"{{relative_path: {self.location.name}, location_name: dataset_export}}"
        return running_daemon(self.root, {"python_file": code}, variables)

    def check(self, days: int) -> None:
        """Every export was delivered, and every row once."""
        store = LocalStore(self.out)
        manifests = live_manifests(store)
        assert [manifest.export_time for manifest in manifests] == [self.at(day, 2) for day in range(days)]
        assert rows_by_manifest(store) == dict.fromkeys(range(days), 1)
        assert visible_data_files(store) == named_files(store)
        assert staged_files(store) == []


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def delivered(daemon: Daemon, world: World, *days: int) -> None:
    """Wait until these have been delivered, and no others."""
    wanted = set(world.keys(*days))
    daemon.wait_until(f"{wanted} delivered", 240, lambda: daemon.instance.get_materialized_partitions(KEY) == wanted)


def schedule_runs(daemon: Daemon, *, running: bool) -> None:
    """Wait until the schedule runs or is stopped."""

    def seen() -> bool:
        states = [state for state in daemon.instance.all_instigator_state() if state.instigator_name == SCHEDULE]
        return [state.is_running for state in states] == [running]

    daemon.wait_until(f"the schedule {'runs' if running else 'is stopped'}", 240, seen)


def observations(daemon: Daemon) -> list[dg.AssetObservation]:
    """The notices that were said, oldest first."""
    records = daemon.instance.fetch_observations(KEY, limit=99, ascending=True).records
    return [record.asset_observation for record in records if record.asset_observation]


def notices(daemon: Daemon) -> list[str]:
    return [observation.description or "" for observation in observations(daemon)]


def kinds(daemon: Daemon) -> list[object]:
    return [observation.metadata["notice"].value for observation in observations(daemon)]


def ended(world: World, last_day: int) -> str:
    end = world.at(last_day + 1, 0)
    return f"dataflow flow has ended on {end:%Y-%m-%d %H:%M} UTC; all that was due is delivered; declare a later end to go on"


def exports(daemon: Daemon) -> list[dg.DagsterRun]:
    return [run for run in daemon.runs() if PARTITION_TAG in run.tags]


def in_order(daemon: Daemon) -> bool:
    """Whether export times were asked for in order, one after the other."""
    times = [run.tags[PARTITION_TAG] for run in exports(daemon)]
    records = [
        record for record in daemon.instance.get_run_records(ascending=True) if PARTITION_TAG in record.dagster_run.tags
    ]
    apart = all((before.end_time or 0) <= (after.start_time or 0) for before, after in pairwise(records))
    return apart and times == sorted(times)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_s5_a_daemon_that_comes_back_after_the_end_delivers_what_is_missing_in_order_stops_and_says_so_once(
    world: World,
) -> None:
    world.declare(last_day=2)
    world.clock.set(world.at(3, 10))
    with world.daemon() as daemon:
        delivered(daemon, world, 0, 1, 2)
        schedule_runs(daemon, running=False)
        daemon.wait_until("it is said", 60, lambda: notices(daemon) == [ended(world, 2)])
        daemon.wait_until_runs_are_over()
        assert in_order(daemon)
        assert {run.status for run in exports(daemon)} == {DagsterRunStatus.SUCCESS}
    world.check(3)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_s5_from_the_first_export_over_the_end_to_a_later_end(world: World) -> None:
    world.declare(last_day=2)
    world.clock.set(world.at(0, 1.5))
    with world.daemon() as daemon:
        schedule_runs(daemon, running=True)
        world.clock.set(world.before_export(0))
        delivered(daemon, world, 0)
        world.clock.set(world.before_export(1))
        delivered(daemon, world, 0, 1)

        away = world.root / "away"
        world.out.rename(away)
        world.out.write_text("the destination is away")
        world.clock.set(world.before_export(2))
        daemon.wait_until("the last export fails", 240, lambda: exports(daemon)[-1].status is DagsterRunStatus.FAILURE)
        daemon.wait_until("the end is near", 60, lambda: kinds(daemon) == ["end_near"])
        world.clock.set(world.at(3, 0.1))
        daemon.wait_until("it fails again, after its end", 240, lambda: failures(daemon) == 2)
        schedule_runs(daemon, running=True)
        assert kinds(daemon) == ["end_near"]
        world.out.unlink()
        away.rename(world.out)
        world.clock.set(world.at(3, 1))
        delivered(daemon, world, 0, 1, 2)
        schedule_runs(daemon, running=False)
        daemon.wait_until("it is said", 60, lambda: ended(world, 2) in notices(daemon))

        world.clock.set(world.at(6, 12))
        world.declare(last_day=7)
        schedule_runs(daemon, running=True)
        delivered(daemon, world, *range(7))
        world.clock.set(world.before_export(7))
        delivered(daemon, world, *range(8))
        daemon.wait_until("the new end is near", 60, lambda: kinds(daemon)[2:] == ["end_near", "end_near"])
        world.clock.set(world.at(9, 12))
        schedule_runs(daemon, running=False)
        daemon.wait_until("it is said", 60, lambda: ended(world, 7) in notices(daemon))
        assert kinds(daemon) == ["end_near", "ended", "end_near", "end_near", "ended"], (
            "7 and 1 days ahead of the new end"
        )
        daemon.wait_until_runs_are_over()
        assert in_order(daemon)
    world.check(8)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_s4_a_daemon_that_was_stopped_over_several_ticks_catches_up_in_order(world: World) -> None:
    world.declare(last_day=11)
    world.clock.set(world.at(0, 1.5))
    with world.daemon() as daemon:
        schedule_runs(daemon, running=True)
        world.clock.set(world.before_export(0))
        delivered(daemon, world, 0)
    world.clock.set(world.at(4, 12))
    with world.daemon() as daemon:
        delivered(daemon, world, 0, 1, 2, 3, 4)
        world.clock.set(world.before_export(5))
        delivered(daemon, world, 0, 1, 2, 3, 4, 5)
        daemon.wait_until_runs_are_over()
        assert in_order(daemon)
        assert len(exports(daemon)) == 6
    world.check(6)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_s4_a_destination_is_delivered_to_by_as_many_runs_as_it_bears(world: World) -> None:
    world.declare(last_day=11, flows=("flow", "other"), max_concurrent_exports=1)
    world.clock.set(world.at(0, 12))
    (world.root / "hang").touch()
    with world.daemon() as daemon:
        daemon.wait_until(
            "a run hangs, and one is queued",
            240,
            lambda: (world.root / "hanging").exists() and len(exports(daemon)) == 2,
        )
        time.sleep(10)
        going_on, queued = sorted((run.status for run in exports(daemon)), key=str, reverse=True)
        assert (going_on, queued) == (DagsterRunStatus.STARTED, DagsterRunStatus.QUEUED)
        (world.root / "hang").unlink()
        successful = [DagsterRunStatus.SUCCESS] * 2
        daemon.wait_until("both have delivered", 240, lambda: [run.status for run in exports(daemon)] == successful)
        daemon.wait_until_runs_are_over()
        assert in_order(daemon)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("killed", ["the run", "the daemon and all that it started"])
def test_p6_what_is_killed_under_a_daemon_is_tried_again_and_delivers(world: World, killed: str) -> None:
    """Killed between staging and publishing. The machine that crashes takes the code server along, which would notice."""
    world.declare(last_day=11)
    world.clock.set(world.at(0, 12))
    (world.root / "hang").touch()
    with world.daemon() as daemon:
        daemon.wait_until("the run hangs", 240, (world.root / "hanging").exists)
        [run] = exports(daemon)
        assert run.status is DagsterRunStatus.STARTED
        if killed == "the run":
            os.kill(process_of(daemon, run), signal.SIGKILL)
            (world.root / "hang").unlink()
            finished(daemon, world, run)
        else:
            # The code server and the run are in the daemon's session.
            os.killpg(daemon.process.pid, signal.SIGKILL)
            daemon.process.wait()
    (world.root / "hang").unlink(missing_ok=True)
    if killed != "the run":
        with world.daemon() as daemon:
            assert status(daemon, run) is DagsterRunStatus.STARTED
            finished(daemon, world, run)
    world.check(1)


def finished(daemon: Daemon, world: World, killed: dg.DagsterRun) -> None:
    """Wait until the killed run has failed, and the run that Dagster started instead has delivered."""
    delivered(daemon, world, 0)
    assert status(daemon, killed) is DagsterRunStatus.FAILURE
    first, again = exports(daemon)
    assert (first.run_id, again.root_run_id) == (killed.run_id, killed.run_id)
    daemon.wait_until("the second run is over", 60, lambda: status(daemon, again) is DagsterRunStatus.SUCCESS)


def process_of(daemon: Daemon, run: dg.DagsterRun) -> int:
    tagged = daemon.instance.get_run_by_id(run.run_id)
    assert tagged is not None
    run_id, _, pid, _ = tagged.tags[PROCESS_TAG].split(" ", 3)
    assert run_id == run.run_id
    return int(pid)


def status(daemon: Daemon, run: dg.DagsterRun) -> DagsterRunStatus | None:
    now = daemon.instance.get_run_by_id(run.run_id)
    return now.status if now is not None else None


def failures(daemon: Daemon) -> int:
    return sum(run.status is DagsterRunStatus.FAILURE for run in exports(daemon))
