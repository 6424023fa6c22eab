"""Whether the schedules of dataflows run, as Dagster's storage says, which beats what the code declares."""

from collections.abc import Mapping
from dataclasses import dataclass

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus

from dataset_export.export.dataflow import Dataflow
from dataset_export.orchestration.names import schedule_name


@dataclass(frozen=True)
class StoredSchedules:
    """The schedules of one code location, by name, as they are stored now."""

    instance: dg.DagsterInstance
    states: Mapping[str, InstigatorState]

    def running(self, dataflow: Dataflow) -> bool | None:
        """Whether the schedule of an enabled dataflow runs; None until the daemon has looked at it once."""
        state = self.states.get(schedule_name(dataflow))
        return None if state is None else state.is_running

    def stop(self, dataflow: Dataflow) -> None:
        """Stop a schedule as a person in the UI does. It stays so, also over restarts and when the code changes."""
        state = self.states[schedule_name(dataflow)]
        self.instance.stop_schedule(state.instigator_origin_id, state.selector_id)

    def start(self, dataflow: Dataflow) -> None:
        """Let a stopped schedule run as the code declares it.

        The daemon then evaluates at once the newest tick that passed meanwhile, if any did.
        """
        state = self.states[schedule_name(dataflow)]
        # As `DagsterInstance.reset_schedule`, which only a process that has loaded the workspace can call.
        self.instance.update_instigator_state(state.with_status(InstigatorStatus.DECLARED_IN_CODE))


def stored_schedules(context: dg.SensorEvaluationContext) -> StoredSchedules:
    """The schedules of the code location that a sensor is in."""
    location = context.code_location_origin.location_name if context.code_location_origin is not None else None
    states = context.instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE)
    ours = [state for state in states if location is None or state.selector.location_name == location]
    return StoredSchedules(context.instance, {state.instigator_name: state for state in ours})
