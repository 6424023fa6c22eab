"""The daily job that removes what dead runs left (promise P6)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg

from dataset_export.destinations.contract import Store
from dataset_export.export.dataflow import Dataflow
from dataset_export.export.journal import read_journal
from dataset_export.export.sweep import Swept, sweep
from dataset_export.orchestration.daily import daily_schedule
from dataset_export.orchestration.failures import reported
from dataset_export.orchestration.ledger import MaterializationLedger
from dataset_export.orchestration.names import SWEEP_JOB

SWEEP_CRON = "41 4 * * *"
"""Once a day, at a minute at which few dataflows export. UTC."""


def sweep_definitions(dataflows: Iterable[Dataflow]) -> dg.Definitions:
    """The job `sweep_leftovers` and its schedule: a step for each destination, so that one that fails stops no other.

    Dataflows that are disabled or have ended are swept too: their last run may have died. None at all: no job.
    """
    by_destination: dict[str, list[Dataflow]] = {}
    for dataflow in dataflows:
        by_destination.setdefault(dataflow.destination.id, []).append(dataflow)
    if not by_destination:
        return dg.Definitions()
    steps = [_sweep_op(destination, delivering) for destination, delivering in sorted(by_destination.items())]

    @dg.job(
        name=SWEEP_JOB,
        description="Removes files and unfinished uploads of runs that died and were not tried again.",
        executor_def=dg.in_process_executor,
    )
    def sweep_leftovers() -> None:
        for step in steps:
            step()

    return dg.Definitions(jobs=[sweep_leftovers], schedules=[daily_schedule(SWEEP_JOB, SWEEP_CRON)])


def sweep_dataflow(dataflow: Dataflow, store: Store, instance: dg.DagsterInstance, *, dry_run: bool) -> list[Swept]:
    """Sweep all datasets of a dataflow, also one that was taken out of it while its last run was dead; see
    `export.sweep.sweep`."""
    journaled = (entry.dataset for entry in read_journal(store, dataflow.name))
    datasets = dict.fromkeys([*(dataset.id for dataset in dataflow.datasets), *journaled])
    ledgers = {id_: MaterializationLedger(instance, dg.AssetKey([dataflow.name, id_])) for id_ in datasets}
    return [
        swept for id_, ledger in ledgers.items() for swept in sweep(store, dataflow.name, id_, ledger, dry_run=dry_run)
    ]


def _sweep_op(destination: str, dataflows: Sequence[Dataflow]) -> dg.OpDefinition:
    @dg.op(
        name=f"sweep_{destination}",
        description=f"Sweep what is left at {dataflows[0].destination.name}.",
        required_resource_keys={destination},
    )
    def sweep_destination(context: dg.OpExecutionContext) -> dg.Output[None]:
        with reported(context.retry_number):
            store = getattr(context.resources, destination).store()
            store.check()
            found = [
                swept
                for dataflow in dataflows
                for swept in sweep_dataflow(dataflow, store, context.instance, dry_run=False)
            ]
        for swept in found:
            context.log.info(
                f"{swept.entry.dataflow}/{swept.entry.dataset} at {swept.entry.export_time}, run {swept.entry.run_id}: removed "
                f"{len(swept.visible)} visible files and {len(swept.staged)} staged leftovers"
            )
        return dg.Output(None, metadata=_metadata(found))

    return sweep_destination


def _metadata(found: Sequence[Swept]) -> Mapping[str, Any]:
    return {
        "runs": len(found),
        "visible_files": sum(len(swept.visible) for swept in found),
        "staged_leftovers": sum(len(swept.staged) for swept in found),
    }
