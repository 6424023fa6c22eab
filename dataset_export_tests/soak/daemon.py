"""The turns of `dagster-daemon` one by one, on a simulated clock: its own code for schedules, sensors, the queue of runs
and retries. Only the starting of a run differs: it happens in this process, at once."""

import logging
import os
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import dagster as dg
import yaml
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run
from dagster._core.launcher import LaunchRunContext, RunLauncher
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.scheduler.instigation import TickStatus
from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.auto_run_reexecution.event_log_consumer import EventLogConsumerDaemon
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon
from dagster._daemon.sensor import execute_sensor_iteration
from dagster._scheduler.scheduler import launch_scheduled_runs
from dagster._serdes import ConfigurableClass
from dagster._serdes.config_class import ConfigurableClassData
from dagster_shared.record import copy

PROJECT = Path(__file__).parents[2]
MODULE = "soak_code_location"
LOG = logging.getLogger("soak")

SILENT = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

CODE_LOCATION = """
from pathlib import Path
from dataset_export.components.project import load_definitions
defs = load_definitions(Path({root!r}), Path({folder!r}))
"""


Ended = Callable[[dg.DagsterRun, Sequence[dg.DagsterEvent], bool], None]
"""Is told of each run when it has ended: the run, what happened in it, and whether it succeeded."""


class AtOnceLauncher(RunLauncher, ConfigurableClass):
    """Executes a run where it is launched, with the definitions that are loaded."""

    ended: ClassVar[Ended]

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        self._inst_data = inst_data
        super().__init__()

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Any) -> "AtOnceLauncher":
        return cls(inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        run = context.dagster_run
        definitions: dg.Definitions = sys.modules[MODULE].defs
        job = definitions.resolve_job_def(run.job_name)
        if run.asset_selection is not None:
            job = job.get_subset(asset_selection=set(run.asset_selection))
        result = execute_run(InMemoryJob(job), copy(run, run_config=SILENT), self._instance)
        if any(event.event_type is dg.DagsterEventType.RUN_CANCELED for event in result.all_events):
            # Dagster takes Ctrl-C as the end of the run, not of the process.
            raise KeyboardInterrupt
        type(self).ended(run, result.all_events, result.success)

    def terminate(self, run_id: str) -> bool:
        return False


class Daemon:
    """What `dagster-daemon` does over the declarations of a module, part by part.

    Attributes:
        errors: what it could not do.
    """

    def __init__(self, instance: dg.DagsterInstance, module: Path) -> None:
        self.errors: list[str] = []
        self._instance = instance
        self._module = module
        self._ticking: dict[str, Any] = {}
        self._queue = QueuedRunCoordinatorDaemon(interval_seconds=1)
        self._retries = EventLogConsumerDaemon()
        self._loaded: WorkspaceProcessContext | None = None

    def reload(self) -> None:
        """Load the declarations anew, as a restart of the code location does."""
        self.stop()
        sys.modules.pop(MODULE, None)
        origin = InProcessCodeLocationOrigin(
            LoadableTargetOrigin(python_file=str(self._module), working_directory=str(self._module.parent)),
            location_name="dataset_export",
        )
        self._loaded = WorkspaceProcessContext(self._instance, InProcessWorkspaceLoadTarget(origin))
        for entry in self._loaded.create_request_context().get_code_location_entries().values():
            if entry.load_error is not None:
                raise RuntimeError(f"the declarations do not load: {entry.load_error}")

    def stop(self) -> None:
        """End it; what it knew in memory is gone."""
        if self._loaded is not None:
            self._loaded.__exit__(None, None, None)
            self._loaded = None
        self._ticking = {}

    def turn_schedules(self) -> None:
        """Ticks of schedules, then queued runs and retries, until nothing is queued any more."""
        self._exhaust(launch_scheduled_runs(self._context, LOG, datetime.now(UTC), self._ticking))
        self._work_off()

    def turn_sensors(self) -> None:
        """Ticks of sensors, then what they ask for, likewise."""
        self._exhaust(execute_sensor_iteration(self._context, LOG, None, None))
        self._work_off()

    def deliver_by_hand(self, job: str, export_time: str, datasets: Sequence[str]) -> None:
        """What a person does with an export time that failed too often: one run of it."""
        definitions: dg.Definitions = sys.modules[MODULE].defs
        result = definitions.resolve_job_def(job).execute_in_process(
            instance=self._instance,
            partition_key=export_time,
            asset_selection=[dg.AssetKey([job, dataset]) for dataset in datasets],
            run_config=SILENT,
            raise_on_error=False,
        )
        AtOnceLauncher.ended(result.dagster_run, result.all_events, result.success)

    def failed_ticks(self) -> Iterator[str]:
        """What ticks of schedules and sensors failed of."""
        for state in self._instance.all_instigator_state():
            failed = self._instance.get_ticks(
                state.instigator_origin_id, state.selector_id, statuses=[TickStatus.FAILURE]
            )
            for tick in failed:
                yield f"a tick of {state.instigator_name} failed: {tick.error.message if tick.error else 'it does not say why'}"

    @property
    def _context(self) -> WorkspaceProcessContext:
        assert self._loaded is not None, "nothing is loaded"
        return self._loaded

    def _exhaust(self, turns: Iterator[Any]) -> None:
        self.errors += [str(error) for error in turns if error is not None]

    def _work_off(self) -> None:
        for _ in range(100):
            self._exhaust(self._retries.run_iteration(self._context))
            queued = dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED])
            if not self._instance.get_runs(queued, limit=1):
                return
            self._exhaust(self._queue.run_iteration(self._context))
        raise RuntimeError("runs are queued and never start")


@contextmanager
def simulated_daemon(home: Path, defs: Path, ended: Ended) -> Generator[Daemon]:
    """An instance below `home` with the project's own `dagster.yaml`, and a daemon over it."""
    AtOnceLauncher.ended = staticmethod(ended)
    home.mkdir(parents=True)
    configuration = yaml.safe_load((PROJECT / "dagster.yaml").read_text())
    configuration["run_launcher"] = {"module": __name__, "class": AtOnceLauncher.__name__}
    # Threads would let turns of the same simulated minute end in any order.
    configuration.pop("schedules", None)
    configuration.pop("sensors", None)
    # Capturing the output of a run takes two more processes.
    configuration["compute_logs"] = {
        "module": NoOpComputeLogManager.__module__,
        "class": NoOpComputeLogManager.__name__,
    }
    # A run lives and dies with this process.
    configuration["run_monitoring"] = {"enabled": False}
    (home / "dagster.yaml").write_text(yaml.safe_dump(configuration))
    module = home / f"{MODULE}.py"
    module.write_text(CODE_LOCATION.format(root=str(home), folder=str(defs)))
    os.environ["DAGSTER_HOME"] = str(home)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        daemon = Daemon(instance, module)
        try:
            yield daemon
        finally:
            daemon.stop()
