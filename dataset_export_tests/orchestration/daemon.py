"""A real `dagster-daemon` with the project's own `dagster.yaml`, and a clock that the tests move."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import libfaketime
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorState, InstigatorTick, TickStatus

PROJECT = Path(__file__).parents[2]
FAKETIME = Path(libfaketime.__file__).parent / "vendor/libfaketime/src/libfaketime.so.1"


class Daemon:
    """A running daemon, seen through its instance."""

    def __init__(self, instance: dg.DagsterInstance, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.instance = instance
        self.process = process
        self._log = log

    def schedules(self) -> list[InstigatorState]:
        """Those that the daemon has seen."""
        return list(self.instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE))

    def ticks_from(self, moment: datetime) -> list[InstigatorTick]:
        """Ticks of schedules for this moment or a later one that have been evaluated."""
        ticks = [
            tick
            for state in self.schedules()
            for tick in self.instance.get_ticks(state.instigator_origin_id, state.selector_id)
        ]
        return [
            tick for tick in ticks if tick.timestamp >= moment.timestamp() and tick.status is not TickStatus.STARTED
        ]

    def runs(self) -> list[dg.DagsterRun]:
        """All runs, oldest first."""
        return [record.dagster_run for record in self.instance.get_run_records(ascending=True)]

    def wait_until_runs_are_over(self) -> None:
        """A run goes on after it has materialized its assets: checks follow."""
        self.wait_until("all runs are over", 60, lambda: all(run.is_finished for run in self.runs()))

    def wait_until(self, what: str, seconds: float, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline or self.process.poll() is not None:
                runs = [(run.tags.get("dagster/partition"), run.status) for run in self.runs()]
                pytest.fail(f"waited in vain for: {what}; runs: {runs}; the daemon's log ends:\n{self._tail()}")
            time.sleep(0.5)

    def _tail(self) -> str:
        return self._log.read_text(errors="replace")[-8000:]


@contextmanager
def running_daemon(
    folder: Path, location: Mapping[str, str], environment: Mapping[str, str] | None = None
) -> Iterator[Daemon]:
    """Start a daemon on a code location, and stop it and what it started at the end, also after a failure.

    Args:
        folder: its DAGSTER_HOME, `home`, is here, and its log; a second daemon over the same folder goes on there.
        location: an entry of `load_from` in a workspace.yaml.
        environment: further variables.
    """
    home = folder / "home"
    if not home.exists():
        home.mkdir()
        shutil.copy(PROJECT / "dagster.yaml", home)
    workspace = folder / "workspace.yaml"
    ((kind, target),) = location.items()
    workspace.write_text(f"load_from:\n  - {kind}: {target}\n")
    command = [str(Path(sys.executable).parent / "dagster-daemon"), "run", "--workspace", str(workspace)]
    log = folder / "daemon.log"
    variables = {**os.environ, "DAGSTER_HOME": str(home), "PYTHONPATH": str(PROJECT), **(environment or {})}
    with dg.DagsterInstance.from_config(str(home)) as instance, log.open("ab") as output:
        # A session of its own, so that the code server and the runs that it starts can be stopped with it.
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=variables, cwd=folder, start_new_session=True
        )
        try:
            yield Daemon(instance, process, log)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@dataclass
class MovedClock:
    """The time that a daemon and everything it starts see. It goes on by itself, and can be set while they run."""

    file: Path

    def __post_init__(self) -> None:
        self._offset = 0.0

    @property
    def environment(self) -> dict[str, str]:
        """Variables for the processes that see it."""
        return {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            # Read anew after a second; at each look at the clock it would take most of the time of a daemon.
            "FAKETIME_CACHE_DURATION": "1",
            # Waits and sleeps are counted on the monotonic clock: moved, they hang.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, moment: datetime) -> None:
        """Let it be this moment now."""
        self._offset = moment.timestamp() - time.time()
        written = self.file.with_suffix(".new")
        written.write_text(f"{self._offset:+.3f}\n")
        written.replace(self.file)

    @property
    def now(self) -> datetime:
        """UTC."""
        return datetime.fromtimestamp(time.time() + self._offset, UTC)
