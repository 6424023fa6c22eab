"""Arguments and options that several commands share, and how an export time is read."""

from collections import deque
from datetime import datetime
from typing import TYPE_CHECKING

import click

from dataset_export.errors import UsageError

if TYPE_CHECKING:
    from dataset_export.cli.session import Session
    from dataset_export.export.dataflow import Dataflow

LATEST = "latest"
DUE = "due"

flow_argument = click.argument("flow")
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")
export_time_option = click.option(
    "--export-time", "text", required=True, metavar="T", help="YYYYMMDDHHMM in UTC, or ISO-8601, or 'latest'."
)
dataset_option = click.option(
    "--dataset", "dataset_ids", multiple=True, metavar="D", help="Only this dataset; may be repeated."
)


def due_export_time(dataflow: "Dataflow", text: str, now: datetime) -> datetime:
    """An export time of the dataflow that has come.

    Args:
        dataflow: whose.
        text: as the option takes it.
        now: UTC.

    Raises:
        UsageError: when it is not an export time, none of the dataflow's, or not due.
    """
    from dataset_export.export.schedule import parse_export_time

    if text == LATEST:
        return latest_export_time(dataflow, now)
    if text == DUE:
        raise UsageError("only `run` takes 'due'; name one export time, or 'latest'")
    export_time = parse_export_time(text)
    dataflow.schedule.check_export_time(export_time, now)
    return export_time


def delivered_export_time(session: "Session", dataflow: "Dataflow", text: str) -> datetime:
    """An export time of the dataflow that has come, or one that was its own, and delivered, before its schedule changed.

    Raises:
        UsageError: for any other.
    """
    from dataset_export.export.schedule import parse_export_time

    if text not in {LATEST, DUE}:
        export_time = parse_export_time(text)
        ledgers = [session.ledger(dataflow, dataset).ledger for dataset in dataflow.datasets]
        if any(ledger.at(export_time) is not None for ledger in ledgers):
            return export_time
    return due_export_time(dataflow, text, session.clock())


def latest_export_time(dataflow: "Dataflow", now: datetime) -> datetime:
    """The newest export time at or before now.

    Raises:
        UsageError: when none has come.
    """
    from dataset_export.export.schedule import format_export_time

    newest = deque(dataflow.schedule.export_times(now), maxlen=1)
    if not newest:
        first = dataflow.schedule.first_tick_from(dataflow.schedule.start)
        raise UsageError(f"nothing of {dataflow.name} is due yet; its first export time is {format_export_time(first)}")
    return newest[0]
