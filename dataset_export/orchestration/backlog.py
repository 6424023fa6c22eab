"""What of a dataflow is due and not delivered, and when it is tried: what its schedule and the sensor ask for.

Export times come in order, oldest first. One that failed is tried again after a wait that grows with every failure, until
its attempts are used up. Meanwhile it holds back no later one: increments are bounded by table versions, so a later export
delivers the rows of the failed one too, and that, when it succeeds at last, has none left to deliver (promise P7).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from dataset_export.export.dataflow import Dataflow
from dataset_export.export.schedule import format_export_time
from dataset_export.orchestration.ledger import UNFINISHED
from dataset_export.orchestration.names import DATAFLOW_TAG, PARTITION_TAG, SCHEDULED_TAG, export_key, job_name
from dataset_export.orchestration.owed import History

MAX_ATTEMPTS = 8
"""Scheduled runs of one export time that may fail before it is left to a person."""

FIRST_WAIT = timedelta(minutes=5)
WAIT_FACTOR = 4
LONGEST_WAIT = timedelta(days=1)
"""A failed export time is tried again 5 minutes later, then 20, 80, 320 minutes, 21 hours, and twice a day later: all in
all three days, so that a destination that is away for a weekend is found again."""

MAX_REQUESTS = 100
"""Export times asked for at once; the rest of a long backlog comes at the next ticks."""


@dataclass(frozen=True)
class DueExport:
    """An export time and the assets of it that are not materialized yet."""

    export_time: str
    missing: tuple[dg.AssetKey, ...]


@dataclass(frozen=True)
class Backlog:
    """The export times of a dataflow that are due and not materialized for every dataset, oldest first.

    Attributes:
        ready: to be asked for now.
        in_flight: those that a run is queued for or going on.
        waiting: those that failed, and when they are tried again (UTC).
        given_up: those that failed `MAX_ATTEMPTS` times.
    """

    ready: tuple[DueExport, ...] = ()
    in_flight: tuple[str, ...] = ()
    waiting: Mapping[str, datetime] | None = None
    given_up: tuple[str, ...] = ()

    @property
    def pending(self) -> bool:
        """Whether anything of it will still be delivered without a person's help."""
        return bool(self.ready or self.in_flight or self.waiting)


@dataclass(frozen=True)
class Attempts:
    """How often an export time has failed. Retries of one run are one attempt."""

    failed: int
    last: datetime

    @property
    def given_up(self) -> bool:
        """Whether it is left to a person."""
        return self.failed >= MAX_ATTEMPTS

    @property
    def next_try(self) -> datetime:
        """When it may be tried again (UTC)."""
        return self.last + wait_after(self.failed)


def wait_after(failed: int) -> timedelta:
    """How long a failed export time rests after so many attempts."""
    return min(FIRST_WAIT * WAIT_FACTOR ** min(failed - 1, MAX_ATTEMPTS), LONGEST_WAIT)


def backlog_of(dataflow: Dataflow, instance: dg.DagsterInstance, now: datetime) -> Backlog:
    """Everything that is due at `now` and missing."""
    open_times = _open_times(dataflow, instance, now)
    if not open_times:
        return Backlog()
    running = _in_flight(instance, dataflow)
    attempts = failed_attempts(instance, [dataflow.name], list(open_times))
    ready: list[DueExport] = []
    waiting: dict[str, datetime] = {}
    in_flight: list[str] = []
    given_up: list[str] = []
    for export_time, missing in open_times.items():
        tried = attempts.get((dataflow.name, export_time))
        if export_time in running:
            in_flight.append(export_time)
        elif tried is not None and tried.given_up:
            given_up.append(export_time)
        elif tried is not None and tried.next_try > now:
            waiting[export_time] = tried.next_try
        else:
            ready.append(DueExport(export_time, missing))
    return Backlog(tuple(ready), tuple(in_flight), waiting, tuple(given_up))


def run_requests(dataflow: Dataflow, ready: Sequence[DueExport], now: datetime) -> list[dg.RunRequest]:
    """Ask for runs of these, at most `MAX_REQUESTS`, in their order."""
    return [
        dg.RunRequest(
            # A run key is for life, and an export time may be asked for again when its run failed; a tick asks for it once.
            run_key=f"{dataflow.name}/{export.export_time}@{format_export_time(now)}",
            job_name=job_name(dataflow),
            partition_key=export.export_time,
            asset_selection=list(export.missing),
            tags={SCHEDULED_TAG: "true"},
        )
        for export in ready[:MAX_REQUESTS]
    ]


def failed_attempts(
    instance: dg.DagsterInstance,
    dataflows: Sequence[str],
    export_times: Sequence[str] | None = None,
    *,
    since: datetime | None = None,
) -> dict[tuple[str, str], Attempts]:
    """Attempts by dataflow and export time, of scheduled runs only: what a person starts is not counted.

    Args:
        instance: its runs.
        dataflows: their names.
        export_times: only these.
        since: only runs that ended or were changed after this moment.
    """
    few = export_times is not None and len(export_times) <= MAX_REQUESTS
    wanted = RunsFilter(
        tags={
            SCHEDULED_TAG: "true",
            DATAFLOW_TAG: list(dataflows),
            **({PARTITION_TAG: list(export_times)} if few and export_times else {}),
        },
        statuses=[DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED],
        updated_after=since,
    )
    roots: dict[tuple[str, str], set[str]] = {}
    last: dict[tuple[str, str], datetime] = {}
    for record in instance.get_run_records(wanted):
        run = record.dagster_run
        key = (run.tags[DATAFLOW_TAG], run.tags[PARTITION_TAG])
        ended = datetime.fromtimestamp(record.end_time, UTC) if record.end_time else record.update_timestamp
        roots.setdefault(key, set()).add(run.root_run_id or run.run_id)
        last[key] = max(ended, last.get(key, ended))
    return {key: Attempts(len(roots[key]), last[key]) for key in roots}


def is_run_of(run: dg.DagsterRun, dataflow: Dataflow) -> bool:
    """Whether a run exports for a dataflow.

    Also one launched from an asset's page, which carries no dataflow's tag; but not one of another dataflow that happens to
    have the same export times, nor one of checks alone, which selects no assets (a whole job has no selection at all).
    """
    keys = {export_key(dataflow, dataset) for dataset in dataflow.datasets}
    return run.tags.get(DATAFLOW_TAG, dataflow.name) == dataflow.name and (
        DATAFLOW_TAG in run.tags if run.asset_selection is None else bool(run.asset_selection & keys)
    )


def _open_times(
    dataflow: Dataflow, instance: dg.DagsterInstance, now: datetime
) -> "dict[str, tuple[dg.AssetKey, ...]]":
    """Due export times, oldest first, and the assets of each that are owed it and not materialized."""
    due = [format_export_time(moment) for moment in dataflow.schedule.export_times(now)]
    history = History(dataflow, instance)
    owed = {export_key(dataflow, dataset): set(history.owed(dataset, due)) for dataset in dataflow.datasets}
    missing = {time: tuple(key for key, times in owed.items() if time in times) for time in due}
    return {export_time: keys for export_time, keys in missing.items() if keys}


def _in_flight(instance: dg.DagsterInstance, dataflow: Dataflow) -> set[str]:
    return {
        run.tags[PARTITION_TAG]
        for run in instance.get_runs(RunsFilter(statuses=UNFINISHED))
        if PARTITION_TAG in run.tags and is_run_of(run, dataflow)
    }
