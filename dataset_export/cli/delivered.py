"""`manifest` and `sweep`: what was delivered, and what dead runs left."""

from typing import TYPE_CHECKING, Any

import click

from dataset_export.cli.arguments import delivered_export_time, export_time_option, flow_argument, json_option
from dataset_export.cli.session import Session
from dataset_export.cli.terminal import iso, note, print_json, print_table, size

if TYPE_CHECKING:
    from dataset_export.destinations.contract import Store
    from dataset_export.export.manifest import Manifest
    from dataset_export.export.sweep import Swept


@click.command()
@flow_argument
@export_time_option
@click.option("--dataset", "dataset_id", required=True, metavar="D", help="Of this dataset.")
@json_option
@click.pass_obj
def manifest(session: Session, flow: str, text: str, dataset_id: str, as_json: bool) -> None:
    """Show the manifest of an export as it is at the destination.

    --json prints the document byte for byte.
    """
    from dataset_export.cli.manifests import delivered_manifest

    dataflow = session.dataflow(flow)
    dataset = dataflow.dataset(dataset_id)
    export_time = delivered_export_time(session, dataflow, text)
    store = session.store(dataflow)
    found = delivered_manifest(store, dataflow, dataset, export_time, session.ledger(dataflow, dataset))
    if as_json:
        click.echo(found.bytes, nl=False)
    else:
        show_manifest(store, found)


def show_manifest(store: "Store", found: "Manifest") -> None:
    """Print a manifest's summary and its files."""
    document = found.document
    versions = document["tableVersions"]
    lower = "start" if versions["from"] is None else versions["from"]
    excluded = [f"{item['recordCount']:,} {item['reason']}" for item in document["excludedRecords"]]
    facts = {
        "manifest": store.uri(found.path),
        "export": f"{document['dataflow']}/{document['dataset']['id']} at {document['scheduledTime']}, {document['exportMode']}",
        "format": f"{document['format']}, {document['compression']}",
        "table versions": f"{lower} → {versions['to']}",
        "records": f"{document['recordCount']:,}",
        "excluded": "; ".join(excluded) or "none",
        "files": f"{document['fileCount']}, {size(document['size'])}",
        "columns": f"{len(document['schema'])}, fingerprint {document['schemaFingerprint'][:12]}",
        "previous": document["previousManifest"]["path"] if document["previousManifest"] else "none",
        "supersedes": ", ".join(ref["path"] for ref in document["supersedes"]) or "nothing",
        **({"deleted from": document["filesExpireAt"]} if "filesExpireAt" in document else {}),
    }
    for name, value in facts.items():
        click.echo(f"{name:<15} {value}")
    if found.files:
        click.echo()
        print_table(
            ["file", "records", "bytes", "encoded by", "sha256"],
            [[file.name, f"{file.rows:,}", size(file.bytes), file.way, file.sha256[:12]] for file in found.files],
            right=["records", "bytes"],
        )


@click.command()
@flow_argument
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
@json_option
@click.pass_obj
def sweep(session: Session, flow: str, dry_run: bool, as_json: bool) -> None:
    """Remove what failed and killed runs left.

    Only files and unfinished uploads that a run wrote down as its own before it began are touched.

    \b
    --json: dataflow, dry_run, removed [{dataset, export_time, run_id, visible [path], staged [path]}].
    """
    from dataset_export.orchestration.sweep import sweep_dataflow

    dataflow = session.dataflow(flow)
    found = sweep_dataflow(dataflow, session.store(dataflow), session.instance, dry_run=dry_run)
    if as_json:
        print_json({"dataflow": flow, "dry_run": dry_run, "removed": [_swept_document(swept) for swept in found]})
        return
    if not found:
        note(f"note: nothing of dead runs of {flow} is left at the destination")
        return
    print_table(
        ["dataset", "export time", "run", "would remove" if dry_run else "removed"],
        [
            [swept.entry.dataset, iso(swept.entry.time), swept.entry.run_id, path + remark]
            for swept in found
            for path, remark in [*((p, "") for p in swept.visible), *((p, " (staged)") for p in swept.staged)]
        ],
    )


def _swept_document(swept: "Swept") -> dict[str, Any]:
    return {
        "dataset": swept.entry.dataset,
        "export_time": iso(swept.entry.time),
        "run_id": swept.entry.run_id,
        "visible": list(swept.visible),
        "staged": list(swept.staged),
    }
