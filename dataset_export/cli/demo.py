"""`demo`: build a small lake, export it as a schedule would have, show and verify what arrived."""

import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dataset_export.cli.running import export_with_progress, require_done
from dataset_export.cli.session import Session
from dataset_export.cli.terminal import print_tree, progress_console, size
from dataset_export.cli.verifying import compare, print_comparison, require_same
from dataset_export.errors import ConfigError

if TYPE_CHECKING:
    from dataset_export.export.dataflow import Dataflow
    from dataset_export.export.manifest import Manifest

DATAFLOWS = ("flights_to_partner", "events_to_archive")


@click.command()
@click.pass_obj
def demo(session: Session) -> None:
    """Build a demo lake, export it to a local folder, verify it.

    Works in `.demo` of the project and starts anew each time: the demo's lake, what the demo's dataflows delivered
    there, and what Dagster has recorded of these exports are removed first. Nothing else is touched.
    """
    from dataset_export.cli.dagster_home import project_root

    root = project_root() / ".demo"
    flows = [session.dataflow(name) for name in DATAFLOWS]
    _start_anew(session, root, flows)
    _build_lake(root / "lake")
    exported = [(flow, _export_all(session, flow)) for flow in flows]
    for flow, export_times in exported:
        _show(session, flow, export_times)
    _show_one_manifest(session, *exported[0])
    for flow, export_times in exported:
        _verify(session, flow, export_times)
    click.echo(f"\nThe demo is in {root}. To see lineage, history and counts in the UI: make ui")


def _start_anew(session: Session, root: Path, flows: "Sequence[Dataflow]") -> None:
    """Remove what an earlier demo left, after making sure that all of it lies in the demo's own folder."""
    from dataset_export.cli.runs import refuse_while_running
    from dataset_export.orchestration.names import export_key

    folders = [root / "lake", *(_local_folder(session, flow) for flow in flows)]
    for folder in folders:
        if folder.is_symlink() or root.resolve() not in folder.resolve().parents:
            raise ConfigError(
                f"the demo works in {root} only, and {folder} is not in it; declare the dataflows as they were"
            )
    for flow in flows:
        refuse_while_running(session.instance, flow)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    session.instance.wipe_assets([export_key(flow, dataset) for flow in flows for dataset in flow.datasets])


def _local_folder(session: Session, flow: "Dataflow") -> Path:
    from dataset_export.destinations.local import LocalStore

    store = session.store(flow)
    if not isinstance(store, LocalStore):
        raise ConfigError(
            f"the demo delivers to local folders only, and {flow.name} goes to {store.uri('')}; export it with `run`"
        )
    return store.folder


def _build_lake(folder: Path) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from dataset_export.demo.lake import TODAY, build_demo_lake

    with Progress(
        TextColumn("building the lake"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("commits  {task.description}"),
        console=progress_console(),
    ) as bar:
        task = bar.add_task("", total=None)
        lake = build_demo_lake(
            folder, TODAY, lambda done, total, table: bar.update(task, completed=done, total=total, description=table)
        )
    tables = ", ".join(f"{table.name} {table.rows:,}" for table in lake.tables)
    click.echo(f"lake: {lake.folder}\n  rows: {tables}")


def _export_all(session: Session, flow: "Dataflow") -> list[datetime]:
    export_times = list(flow.schedule.export_times(session.clock()))
    for export_time in export_times:
        require_done(export_with_progress(session, flow, flow.datasets, export_time, resend=False))
    return export_times


def _manifests(session: Session, flow: "Dataflow", export_times: Sequence[datetime]) -> "list[Manifest]":
    from dataset_export.cli.manifests import delivered_manifest

    store = session.store(flow)
    return [
        delivered_manifest(store, flow, dataset, export_time, session.ledger(flow, dataset))
        for dataset in flow.datasets
        for export_time in export_times
    ]


def _show(session: Session, flow: "Dataflow", export_times: Sequence[datetime]) -> None:
    leaves: list[tuple[str, str]] = []
    manifests = _manifests(session, flow, export_times)
    for found in manifests:
        leaves += [(file.path, f"{file.rows:,} records, {size(file.bytes)}") for file in found.files]
        totals = f"{found.document['recordCount']:,} records in {found.document['fileCount']} files"
        leaves.append((found.path, f"{totals}, {size(found.document['size'])}"))
    records = sum(found.document["recordCount"] for found in manifests)
    click.echo()
    print_tree(f"{flow.name}: {records:,} records to {session.store(flow).uri('')}", leaves)


def _show_one_manifest(session: Session, flow: "Dataflow", export_times: Sequence[datetime]) -> None:
    from dataset_export.cli.delivered import show_manifest

    found = _manifests(session, flow, export_times[-1:])[0]
    click.echo()
    show_manifest(session.store(flow), found)


def _verify(session: Session, flow: "Dataflow", export_times: Sequence[datetime]) -> None:
    click.echo(f"\nverifying {flow.name}: every file read, its SHA-256 and records compared with the manifest")
    for export_time in export_times:
        compared = [compare(session, flow, dataset, export_time, deep=True) for dataset in flow.datasets]
        for part in compared:
            print_comparison(part)
        require_same(flow, export_time, compared)
