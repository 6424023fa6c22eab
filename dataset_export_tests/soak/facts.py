"""What has happened, as the driver saw it: every run at its end, and what it delivered."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster import DagsterEventType

from dataset_export_tests.soak.declarations import Flow

MAX_ATTEMPTS = 8
"""After so many failed scheduled runs an export time is left to a person."""


@dataclass(frozen=True)
class Delivery:
    """One dataset of one export time, delivered and recorded.

    Attributes:
        flow: as it was declared.
        dataset: id.
        export_time: UTC.
        at: when it was recorded.
        records: delivered.
        excluded: left out.
        other_columns: whether its columns differ from those of the export before.
        increment: whether it has an export before it to be compared with, or is a full one.
        no_versions: whether it lies between a version and the same version.
    """

    flow: Flow
    dataset: str
    export_time: datetime
    at: datetime
    records: int
    excluded: int
    other_columns: bool
    increment: bool
    no_versions: bool = False


@dataclass(frozen=True)
class Run:
    """A run of a dataflow that has ended.

    Attributes:
        flow: name.
        export_time: UTC.
        scheduled: whether a schedule or the sensor asked for it, not a person.
        selected: ids of the datasets that it was to export.
        succeeded: whether it did.
        reasons: what its failed steps said.
        failed_checks: what its failed checks said.
        deliveries: what it delivered, also when it failed after that.
    """

    flow: str
    export_time: datetime
    scheduled: bool
    selected: frozenset[str]
    succeeded: bool
    reasons: tuple[str, ...]
    failed_checks: tuple[str, ...]
    deliveries: tuple[Delivery, ...]


@dataclass
class Facts:
    """All of it so far.

    Attributes:
        declared: the dataflows as they are declared now, by name.
        runs: in the order in which they ended.
    """

    declared: dict[str, Flow]
    runs: list[Run] = field(default_factory=list[Run])
    _delivered: dict[tuple[str, str], dict[datetime, list[Delivery]]] = field(default_factory=lambda: defaultdict(dict))
    _failed: dict[tuple[str, datetime], list[Run]] = field(default_factory=lambda: defaultdict(list))

    def ended(self, run: dg.DagsterRun, events: Iterable[dg.DagsterEvent], succeeded: bool) -> None:
        """Note a run that has just ended. One that is of no dataflow is none of ours."""
        if run.job_name not in self.declared:
            return
        flow, now = self.declared[run.job_name], datetime.now(UTC)
        export_time = datetime.strptime(run.tags["dagster/partition"], "%Y%m%d%H%M").replace(tzinfo=UTC)
        reasons: list[str] = []
        failed_checks: list[str] = []
        deliveries: list[Delivery] = []
        for event in events:
            match event.event_type:
                case DagsterEventType.ASSET_MATERIALIZATION:
                    values = _values(event.step_materialization_data.materialization)
                    dataset = event.step_materialization_data.materialization.asset_key.path[-1]
                    deliveries.append(_delivery(flow, dataset, export_time, now, values))
                case DagsterEventType.STEP_FAILURE:
                    failure = event.step_failure_data.user_failure_data
                    if failure is not None:
                        reasons.append(f"{(event.step_key or '').partition('[')[0]}: {failure.description}")
                case DagsterEventType.ASSET_CHECK_EVALUATION:
                    check = event.asset_check_evaluation_data
                    if not check.passed and check.severity is dg.AssetCheckSeverity.ERROR:
                        failed_checks.append(f"{check.asset_key.path[-1]} {check.check_name}: {check.description}")
                case _:
                    pass
        selected = frozenset(key.path[-1] for key in run.asset_selection or ()) or frozenset(flow.datasets)
        scheduled = run.tags.get("dataset_export/scheduled") == "true"
        self.note(
            Run(
                flow.name,
                export_time,
                scheduled,
                selected,
                succeeded,
                tuple(reasons),
                tuple(failed_checks),
                tuple(deliveries),
            )
        )

    def note(self, run: Run) -> None:
        """Note a run."""
        self.runs.append(run)
        for delivery in run.deliveries:
            self._delivered[run.flow, delivery.dataset].setdefault(delivery.export_time, []).append(delivery)
        if run.scheduled and not run.succeeded:
            self._failed[run.flow, run.export_time].append(run)

    def delivered(self, flow: str, dataset: str) -> Mapping[datetime, Sequence[Delivery]]:
        """By export time, in the order in which these were delivered first; those of one in order of time."""
        return self._delivered[flow, dataset]

    def failed(self, flow: str, export_time: datetime) -> Sequence[Run]:
        """The scheduled runs of an export time that failed, oldest first."""
        return self._failed.get((flow, export_time), ())

    def given_up(self, flow: str, export_time: datetime) -> bool:
        """Whether an export time was tried too often."""
        return len(self.failed(flow, export_time)) >= MAX_ATTEMPTS

    def missing(self, flow: Flow, export_times: Iterable[datetime]) -> dict[datetime, tuple[str, ...]]:
        """Export times, and ids of the datasets that are owed them and not delivered."""
        due = sorted(export_times)
        found: dict[datetime, tuple[str, ...]] = {}
        for dataset in flow.datasets:
            done = self._delivered[flow.name, dataset]
            for export_time in reversed([one for one in due if one not in done]):
                if not self._had(flow, dataset, export_time):
                    break
                found[export_time] = (*found.get(export_time, ()), dataset)
        return found

    def _had(self, flow: Flow, dataset: str, export_time: datetime) -> bool:
        """Whether the dataset was part of the dataflow, and the export time one of it, when that one or the next one after
        it was exported. What passed before a dataset was put back is no export time of it: its rows come in one."""
        by_time: dict[datetime, Delivery] = {}
        for (name, _), deliveries in self._delivered.items():
            for time, several in deliveries.items() if name == flow.name else ():
                if time >= export_time and (time not in by_time or several[0].at < by_time[time].at):
                    by_time[time] = several[0]
        if not by_time:
            return True
        then = by_time[min(by_time)].flow
        return dataset in then.datasets and then.has(export_time)


def _delivery(flow: Flow, dataset: str, export_time: datetime, now: datetime, values: Mapping[str, Any]) -> Delivery:
    versions = values["table_versions"]
    return Delivery(
        flow=flow,
        dataset=dataset,
        export_time=export_time,
        at=now,
        records=values["records"],
        excluded=values["records_excluded"],
        other_columns="schema_change" in values,
        increment=flow.full or versions["from"] is not None,
        no_versions=versions["from"] is not None and versions["from"] == versions["to"],
    )


def _values(materialization: dg.AssetMaterialization) -> dict[str, Any]:
    return {name: value.value for name, value in materialization.metadata.items()}
