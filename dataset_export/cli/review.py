"""`review`: a dataflow as it is declared now, what has changed since it ran last, and what it delivers next."""

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from dataset_export.cli.arguments import flow_argument, json_option
from dataset_export.cli.folders import folder_warnings, folders_of, print_folders
from dataset_export.cli.listing import COMING, destination_of, preview_time
from dataset_export.cli.session import Session
from dataset_export.cli.terminal import iso, note, print_json
from dataset_export.errors import ExportError

if TYPE_CHECKING:
    from dataset_export.export.change import Change, Ran
    from dataset_export.export.dataflow import Dataflow, Dataset
    from dataset_export.export.ledger import Delivered

CHANGED = 3
"""Exit code with --exit-code when there are changes: not 1, which means that it could not be found out."""

MANY = 5
"""Export times that are named of a backlog."""


@click.command()
@flow_argument
@click.option("--exit-code", "tell", is_flag=True, help="Exit with 3 when something has changed, for CI.")
@json_option
@click.pass_context
def review(context: click.Context, flow: str, *, tell: bool, as_json: bool) -> None:
    """Show a dataflow, what has changed since it ran last, and what it delivers next.

    Every change names the datasets that it touches. Writes nothing, and reaches the destination only when that has another
    address than before: to see whether what was delivered is there.

    \b
    --json: dataflow, description, enabled, destination {id, name, type, address (null: not known without its secrets)},
    datasets [id], mode, format, compression, folder, schedule {frequency, cron, start, end (null: never)},
    next_export_times (five), export_time, folders [{dataset, folder, example_files, manifest}], warnings, ran, changed,
    changes [{setting, before, after, datasets, effect}], next [{dataset, last_export_time (null: none), since_version (null:
    everything), due [export time], due_count}]. A change of `datasets` has null before (it joins) or after (it leaves).
    """
    session: Session = context.obj
    dataflow, now = session.dataflow(flow), session.clock()
    found = _review(session, dataflow, now)
    if as_json:
        print_json(found)
    else:
        _print(dataflow, found)
    if tell and found["changed"]:
        context.exit(CHANGED)


def _review(session: Session, dataflow: "Dataflow", now: datetime) -> dict[str, Any]:
    from dataset_export.orchestration.ran_last import ran_last

    ran = ran_last(dataflow, session.instance)
    address = address_in(session, dataflow)
    changed = _changes(session, dataflow, address, ran)
    return {
        **declared(dataflow, now, address),
        "ran": bool(ran),
        "changed": bool(changed),
        "changes": [_change_document(change) for change in changed],
        "next": _next(session, dataflow, now, address),
    }


def declared(dataflow: "Dataflow", now: datetime, address: str | None) -> dict[str, Any]:
    """A dataflow as it is declared, with what that will look like."""
    export_time = preview_time(dataflow, None, now)
    folders = folders_of(dataflow, export_time)
    schedule = dataflow.schedule
    return {
        "dataflow": dataflow.name,
        "description": dataflow.description,
        "enabled": dataflow.enabled,
        "destination": {**destination_of(dataflow), "address": address},
        "datasets": [dataset.id for dataset in dataflow.datasets],
        "mode": str(dataflow.mode),
        "format": str(dataflow.encoding.format),
        "compression": str(dataflow.encoding.compression),
        "folder": dataflow.folder.text,
        "schedule": {
            "frequency": str(schedule.frequency),
            "cron": schedule.cron,
            "start": iso(schedule.start),
            "end": iso(schedule.end) if schedule.end is not None else None,
        },
        "next_export_times": [iso(moment) for moment in schedule.next_export_times(now, COMING)],
        "export_time": iso(export_time),
        "folders": folders,
        "warnings": folder_warnings(dataflow, folders),
    }


def address_in(session: Session, dataflow: "Dataflow") -> str | None:
    """Where a dataflow's destination is; None where only its secrets say that, and they are not here."""
    from dataset_export.destinations.contract import address_of

    try:
        return address_of(session.catalog.io_manager(dataflow.destination.id).build_store())
    except ExportError:
        try:
            return address_of(session.store(dataflow))
        except ExportError as error:
            note(f"note: where {dataflow.destination.id} is cannot be told here, and is not compared: {error}")
            return None


def _changes(session: Session, dataflow: "Dataflow", address: str | None, ran: "dict[str, Ran]") -> "list[Change]":
    from dataset_export.export.change import ELSEWHERE, HERE, changes

    moved = [
        dataset
        for dataset in dataflow.datasets
        if dataset.id in ran and address not in {None, ran[dataset.id].settings["destination"]["address"]}
    ]
    here = ELSEWHERE
    if moved:
        try:
            here = HERE if _is_here(session, dataflow, moved[0]) else ELSEWHERE
        except ExportError as error:
            here = f"whether what was delivered is there cannot be seen now ({error}); if it is not, {ELSEWHERE}"
    return changes(dataflow, address, ran, here)


def _is_here(session: Session, dataflow: "Dataflow", dataset: "Dataset") -> bool:
    from dataset_export.export.destination_ledger import END_OF_TIME

    ledger = session.ledger(dataflow, dataset)
    last = ledger.ledger.nearest_before(END_OF_TIME)
    return last is not None and ledger.is_here(last)


def _next(session: Session, dataflow: "Dataflow", now: datetime, address: str | None) -> list[dict[str, Any]]:
    from dataset_export.export.schedule import format_export_time
    from dataset_export.orchestration.owed import History

    history = History(dataflow, session.instance)
    due = [format_export_time(moment) for moment in dataflow.schedule.export_times(now)]
    found: list[dict[str, Any]] = []
    for dataset in dataflow.datasets:
        owed = history.owed(dataset, due)
        last = _last(session, dataflow, dataset, owed[0] if owed else None, address)
        found.append(
            {
                "dataset": dataset.id,
                "last_export_time": iso(last.export_time) if last is not None else None,
                "since_version": last.upper if last is not None and dataflow.mode == "incremental" else None,
                "due": owed[:MANY],
                "due_count": len(owed),
            }
        )
    return found


def _last(
    session: Session, dataflow: "Dataflow", dataset: "Dataset", before: str | None, address: str | None
) -> "Delivered | None":
    """The export at this destination that the next one goes on from; None when that begins with everything."""
    from dataset_export.export.destination_ledger import END_OF_TIME
    from dataset_export.export.schedule import parse_export_time
    from dataset_export.orchestration.ledger import MaterializationLedger
    from dataset_export.orchestration.names import export_key

    moment = parse_export_time(before) if before is not None else END_OF_TIME
    last = MaterializationLedger(session.instance, export_key(dataflow, dataset)).nearest_before(moment)
    if last is None or address is None or last.address in {None, address}:
        return last
    try:
        return session.ledger(dataflow, dataset).nearest_before(moment)
    except ExportError:
        return None  # why the destination cannot be asked stands beside the change of its address


def _change_document(change: "Change") -> dict[str, Any]:
    return {
        "setting": change.setting,
        "before": change.before,
        "after": change.after,
        "datasets": list(change.datasets),
        "effect": change.effect,
    }


def print_declared(dataflow: "Dataflow", found: dict[str, Any], *, err: bool = False) -> None:
    """Print what `declared` gives.

    Args:
        dataflow: which.
        found: of it.
        err: on stderr, beside questions.
    """
    schedule, destination = found["schedule"], found["destination"]
    facts = {
        "dataflow": found["dataflow"] + ("" if found["enabled"] else ", disabled"),
        "destination": f"{destination['name']} ({destination['type']}), {destination['address'] or 'address not known'}",
        "datasets": ", ".join(found["datasets"]),
        "mode": found["mode"],
        "format": f"{found['format']}, {found['compression']}",
        "schedule": f"{schedule['frequency']}: {schedule['cron']} (UTC), from {schedule['start']}",
        "end": schedule["end"] or "never",
        "next exports": ", ".join(found["next_export_times"]) or "none, the dataflow has ended",
    }
    for name, value in facts.items():
        click.echo(f"{name:<13} {value}", err=err)
    click.echo(err=err)
    print_folders(dataflow, datetime.fromisoformat(found["export_time"]), found["folders"], err=err)
    for warning in found["warnings"]:
        note(f"warning: {warning}")


def _print(dataflow: "Dataflow", found: dict[str, Any]) -> None:
    print_declared(dataflow, found)
    click.echo()
    _print_changes(found["changes"], ran=found["ran"])
    click.echo()
    for part in found["next"]:
        click.echo(f"next of {part['dataset']}: {_next_in_words(part, found['mode'])}")


def _print_changes(changes: list[dict[str, Any]], *, ran: bool) -> None:
    if not changes:
        click.echo("changed since it ran last: nothing")
        return
    click.echo("changed since it ran last:" if ran else "it has never run:")
    for change in changes:
        if change["setting"] == "datasets":
            mark, value = ("+", change["after"]) if change["before"] is None else ("-", change["before"])
            click.echo(f"{mark} dataset {value}")
        else:
            click.echo(f"! {change['setting']}: {_shown(change['before'])} → {_shown(change['after'])}")
            click.echo(f"    touches {', '.join(change['datasets'])}")
        click.echo(f"    {change['effect']}")


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _next_in_words(part: dict[str, Any], mode: str) -> str:
    if mode == "full" or part["last_export_time"] is None:
        what = "everything"
    else:
        what = f"what was added since {part['last_export_time']} (after version {part['since_version']})"
    if not part["due"]:
        return what
    more = f" and {part['due_count'] - len(part['due'])} more" if part["due_count"] > len(part["due"]) else ""
    return f"{what}; due already: {', '.join(part['due'])}{more}"
