"""Which alerts a run of a dataflow gives rise to, and what they say."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from dataset_export.alerts.alert import Alert, Event
from dataset_export.alerts.volume import volume_anomaly
from dataset_export.export.schedule import format_export_time


class Outcome(StrEnum):
    """How a run ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


@dataclass(frozen=True)
class Delivery:
    """What a run delivered of one dataset: its own counts (spec S8).

    Attributes:
        dataset: id.
        records: delivered.
        excluded: records that belong to the export and were left out (spec S10).
        files: number of.
        bytes: of the files.
        place: address of the folder.
        earlier_records: records of the exports before this one that it can be compared with, oldest first.
        schema_change: how the columns differ from those of the export before, in words, when somebody wants to hear it.
    """

    dataset: str
    records: int
    excluded: int
    files: int
    bytes: int
    place: str
    earlier_records: tuple[int, ...] = ()
    schema_change: str | None = None


@dataclass(frozen=True)
class ExportRun:
    """A run of a dataflow's export time, as far as it has come.

    Attributes:
        dataflow: name.
        export_time: UTC.
        run_id: of this run.
        root_run_id: of the run that it retries, or of itself.
        started_at: UTC; None while it is queued.
        ended_at: UTC; None while it goes on.
        outcome: None while it goes on.
        retried: whether Dagster starts it again by itself, after its process died.
        given_up: whether it was the last of the scheduled runs of its export time: they failed too often.
        deliveries: what it delivered so far.
        faults: why it failed, one sentence each, the dataset and step before it; without secrets.
        failed_checks: what the checks of what was delivered found wrong, likewise.
    """

    dataflow: str
    export_time: datetime
    run_id: str
    root_run_id: str
    started_at: datetime | None
    ended_at: datetime | None = None
    outcome: Outcome | None = None
    retried: bool = False
    given_up: bool = False
    deliveries: tuple[Delivery, ...] = ()
    faults: tuple[str, ...] = ()
    failed_checks: tuple[str, ...] = ()


def end_keys(run_id: str) -> tuple[str, str]:
    """What is told of a run that has ended: one of these."""
    return f"succeeded:{run_id}", f"failed:{run_id}"


def run_alerts(run: ExportRun) -> Iterator[Alert]:
    """The alerts of a run, in the order in which things happened.

    A run that Dagster retries by itself starts once and fails when its last retry does. A failure that comes again with the
    next scheduled run of the export time, for the same reason, is told once, and once more when it is given up. A run that was
    cancelled neither succeeded nor failed; what it did not deliver becomes late.
    """
    name = f"{run.dataflow}: export of {run.export_time:%Y-%m-%d %H:%M} UTC"
    if run.started_at is not None:
        key = f"started:{run.root_run_id}"
        yield Alert(Event.STARTED, (key,), f"{name} started", _run(run), run.started_at)
    if run.ended_at is None:
        return
    yield from _content_alerts(run, name, run.ended_at)
    succeeded, failed = end_keys(run.run_id)
    delivered = "\n".join(_counts(delivery) for delivery in run.deliveries)
    if run.outcome is Outcome.SUCCEEDED and not run.failed_checks:
        text = _lines(delivered, _run(run))
        yield Alert(Event.SUCCEEDED, (succeeded,), f"{name} succeeded", text, run.ended_at)
    elif run.outcome is not Outcome.CANCELED and not run.retried:
        yield _failure(run, name, (failed,), delivered, run.ended_at)


def _failure(run: ExportRun, name: str, keys: tuple[str, ...], delivered: str, at: datetime) -> Alert:
    undelivered = run.outcome is Outcome.FAILED and (run.faults or not run.failed_checks)
    title = f"{name} failed" if undelivered else f"{name} was delivered, but a check of it failed"
    faults = (*run.faults, *run.failed_checks) or ("The run ended without saying why.",)
    also = f"Delivered all the same:\n{delivered}" if delivered and undelivered else delivered
    if run.given_up:
        title += ", and is not tried again"
        command = f"dataset-export run {run.dataflow} --export-time {format_export_time(run.export_time)}"
        also = _lines(also, f"It failed too often to be tried again by itself; correct the cause, then: {command}")
    else:
        reason = hashlib.sha256("\n".join(faults).encode()).hexdigest()[:16]
        keys = (*keys, f"failed:{format_export_time(run.export_time)}:{reason}")
    return Alert(Event.FAILED, keys, title, _lines(*faults, also, _run(run)), at)


def _content_alerts(run: ExportRun, name: str, at: datetime) -> Iterator[Alert]:
    """What is worth telling about what was delivered: once for an export time, however often it is delivered."""
    time = format_export_time(run.export_time)
    for delivery in run.deliveries:
        if delivery.excluded:
            yield Alert(
                Event.EXCLUDED_ROWS,
                (f"excluded_rows:{delivery.dataset}:{time}",),
                f"{name} left out {delivery.excluded:,} records of {delivery.dataset}",
                _lines(
                    f"{delivery.excluded:,} records are older than the dataset's lookback_days allow; the manifest says so.",
                    _counts(delivery),
                    _run(run),
                ),
                at,
            )
        if delivery.schema_change is not None:
            yield Alert(
                Event.SCHEMA_DRIFT,
                (f"schema_drift:{delivery.dataset}:{time}",),
                f"{name} has other columns of {delivery.dataset} than the export before",
                _lines(delivery.schema_change, _counts(delivery), _run(run)),
                at,
            )
        if (anomaly := volume_anomaly(delivery.records, delivery.earlier_records)) is not None:
            less = anomaly.records < anomaly.median
            yield Alert(
                Event.VOLUME_ANOMALY,
                (f"volume_anomaly:{delivery.dataset}:{time}",),
                f"{name} has unusually {'few' if less else 'many'} records of {delivery.dataset}",
                _lines(f"{anomaly}.", _counts(delivery), _run(run)),
                at,
            )


def _counts(delivery: Delivery) -> str:
    left_out = f", {delivery.excluded:,} records left out" if delivery.excluded else ""
    return (
        f"{delivery.dataset}: {delivery.records:,} records, {delivery.files:,} files, {delivery.bytes:,} bytes{left_out}, "
        f"in {delivery.place}"
    )


def _run(run: ExportRun) -> str:
    return f"Run {run.run_id}."


def _lines(*lines: str) -> str:
    return "\n".join(line for line in lines if line)
