"""Asset checks in CI: export the demo's dataflows into a temporary folder and run their checks.

    python -m dataset_export_tests.check_assets

Prints one line for each check; exits 1 when one failed or an export did.
"""

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
from dataset_export.orchestration.names import DATAFLOW_TAG, job_name


@dataclass(frozen=True)
class Outcome:
    """One check of one partition, or an export that failed (`check` says `export` then)."""

    asset: str
    export_time: str
    check: str
    passed: bool
    description: str

    def __str__(self) -> str:
        return (
            f"{'ok    ' if self.passed else 'FAILED'} {self.asset} {self.export_time} {self.check}: {self.description}"
        )


def main() -> int:
    """Export everything, check everything; 0 when all passed."""
    with tempfile.TemporaryDirectory(prefix="check-assets-") as folder:
        catalog = demo_catalog(Path(folder))
        with dg.instance_for_test() as instance:
            return report(export_and_check(catalog, instance))


def demo_catalog(folder: Path) -> Catalog:
    """The running example over a demo lake below `folder`."""
    build_demo_lake(folder / ".demo" / "lake", TODAY, lambda *_: None)
    return load_catalog(project_root=folder)


def export_and_check(catalog: Catalog, instance: dg.DagsterInstance) -> Iterator[Outcome]:
    """Materialize every partition of every dataflow, with its checks, oldest first."""
    for dataflow, export_time in _exports(catalog):
        yield from _run(catalog, instance, dataflow, export_time)


def report(outcomes: Iterator[Outcome]) -> int:
    """Print the outcomes as they come and a summary; 1 when one failed or there was none."""
    passed = failed = 0
    for outcome in outcomes:
        print(outcome, flush=True)
        passed += outcome.passed
        failed += not outcome.passed
    print(f"asset checks: {passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


def _exports(catalog: Catalog) -> Iterator[tuple[Dataflow, str]]:
    for dataflow in catalog.dataflows.values():
        for export_time in dataflow.schedule.export_times(TODAY):
            yield dataflow, format_export_time(export_time)


def _run(catalog: Catalog, instance: dg.DagsterInstance, dataflow: Dataflow, export_time: str) -> Iterator[Outcome]:
    result = catalog.definitions.resolve_job_def(job_name(dataflow)).execute_in_process(
        instance=instance,
        partition_key=export_time,
        tags={DATAFLOW_TAG: dataflow.name},
        run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
        raise_on_error=False,
    )
    evaluations = result.get_asset_check_evaluations()
    for found in evaluations:
        asset = found.asset_key.to_user_string()
        yield Outcome(asset, export_time, found.check_name, found.passed, found.description or "")
    if not result.success and all(found.passed for found in evaluations):
        failures = [event for event in result.all_events if event.is_step_failure]
        reason = failures[0].step_failure_data.error_display_string.splitlines()[0] if failures else "the run failed"
        yield Outcome(dataflow.name, export_time, "export", passed=False, description=reason)


if __name__ == "__main__":
    sys.exit(main())
