"""Deliver the running example in a temporary folder and run its asset checks: `python -m dataset_export_tests.check_assets`.

Prints a line for every check and every failed run, then a summary; exits with 1 when anything failed.
"""

import logging
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from dataset_export.components.catalog import Catalog, load_catalog
from dataset_export.demo.lake import TODAY, build_demo_lake
from dataset_export.export.dataflow import Dataflow
from dataset_export.export.schedule import format_export_time
from dataset_export.orchestration.names import export_key, job_name


@dataclass(frozen=True)
class Outcome:
    """One check of one export, or a run that failed; one that `warns` fails nothing."""

    asset: str
    export_time: str
    what: str
    passed: bool
    description: str
    warns: bool = False

    def __str__(self) -> str:
        mark = "passed" if self.passed else "warns " if self.warns else "FAILED"
        return f"{mark}  {self.asset}  {self.export_time}  {self.what}  {self.description}"


def main() -> int:
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="check-assets-") as folder, dg.DagsterInstance.ephemeral() as instance:
        return report(deliver(demo_catalog(Path(folder)), instance))


def demo_catalog(folder: Path) -> Catalog:
    """The declarations of the running example, with its lake built and its deliveries to come below `folder`."""
    build_demo_lake(folder / ".demo" / "lake", TODAY)
    return load_catalog(project_root=folder)


def deliver(catalog: Catalog, instance: dg.DagsterInstance) -> Iterator[Outcome]:
    """Materialize every due export time of every dataflow, as its schedule would, with the checks."""
    for flow in catalog.dataflows.values():
        job = catalog.definitions.resolve_job_def(job_name(flow))
        yield from _run(flow, job, instance)


def check(catalog: Catalog, instance: dg.DagsterInstance) -> Iterator[Outcome]:
    """Run only the checks, over what was delivered."""
    for flow in catalog.dataflows.values():
        keys = [export_key(flow, dataset) for dataset in flow.datasets]
        selection = dg.AssetSelection.checks_for_assets(*keys)
        job = dg.define_asset_job("checks_only", selection, executor_def=dg.in_process_executor)
        checks_only = dg.Definitions.merge(catalog.definitions, dg.Definitions(jobs=[job]))
        yield from _run(flow, checks_only.resolve_job_def("checks_only"), instance)


def report(outcomes: Iterator[Outcome]) -> int:
    """Print the outcomes as they come, and a summary; the exit code."""
    passed = warnings = failed = 0
    for outcome in outcomes:
        print(outcome, flush=True)
        passed += outcome.passed
        warnings += not outcome.passed and outcome.warns
        failed += not outcome.passed and not outcome.warns
    print(f"{passed} passed, {warnings} warned, {failed} failed")
    # Nothing checked proves nothing.
    return 0 if passed and not failed else 1


def _run(flow: Dataflow, job: dg.JobDefinition, instance: dg.DagsterInstance) -> Iterator[Outcome]:
    for export_time in map(format_export_time, flow.schedule.export_times(TODAY)):
        # A tag and not `partition_key`: that one is refused for a job of checks alone.
        tags = {"dagster/partition": export_time}
        result = job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)
        for one in result.get_asset_check_evaluations():
            name = one.asset_key.to_user_string()
            warns = one.severity is dg.AssetCheckSeverity.WARN
            yield Outcome(name, export_time, one.check_name, one.passed, one.description or "", warns)
        for event in result.all_events:
            # A blocking check that did not pass fails its step too, and was reported above.
            if event.is_step_failure and not _is_check(event):
                yield Outcome(flow.name, export_time, event.step_key or "run", False, _reason(event))


def _is_check(event: dg.DagsterEvent) -> bool:
    error = event.step_failure_data.error
    return error is not None and error.cls_name == "DagsterAssetCheckFailedError"


def _reason(event: dg.DagsterEvent) -> str:
    failure = event.step_failure_data
    if failure.user_failure_data is not None and failure.user_failure_data.description:
        return failure.user_failure_data.description
    return failure.error.message.strip() if failure.error is not None else "no reason given"


if __name__ == "__main__":
    sys.exit(main())
