"""`run`, `resend` and `repair`: export now, in this process, recorded in the Dagster instance as the daemon's runs are."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from dataset_export.cli.arguments import (
    DUE,
    dataset_option,
    delivered_export_time,
    due_export_time,
    export_time_option,
    flow_argument,
    json_option,
)
from dataset_export.cli.progress import shown_progress
from dataset_export.cli.session import Session, chosen_datasets
from dataset_export.cli.terminal import iso, note, print_json, print_table, size
from dataset_export.errors import ExportError, UsageError

if TYPE_CHECKING:
    from dataset_export.cli.runs import DatasetOutcome, RunOutcome
    from dataset_export.export.dataflow import Dataflow, Dataset
    from dataset_export.export.repair import Depth


@click.command()
@flow_argument
@click.option(
    "--export-time",
    "text",
    required=True,
    metavar="T",
    help="YYYYMMDDHHMM in UTC, or ISO-8601, 'latest', or 'due': all that are due and missing, oldest first.",
)
@dataset_option
@json_option
@click.pass_obj
def run(session: Session, flow: str, text: str, dataset_ids: tuple[str, ...], as_json: bool) -> None:
    """Export what belongs to an export time.

    Datasets that are delivered for it already are left out; `resend` delivers those again. Stops at the first export
    time that fails.

    \b
    --json: dataflow, runs [{run_id, export_time, resend, repair (null: none), done, reason, datasets [{dataset,
    delivered, records, records_excluded, files, bytes, manifest, files_expire_at (null: never), repair (null: none), checks
    [{name, passed, warns (true: it never makes a run fail), description}]}]}].
    """
    dataflow = session.dataflow(flow)
    datasets = chosen_datasets(dataflow, dataset_ids)
    now = session.clock()
    due = text == DUE
    export_times = list(dataflow.schedule.export_times(now)) if due else [due_export_time(dataflow, text, now)]
    _refuse_disabled(dataflow)
    work = (_owed if due else _missing)(session, dataflow, datasets, export_times)
    if not work:
        note(f"note: {_why_nothing(session, dataflow, datasets, None if due else export_times[0])}")
    _run_all(session, dataflow, work, as_json=as_json)


@click.command()
@flow_argument
@export_time_option
@dataset_option
@json_option
@click.pass_obj
def resend(session: Session, flow: str, text: str, dataset_ids: tuple[str, ...], as_json: bool) -> None:
    """Deliver an export time again: same rows, new files.

    The new files replace the old ones. Only for what was delivered before; `run` is for the rest.

    \b
    --json: as of `run`.
    """
    dataflow, export_time, datasets = _delivered_before(session, flow, text, dataset_ids, "resend")
    _run_all(session, dataflow, [(export_time, datasets)], resend=True, as_json=as_json)


@click.command()
@flow_argument
@export_time_option
@dataset_option
@click.option("--deep", is_flag=True, help="Read every file and compare its SHA-256; otherwise sizes, by listing.")
@json_option
@click.pass_obj
def repair(session: Session, flow: str, text: str, dataset_ids: tuple[str, ...], *, deep: bool, as_json: bool) -> None:
    """Deliver again only those files of an export that are missing or differ.

    Files that are whole stay; a new manifest names them and the new ones. `verify` shows what a repair would send. When
    the declarations or the lake have changed so that files cannot be made anew one by one, all are sent again, and why is
    said.

    \b
    --json: as of `run`.
    """
    from dataset_export.export.repair import Depth

    dataflow, export_time, datasets = _delivered_before(session, flow, text, dataset_ids, "repair")
    depth = Depth.DEEP if deep else Depth.LISTING
    _run_all(session, dataflow, [(export_time, datasets)], repair=depth, as_json=as_json)


def export_with_progress(
    session: Session,
    dataflow: "Dataflow",
    datasets: "Sequence[Dataset]",
    export_time: datetime,
    *,
    resend: bool = False,
    repair: "Depth | None" = None,
) -> "RunOutcome":
    """Run one export and show its progress on stderr.

    Raises:
        StalePlan: while another run of the dataflow is going on.
        KeyboardInterrupt: when Ctrl-C ended it; the run is recorded as failed.
    """
    from dataset_export.cli.runs import refuse_while_running, run_export

    refuse_while_running(session.instance, dataflow)
    with shown_progress(iso(export_time), [dataset.id for dataset in datasets]):
        outcome = run_export(session, dataflow, datasets, export_time, resend=resend, repair=repair)
    if outcome.interrupted:
        raise KeyboardInterrupt
    return outcome


def require_done(outcome: "RunOutcome") -> None:
    """Raise ExportError with the reason, and where to look, when the run failed."""
    from dataset_export.cli.dagster_home import where_to_look

    if outcome.reason is not None:
        raise ExportError(f"{outcome.reason} ({where_to_look(outcome.run_id)})")


def _refuse_disabled(dataflow: "Dataflow") -> None:
    if not dataflow.enabled:
        raise UsageError(f"dataflow {dataflow.name} is disabled; set enabled: true to export")


def _delivered_before(
    session: Session, flow: str, text: str, dataset_ids: tuple[str, ...], what: str
) -> "tuple[Dataflow, datetime, list[Dataset]]":
    """What a command that is about an earlier delivery works on. Raises UsageError when there was none."""
    from dataset_export.cli.manifests import delivered_elsewhere, find_manifest

    dataflow = session.dataflow(flow)
    datasets = chosen_datasets(dataflow, dataset_ids)
    export_time = delivered_export_time(session, dataflow, text)
    _refuse_disabled(dataflow)
    store = session.store(dataflow)
    for dataset in datasets:
        ledger = session.ledger(dataflow, dataset)
        # What is recorded can be delivered again even when somebody removed its manifest.
        if ledger.at(export_time) is None and find_manifest(store, dataflow, dataset, export_time, ledger) is None:
            if (other := ledger.elsewhere(export_time)) is not None:
                raise UsageError(delivered_elsewhere(dataflow, dataset, export_time, other))
            raise UsageError(
                f"{dataflow.name}/{dataset.id} at {iso(export_time)} was never delivered, so there is nothing to {what}; "
                "use `run`"
            )
    return dataflow, export_time, datasets


def _missing(
    session: Session, dataflow: "Dataflow", datasets: "Sequence[Dataset]", export_times: Sequence[datetime]
) -> "list[tuple[datetime, list[Dataset]]]":
    """Export times, in their order, with the datasets that are not materialized for them."""
    from dataset_export.export.schedule import format_export_time
    from dataset_export.orchestration.names import export_key

    done = {
        dataset.id: session.instance.get_materialized_partitions(export_key(dataflow, dataset)) for dataset in datasets
    }
    work = [
        (moment, [dataset for dataset in datasets if format_export_time(moment) not in done[dataset.id]])
        for moment in export_times
    ]
    return [(moment, missing) for moment, missing in work if missing]


def _why_nothing(
    session: Session, dataflow: "Dataflow", datasets: "Sequence[Dataset]", export_time: datetime | None
) -> str:
    """Why `run` has nothing to do: of one export time, or of all that are due."""
    from dataset_export.cli.manifests import delivered_elsewhere

    if export_time is None:
        return f"nothing of {dataflow.name} is due and missing; `resend` delivers an export time again"
    for dataset in datasets:
        if (other := session.ledger(dataflow, dataset).elsewhere(export_time)) is not None:
            elsewhere = delivered_elsewhere(dataflow, dataset, export_time, other)
            return f"{elsewhere}; the next export time delivers everything to the new one"
    return f"{dataflow.name} at {iso(export_time)} is delivered already; `resend` delivers an export time again"


def _owed(
    session: Session, dataflow: "Dataflow", datasets: "Sequence[Dataset]", export_times: Sequence[datetime]
) -> "list[tuple[datetime, list[Dataset]]]":
    """As `_missing`, less what the schedule would not ask for either."""
    from dataset_export.export.schedule import format_export_time
    from dataset_export.orchestration.owed import History

    history = History(dataflow, session.instance)
    due = [format_export_time(moment) for moment in export_times]
    owed = {dataset.id: set(history.owed(dataset, due)) for dataset in datasets}
    work = [
        (moment, [dataset for dataset in datasets if format_export_time(moment) in owed[dataset.id]])
        for moment in export_times
    ]
    return [(moment, missing) for moment, missing in work if missing]


def _run_all(
    session: Session,
    dataflow: "Dataflow",
    work: "Sequence[tuple[datetime, Sequence[Dataset]]]",
    *,
    resend: bool = False,
    repair: "Depth | None" = None,
    as_json: bool,
) -> None:
    outcomes: list[RunOutcome] = []
    for export_time, datasets in work:
        outcomes.append(export_with_progress(session, dataflow, datasets, export_time, resend=resend, repair=repair))
        if outcomes[-1].reason is not None:
            break
    if as_json:
        print_json({"dataflow": dataflow.name, "runs": [_document(outcome) for outcome in outcomes]})
    elif outcomes:
        print_table(
            ["export time", "dataset", "records", "excluded", "files", "bytes", "checks"],
            [_row(outcome, part) for outcome in outcomes for part in outcome.datasets],
            right=["records", "excluded", "files", "bytes"],
        )
        click.echo()
        # Not in the table: a terminal is too narrow for an address that has to be copied whole.
        for part in (part for outcome in outcomes for part in outcome.datasets):
            if part.metadata is not None:
                click.echo(f"manifest of {part.dataset}: {part.metadata['manifest']}")
                if (expire := _files_expire_at(part.metadata)) is not None:
                    click.echo(f"files of {part.dataset} are deleted by the destination from {expire} on")
                for check in part.checks:
                    if check.warns and not check.passed:
                        note(f"note: the check {check.name} of {part.dataset} warns: {check.description}")
                if "repair" in part.metadata:
                    click.echo(f"repair of {part.dataset}: {part.metadata['repair']}")
    if outcomes:
        require_done(outcomes[-1])


def _row(outcome: "RunOutcome", part: "DatasetOutcome") -> list[str]:
    made = part.metadata
    if made is None:
        return [iso(outcome.export_time), part.dataset, "-", "-", "-", "-", "not delivered"]
    passed = sum(check.passed for check in part.checks)
    return [
        iso(outcome.export_time),
        part.dataset,
        f"{made['records']:,}",
        f"{made['records_excluded']:,}",
        str(made["files"]),
        size(made["bytes"]),
        f"{passed} of {len(part.checks)} passed",
    ]


def _document(outcome: "RunOutcome") -> dict[str, Any]:
    return {
        "run_id": outcome.run_id,
        "export_time": iso(outcome.export_time),
        "resend": outcome.resend,
        "repair": outcome.repair,
        "done": outcome.reason is None,
        "reason": outcome.reason,
        "datasets": [_dataset_document(part) for part in outcome.datasets],
    }


def _dataset_document(part: "DatasetOutcome") -> dict[str, Any]:
    made = part.metadata or {}
    counts = {key: made.get(key) for key in ("records", "records_excluded", "files", "bytes", "manifest", "repair")}
    checks = [{"name": c.name, "passed": c.passed, "warns": c.warns, "description": c.description} for c in part.checks]
    return {
        "dataset": part.dataset,
        "delivered": part.metadata is not None,
        **counts,
        "files_expire_at": _files_expire_at(made),
        "checks": checks,
    }


def _files_expire_at(metadata: dict[str, Any]) -> str | None:
    expire: float | None = metadata.get("files_expire_at")
    return iso(datetime.fromtimestamp(expire, UTC)) if expire is not None else None
