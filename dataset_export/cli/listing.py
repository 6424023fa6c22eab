"""`dataflows` and `preview`: what is declared and what it will look like. Neither reads the lake or a destination."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from dataset_export.cli.arguments import DUE, LATEST, flow_argument, json_option, latest_export_time
from dataset_export.cli.folders import folder_warnings, folders_of, print_folders
from dataset_export.cli.session import Session
from dataset_export.cli.terminal import iso, note, print_json, print_table
from dataset_export.errors import UsageError

if TYPE_CHECKING:
    from dataset_export.export.dataflow import Dataflow

COMING = 5


@click.command()
@json_option
@click.pass_obj
def dataflows(session: Session, as_json: bool) -> None:
    """List the declared dataflows and their next export times.

    \b
    --json: a list of objects with name, description, enabled, owner (null: none), destination {id, name, type}, datasets
    [id], frequency, cron, start, end (null: never), mode, format, compression, next_export_times (three), ended.
    """
    now = session.clock()
    listed = [_described(dataflow, now) for _, dataflow in sorted(session.catalog.dataflows.items())]
    if as_json:
        print_json(listed)
        return
    print_table(
        ["dataflow", "destination", "datasets", "schedule (UTC)", "mode", "format", "next export time", "state"],
        [
            [
                flow["name"],
                f"{flow['destination']['name']} ({flow['destination']['type']})",
                ", ".join(flow["datasets"]),
                f"{flow['frequency']}: {flow['cron']}",
                flow["mode"],
                f"{flow['format']}, {flow['compression']}",
                next(iter(flow["next_export_times"]), "-"),
                "ended" if flow["ended"] else "enabled" if flow["enabled"] else "disabled",
            ]
            for flow in listed
        ],
    )


@click.command()
@flow_argument
@click.option("--export-time", "text", metavar="T", help="An export time, also a coming one. Default: the next one.")
@json_option
@click.pass_obj
def preview(session: Session, flow: str, text: str | None, as_json: bool) -> None:
    """Show the tree of files an export will make.

    Writes nothing, and reads neither the lake nor the destination. The names of data files are examples: they depend on the run.

    \b
    --json: dataflow, destination {id, name, type}, export_time, datasets [{dataset, folder, example_files, manifest}],
    warnings, next_export_times (five). Paths are relative to the destination's folder.
    """
    dataflow, now = session.dataflow(flow), session.clock()
    export_time = preview_time(dataflow, text, now)
    shown = folders_of(dataflow, export_time)
    warnings = folder_warnings(dataflow, shown)
    coming = [iso(moment) for moment in dataflow.schedule.next_export_times(now, COMING)]
    if as_json:
        print_json(
            {
                "dataflow": dataflow.name,
                "destination": destination_of(dataflow),
                "export_time": iso(export_time),
                "datasets": shown,
                "warnings": warnings,
                "next_export_times": coming,
            }
        )
        return
    print_folders(dataflow, export_time, shown)
    click.echo(f"next export times: {', '.join(coming) or 'none, the dataflow has ended'}")
    for warning in warnings:
        note(f"warning: {warning}")


def _described(dataflow: "Dataflow", now: datetime) -> dict[str, Any]:
    schedule = dataflow.schedule
    return {
        "name": dataflow.name,
        "description": dataflow.description,
        "enabled": dataflow.enabled,
        "owner": dataflow.owner,
        "destination": destination_of(dataflow),
        "datasets": [dataset.id for dataset in dataflow.datasets],
        "frequency": str(schedule.frequency),
        "cron": schedule.cron,
        "start": iso(schedule.start),
        "end": iso(schedule.end) if schedule.end is not None else None,
        "mode": str(dataflow.mode),
        "format": str(dataflow.encoding.format),
        "compression": str(dataflow.encoding.compression),
        "next_export_times": [iso(moment) for moment in schedule.next_export_times(now, 3)],
        "ended": schedule.ended(now),
    }


def destination_of(dataflow: "Dataflow") -> dict[str, str]:
    """Id, name and type of a dataflow's destination."""
    info = dataflow.destination
    return {"id": info.id, "name": info.name, "type": info.type}


def preview_time(dataflow: "Dataflow", text: str | None, now: datetime) -> datetime:
    """The export time to show: what `--export-time` says, also one that is yet to come; the next one, or the last when
    there is none.

    Raises:
        UsageError: for a text that is no export time of the dataflow.
    """
    from dataset_export.export.schedule import parse_export_time

    if text is None:
        coming = dataflow.schedule.next_export_times(now, 1)
        return coming[0] if coming else latest_export_time(dataflow, now)
    if text == LATEST:
        return latest_export_time(dataflow, now)
    if text == DUE:
        raise UsageError("only `run` takes 'due'; name one export time, or 'latest'")
    export_time = parse_export_time(text)
    # A coming export time can be previewed as well, so "now" is when it will be due.
    dataflow.schedule.check_export_time(export_time, max(now, export_time + timedelta(minutes=1)))
    return export_time
