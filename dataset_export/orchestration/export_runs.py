"""What happened to the exports of a dataflow, read from the instance for its alerts (spec S8)."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import dagster as dg
from dagster import DagsterEventType, DagsterRun, DagsterRunStatus, RunRecord

from dataset_export.alerts.exports import Delivery, ExportRun, Outcome
from dataset_export.alerts.volume import HISTORY
from dataset_export.errors import UsageError
from dataset_export.export.dataflow import Dataflow
from dataset_export.export.schedule import format_export_time, parse_export_time
from dataset_export.export.schema_change import OnSchemaChange, change_in
from dataset_export.orchestration.backlog import failed_attempts
from dataset_export.orchestration.faults import BLOCKED_BY_CHECK, step_fault, step_prefix
from dataset_export.orchestration.ledger import TABLE_VERSIONS_KEY, materialized_export_times
from dataset_export.orchestration.metadata import SCHEMA_CHANGE_KEY
from dataset_export.orchestration.names import DATAFLOW_TAG, PARTITION_TAG, SCHEDULED_TAG, export_key
from dataset_export.orchestration.owed import History

WILL_RETRY_TAG = "dagster/will_retry"

DELIVERIES = 50
"""Of an export time, that are read at most."""

OUTCOMES = {
    DagsterRunStatus.SUCCESS: Outcome.SUCCEEDED,
    DagsterRunStatus.FAILURE: Outcome.FAILED,
    DagsterRunStatus.CANCELED: Outcome.CANCELED,
}

TELLING = {
    DagsterEventType.ASSET_MATERIALIZATION,
    DagsterEventType.ASSET_CHECK_EVALUATION,
    DagsterEventType.STEP_FAILURE,
    DagsterEventType.RUN_FAILURE,
}


class DataflowsOf:
    """Which of some dataflows a run exports."""

    def __init__(self, dataflows: Iterable[Dataflow]) -> None:
        self._by_name = {dataflow.name: dataflow for dataflow in dataflows}
        self._by_key = {
            export_key(dataflow, dataset): dataflow
            for dataflow in self._by_name.values()
            for dataset in dataflow.datasets
        }

    def __call__(self, run: DagsterRun) -> list[Dataflow]:
        """Those of its job, or, where it was launched from the pages of assets, those of the assets. None for a run that
        exports nothing, such as one of checks alone."""
        if not _is_export_time(run.tags.get(PARTITION_TAG, "")):
            return []
        selected = run.asset_selection or ()
        found = {self._by_key[key].name: self._by_key[key] for key in selected if key in self._by_key}
        if (name := run.tags.get(DATAFLOW_TAG)) is None:
            return list(found.values())
        whole_job = not selected and not run.asset_check_selection
        candidates = self._by_name if whole_job else found
        return [candidates[name]] if name in candidates else []


def ended_at(record: RunRecord) -> datetime | None:
    """When a run ended (UTC); None while it goes on."""
    return _moment(record.end_time) if record.dagster_run.status in OUTCOMES else None


def export_run(instance: dg.DagsterInstance, dataflow: Dataflow, record: RunRecord) -> ExportRun:
    """What became of a run of the dataflow; of one that goes on, that it started."""
    run = record.dagster_run
    ended = ended_at(record)
    events = _events(instance, run.run_id) if ended is not None else []
    return ExportRun(
        dataflow=dataflow.name,
        export_time=parse_export_time(run.tags[PARTITION_TAG]),
        run_id=run.run_id,
        root_run_id=run.root_run_id or run.run_id,
        started_at=_moment(record.start_time),
        ended_at=ended,
        outcome=OUTCOMES.get(run.status),
        retried=run.tags.get(WILL_RETRY_TAG) == "true",
        given_up=_given_up(instance, dataflow, record),
        deliveries=tuple(_deliveries(instance, dataflow, events)),
        faults=tuple(_faults(dataflow, events)),
        failed_checks=tuple(_failed_checks(dataflow, events)),
    )


def not_in_time(
    instance: dg.DagsterInstance, dataflow: Dataflow, export_times: Sequence[datetime], within: timedelta
) -> dict[datetime, tuple[str, ...]]:
    """Export times, and ids of their datasets, that were not delivered within a time, also if they are by now."""
    keys = {format_export_time(export_time): export_time for export_time in export_times}
    history = History(dataflow, instance)
    late: dict[datetime, tuple[str, ...]] = {}
    for dataset in dataflow.datasets if keys else ():
        wanted = dg.AssetRecordsFilter(asset_key=export_key(dataflow, dataset), asset_partitions=list(keys))
        found = instance.fetch_materializations(wanted, limit=DELIVERIES * len(keys), ascending=True).records
        # The first delivery counts; later ones are resends.
        first = {record.partition_key: record.timestamp for record in reversed(found)}
        absent = sorted(key for key in keys if key not in first)
        owed = set(history.owed(dataset, absent)) if absent else set[str]()
        for key, export_time in keys.items():
            if key in owed or (key in first and first[key] > (export_time + within).timestamp()):
                late[export_time] = (*late.get(export_time, ()), dataset.id)
    return late


def _given_up(instance: dg.DagsterInstance, dataflow: Dataflow, record: RunRecord) -> bool:
    """Whether this was the last scheduled run of its export time."""
    run = record.dagster_run
    if run.status is not DagsterRunStatus.FAILURE or SCHEDULED_TAG not in run.tags:
        return False
    export_time = run.tags[PARTITION_TAG]
    attempts = failed_attempts(instance, [dataflow.name], [export_time]).get((dataflow.name, export_time))
    return attempts is not None and attempts.given_up and attempts.last == _moment(record.end_time)


def _is_export_time(text: str) -> bool:
    """Whether a partition is one of ours; by hand, a run can be given any."""
    try:
        parse_export_time(text)
    except UsageError:
        return False
    return True


def _events(instance: dg.DagsterInstance, run_id: str) -> list[dg.DagsterEvent]:
    found = instance.get_records_for_run(run_id, of_type=TELLING).records
    return [event for record in found if (event := record.event_log_entry.dagster_event) is not None]


def _deliveries(
    instance: dg.DagsterInstance, dataflow: Dataflow, events: Iterable[dg.DagsterEvent]
) -> Iterable[Delivery]:
    datasets = {export_key(dataflow, dataset): dataset.id for dataset in dataflow.datasets}
    for event in events:
        if event.event_type is not DagsterEventType.ASSET_MATERIALIZATION or event.asset_key not in datasets:
            continue
        materialization = event.step_materialization_data.materialization
        metadata = _values(materialization)
        if materialization.partition is None or TABLE_VERSIONS_KEY not in metadata:
            continue
        yield Delivery(
            dataset=datasets[event.asset_key],
            records=metadata["records"],
            excluded=metadata["records_excluded"],
            files=metadata["files"],
            bytes=metadata["bytes"],
            place=metadata["dagster/uri"],
            schema_change=_schema_change(dataflow, metadata),
            earlier_records=_earlier_records(instance, event.asset_key, materialization.partition, metadata),
        )


def _schema_change(dataflow: Dataflow, metadata: Mapping[str, Any]) -> str | None:
    if dataflow.on_schema_change is not OnSchemaChange.NOTIFY or SCHEMA_CHANGE_KEY not in metadata:
        return None
    return str(change_in(metadata[SCHEMA_CHANGE_KEY]))


def _earlier_records(
    instance: dg.DagsterInstance, key: dg.AssetKey, partition: str, metadata: Mapping[str, Any]
) -> tuple[int, ...]:
    """Records of the exports before this one that are of its kind: the first increment is the whole table, and an export
    whose rows a later one had already delivered has none; both say nothing about the others."""
    if not _comparable(metadata):
        return ()
    recorded = materialized_export_times(instance, key)
    earlier = sorted(one for one in recorded if one < partition)[-HISTORY:]
    if not earlier:
        return ()
    wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[*earlier, partition])
    newest: dict[str, Mapping[str, Any]] = {}
    first: dict[str, int] = {}
    # Resends have records of their own; the newest one of each export time counts.
    for record in instance.fetch_materializations(wanted, limit=DELIVERIES * (HISTORY + 1)).records:
        materialization = record.asset_materialization
        if materialization is None or materialization.partition is None:
            continue
        values = _values(materialization)
        newest.setdefault(materialization.partition, values)
        if TABLE_VERSIONS_KEY in values:
            first[materialization.partition] = record.storage_id
    later = [one for one in recorded if one > partition]
    if _has_empty_bounds(metadata) and later and _were_delivered(instance, key, later, before=first[partition]):
        return ()
    alike = [
        newest[one]
        for one in earlier
        if one in newest and _comparable(newest[one]) and newest[one]["export_mode"] == metadata["export_mode"]
        # None after this one took the rows: it would have taken those of this one, too.
        if not (_has_empty_bounds(newest[one]) and any(first[after] < first[one] for after in first if after > one))
    ]
    return tuple(one["records"] for one in alike)


def _were_delivered(instance: dg.DagsterInstance, key: dg.AssetKey, export_times: list[str], *, before: int) -> bool:
    """Whether any of the export times was delivered before the event of that storage id."""
    wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=export_times, before_storage_id=before)
    found = instance.fetch_materializations(wanted, limit=DELIVERIES).records
    events = [record.asset_materialization for record in found]
    return any(TABLE_VERSIONS_KEY in event.metadata for event in events if event is not None)


def _values(materialization: dg.AssetMaterialization) -> dict[str, Any]:
    return {name: value.value for name, value in materialization.metadata.items()}


def _comparable(metadata: Mapping[str, Any]) -> bool:
    if TABLE_VERSIONS_KEY not in metadata:
        return False  # reported by hand
    return metadata["export_mode"] == "full" or _versions(metadata)["from"] is not None


def _has_empty_bounds(metadata: Mapping[str, Any]) -> bool:
    versions = _versions(metadata)
    return versions["from"] is not None and versions["from"] == versions["to"]


def _versions(metadata: Mapping[str, Any]) -> dict[str, int | None]:
    return cast("dict[str, int | None]", metadata[TABLE_VERSIONS_KEY])


def _faults(dataflow: Dataflow, events: Iterable[dg.DagsterEvent]) -> Iterable[str]:
    """Our sentences; of any other error its name only, since its message may hold anything."""
    steps = [event for event in events if event.event_type is DagsterEventType.STEP_FAILURE]
    for event in steps:
        error = event.step_failure_data.error
        said = step_fault(event)
        if said is not None:
            yield f"{step_prefix(event, dataflow)}{said}"
        elif error is None or error.cls_name != BLOCKED_BY_CHECK:
            name = error.cls_name if error is not None else "an unknown error"
            yield f"{step_prefix(event, dataflow)}{name}; the run's page says more"
    if not steps:
        for event in events:
            if event.event_type is DagsterEventType.RUN_FAILURE:
                error = event.job_failure_data.error
                yield f"{error.cls_name}; the run's page says more" if error is not None else (event.message or "")


def _failed_checks(dataflow: Dataflow, events: Iterable[dg.DagsterEvent]) -> Iterable[str]:
    datasets = {export_key(dataflow, dataset): dataset.id for dataset in dataflow.datasets}
    for event in events:
        if event.event_type is DagsterEventType.ASSET_CHECK_EVALUATION:
            evaluation = event.asset_check_evaluation_data
            failed = not evaluation.passed and evaluation.severity is dg.AssetCheckSeverity.ERROR
            if failed and evaluation.asset_key in datasets:
                where = f"{datasets[evaluation.asset_key]}, check {evaluation.check_name}"
                yield f"{where}: {evaluation.description or 'did not pass'}"


def _moment(timestamp: float | None) -> datetime | None:
    return datetime.fromtimestamp(timestamp, UTC) if timestamp is not None else None
