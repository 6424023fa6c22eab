"""`verify`: compare what is at a destination with the manifests."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from dataset_export.cli.arguments import (
    dataset_option,
    delivered_export_time,
    export_time_option,
    flow_argument,
    json_option,
)
from dataset_export.cli.session import Session, chosen_datasets
from dataset_export.cli.terminal import iso, print_json, size
from dataset_export.errors import IntegrityError, NotFound

if TYPE_CHECKING:
    from dataset_export.destinations.contract import Entry, Store
    from dataset_export.export.dataflow import Dataflow, Dataset
    from dataset_export.export.verify import Finding


@dataclass(frozen=True)
class Comparison:
    """What was found of one dataset. `error` says why its files could not be compared at all; `unnamed` are files beside
    them that no manifest names; `files_expire_at` is when the destination deletes the first file by itself (UTC), None for
    never."""

    dataset: str
    manifest: str | None
    findings: "tuple[Finding, ...]"
    error: str | None = None
    unnamed: "tuple[Entry, ...]" = ()
    files_expire_at: datetime | None = None

    @property
    def same(self) -> bool:
        """Whether everything is as the manifest says."""
        return self.error is None and all(finding.state == "=" for finding in self.findings)


@click.command()
@flow_argument
@export_time_option
@dataset_option
@click.option("--deep", is_flag=True, help="Read every file, compare its SHA-256 and count its records.")
@json_option
@click.pass_obj
def verify(session: Session, flow: str, text: str, dataset_ids: tuple[str, ...], *, deep: bool, as_json: bool) -> None:
    """Compare what is at the destination with the manifests. Marks: = same, - missing, ! different, + there and named by
    no manifest.

    Exits with 1 on any difference, also when a dataset is not delivered. Files marked + are no difference: they may be
    somebody else's, and those of dead runs go with `sweep`.

    \b
    --json: dataflow, export_time, deep, same, datasets [{dataset, manifest, same, error (null: none), files_expire_at
    (null: never), files [{mark, path, bytes, reason, records (null: not read)}], unnamed [{mark, path, bytes}]}].
    """
    dataflow = session.dataflow(flow)
    datasets = chosen_datasets(dataflow, dataset_ids)
    export_time = delivered_export_time(session, dataflow, text)
    compared = [compare(session, dataflow, dataset, export_time, deep=deep) for dataset in datasets]
    if as_json:
        print_json(
            {
                "dataflow": flow,
                "export_time": iso(export_time),
                "deep": deep,
                "same": all(part.same for part in compared),
                "datasets": [_document(part) for part in compared],
            }
        )
    else:
        for part in compared:
            print_comparison(part)
    require_same(dataflow, export_time, compared)


def compare(
    session: Session, dataflow: "Dataflow", dataset: "Dataset", export_time: datetime, *, deep: bool
) -> Comparison:
    """Compare one export of one dataset with its manifest; see `export.verify.verify`."""
    from dataset_export.cli.manifests import delivered_manifest
    from dataset_export.export.expiry import files_expire_at
    from dataset_export.export.unnamed import unnamed_files
    from dataset_export.export.verify import verify as compare_files

    store: Store = session.store(dataflow)
    store.check()
    try:
        manifest = delivered_manifest(store, dataflow, dataset, export_time, session.ledger(dataflow, dataset))
    except (NotFound, IntegrityError) as error:
        hint = _lifetime(dataflow) if isinstance(error, NotFound) else ""
        return Comparison(dataset.id, None, (), f"{error}{hint}")
    return Comparison(
        dataset.id,
        store.uri(manifest.path),
        tuple(compare_files(store, manifest, deep=deep)),
        unnamed=tuple(unnamed_files(store, manifest)),
        files_expire_at=files_expire_at(manifest),
    )


def print_comparison(part: Comparison) -> None:
    """Print a dataset's manifest and a line for each of its files."""
    click.echo(f"{'=' if part.error is None else '!'} {part.dataset}: {part.manifest or part.error}")
    for finding in part.findings:
        records = f", {finding.rows:,} records" if finding.rows is not None else ""
        what = finding.reason or f"{size(finding.file.bytes)}{records}"
        click.echo(f"  {finding.state} {finding.file.path}  {what}")
    if part.files_expire_at is not None:
        click.echo(f"  deleted by the destination from {iso(part.files_expire_at)} on")
    for entry in part.unnamed:
        click.echo(f"  + {entry.path}  {size(entry.bytes)}, no manifest names it")


def require_same(dataflow: "Dataflow", export_time: datetime, compared: list[Comparison]) -> None:
    """Raise IntegrityError when a dataset differs, naming it and the first thing that is wrong."""
    different = [part for part in compared if not part.same]
    if different:
        first = different[0]
        wrong = [f"{finding.file.path}: {finding.reason}" for finding in first.findings if finding.state != "="]
        raise IntegrityError(
            f"{dataflow.name} at {iso(export_time)}: {len(different)} of {len(compared)} datasets differ, "
            f"first {first.dataset}: {first.error or f'{wrong[0]}; `repair` delivers what is missing or differs'}"
        )


def _lifetime(dataflow: "Dataflow") -> str:
    lifetime = dataflow.destination.files_expire_after
    return f" ({dataflow.destination.id} deletes files {lifetime.days} days after their delivery)" if lifetime else ""


def _document(part: Comparison) -> dict[str, Any]:
    return {
        "dataset": part.dataset,
        "manifest": part.manifest,
        "same": part.same,
        "error": part.error,
        "files_expire_at": iso(part.files_expire_at) if part.files_expire_at is not None else None,
        "files": [
            {
                "mark": str(finding.state),
                "path": finding.file.path,
                "bytes": finding.file.bytes,
                "reason": finding.reason,
                "records": finding.rows,
            }
            for finding in part.findings
        ],
        "unnamed": [{"mark": "+", "path": entry.path, "bytes": entry.bytes} for entry in part.unnamed],
    }
