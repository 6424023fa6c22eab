"""One run of a dataflow's job in this process, and what came of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

import dagster as dg
from dagster import DagsterEventType, RunsFilter

from dataset_export.cli.session import Session
from dataset_export.errors import StalePlan
from dataset_export.export.dataflow import Dataflow, Dataset
from dataset_export.export.repair import Depth
from dataset_export.export.schedule import format_export_time
from dataset_export.orchestration.dataflow import build_dataflow
from dataset_export.orchestration.dead_runs import process_tag
from dataset_export.orchestration.faults import BLOCKED_BY_CHECK, step_fault, step_prefix
from dataset_export.orchestration.lake_asset import lake_asset
from dataset_export.orchestration.ledger import UNFINISHED
from dataset_export.orchestration.names import DATAFLOW_TAG, REPAIR_TAG, RESEND_TAG, export_key, job_name

MAX_RETRIES_TAG = "dagster/max_retries"
QUIET_CONSOLE = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class Check:
    """An asset check of the run: its name, whether it passed, its result in words, and whether it only warns."""

    name: str
    passed: bool
    description: str
    warns: bool = False


@dataclass(frozen=True)
class DatasetOutcome:
    """What the run did for one dataset; `metadata` is that of the materialization, None without one."""

    dataset: str
    metadata: dict[str, Any] | None
    checks: tuple[Check, ...]


@dataclass(frozen=True)
class RunOutcome:
    """A run that ended. `repair` is the depth of a repair; `reason` is one line of why it failed, for each dataset, None when it is done;
    `interrupted` by Ctrl-C."""

    run_id: str
    export_time: datetime
    resend: bool
    repair: Depth | None
    datasets: tuple[DatasetOutcome, ...]
    reason: str | None
    interrupted: bool


def refuse_while_running(instance: dg.DagsterInstance, dataflow: Dataflow) -> None:
    """Raise StalePlan while a run of the dataflow is going on or queued: one at a time (design).

    The queue of the daemon sees to that for its own runs; runs of this command do not pass it.
    """
    going_on = instance.get_runs(RunsFilter(tags={DATAFLOW_TAG: dataflow.name}, statuses=UNFINISHED), limit=1)
    if going_on:
        run = going_on[0]
        raise StalePlan(
            f"run {run.run_id} of {dataflow.name} is {run.status.value.lower()}; wait for it, or cancel it in the UI"
        )


def run_export(
    session: Session,
    dataflow: Dataflow,
    datasets: Sequence[Dataset],
    export_time: datetime,
    *,
    resend: bool = False,
    repair: Depth | None = None,
) -> RunOutcome:
    """Run the dataflow's job for one export time in this process and return when it has ended.

    Args:
        session: with the instance to record in.
        dataflow: whose job.
        datasets: of it; the job's other datasets are left out.
        export_time: one that is due.
        resend: deliver again.
        repair: deliver again only what is missing or differs, found in this depth.
    """
    job = _job(session, dataflow, export_time)
    run_id = str(uuid4())
    result = job.execute_in_process(
        instance=session.instance,
        run_id=run_id,
        partition_key=format_export_time(export_time),
        asset_selection=[export_key(dataflow, dataset) for dataset in datasets],
        run_config=None if session.debug else QUIET_CONSOLE,
        raise_on_error=False,
        tags={
            DATAFLOW_TAG: dataflow.name,
            # Who started it is there to start it again; the daemon could not, it does not know its code location.
            MAX_RETRIES_TAG: "0",
            **({RESEND_TAG: "true"} if resend else {}),
            **({REPAIR_TAG: str(repair)} if repair is not None else {}),
            **process_tag(run_id),
        },
    )
    outcomes = tuple(_dataset_outcome(result, dataflow, dataset) for dataset in datasets)
    return RunOutcome(
        run_id=run_id,
        export_time=export_time,
        resend=resend,
        repair=repair,
        datasets=outcomes,
        reason=_reason(result, dataflow, outcomes),
        interrupted=_interrupted(result),
    )


def _job(session: Session, dataflow: Dataflow, export_time: datetime) -> dg.JobDefinition:
    if dataflow.schedule.has(export_time):
        return session.catalog.definitions.resolve_job_def(job_name(dataflow))
    # Delivered by an earlier schedule: the assets have no such partition any more, and Dagster runs none that there is not.
    partitions = dg.StaticPartitionsDefinition([format_export_time(export_time)])
    once = build_dataflow(dataflow, partitions, licenses=session.catalog.licenses)
    shared = dg.Definitions(
        assets=[lake_asset(dataset) for dataset in dataflow.datasets],
        resources={dataflow.destination.id: session.catalog.io_manager(dataflow.destination.id)},
    )
    return dg.Definitions.merge(once, shared).resolve_job_def(job_name(dataflow))


def _dataset_outcome(result: dg.ExecuteInProcessResult, dataflow: Dataflow, dataset: Dataset) -> DatasetOutcome:
    key = export_key(dataflow, dataset)
    metadata = None
    for event in result.get_asset_materialization_events():
        if event.asset_key == key:
            materialized = event.step_materialization_data.materialization.metadata
            metadata = {name: value.value for name, value in materialized.items()}
    checks = tuple(
        Check(
            evaluation.check_name,
            evaluation.passed,
            evaluation.description or "",
            warns=evaluation.severity is dg.AssetCheckSeverity.WARN,
        )
        for evaluation in result.get_asset_check_evaluations()
        if evaluation.asset_key == key
    )
    return DatasetOutcome(dataset.id, metadata, checks)


def _reason(result: dg.ExecuteInProcessResult, dataflow: Dataflow, outcomes: Sequence[DatasetOutcome]) -> str | None:
    failed_checks = [
        f"the check {check.name} of {outcome.dataset} failed: {check.description}"
        for outcome in outcomes
        for check in outcome.checks
        if not check.passed and not check.warns
    ]
    if result.success and not failed_checks:
        return None
    # Shards of one dataset mostly fail alike, and so do datasets when it is the destination.
    said: dict[str, str] = {}
    for event in result.get_step_failure_events():
        text = _said(event)
        if text and text not in said.values():
            said.setdefault(step_prefix(event, dataflow), text)
    return "; ".join([*(f"{step}{text}" for step, text in said.items()), *failed_checks]) or _run_failure(result)


def _said(event: dg.DagsterEvent) -> str | None:
    """Why a step failed; None where a failed check says it."""
    text = step_fault(event)
    root = event.step_failure_data.error
    if text is None and root is not None:
        if root.cls_name == BLOCKED_BY_CHECK:
            return None
        while root.cause is not None:
            root = root.cause
        text = root.message.strip()
    return text


def _run_failure(result: dg.ExecuteInProcessResult) -> str:
    for event in result.all_events:
        if event.event_type is DagsterEventType.RUN_FAILURE:
            error = event.job_failure_data.error
            return error.message.strip() if error is not None else (event.message or "the run failed")
    return "the run failed"


def _interrupted(result: dg.ExecuteInProcessResult) -> bool:
    names = {"KeyboardInterrupt", "DagsterExecutionInterruptedError"}
    errors = [event.job_failure_data.error for event in result.all_events if event.is_job_failure]
    return any(error is not None and error.cls_name in names for error in errors)
