"""`plan`: what an export would deliver, seen in the lake, the ledger and the destination. Writes to none of them."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import accumulate
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
from dataset_export.cli.terminal import iso, note, print_json, print_table, size

if TYPE_CHECKING:
    from dataset_export.destinations.contract import Store
    from dataset_export.encoding.contract import Limits, Target
    from dataset_export.export.dataflow import Dataflow, Dataset
    from dataset_export.export.estimate import Estimate, Measured
    from dataset_export.export.ledger import Delivered, Ledger
    from dataset_export.export.plan import Plan, Request
    from dataset_export.export.schema_change import SchemaChange
    from dataset_export.export.shards import PlannedFile
    from dataset_export.lake.table import Table

FOOTERS = 200
"""The way a file is encoded is read from its footer: for at most so many files of a dataset."""

PLANNING_RUN = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class Outlook:
    """What one export of one dataset would do, and how its columns differ from those of the export before."""

    request: "Request"
    plan: "Plan"
    delivered: "Delivered | None"
    ways: dict[str, str]
    schema_change: "SchemaChange | None"
    measured: "Sequence[Measured]" = ()

    @property
    def files(self) -> "list[PlannedFile]":
        """All files, in name order."""
        return [file for shard in self.plan.shards for file in shard.files]

    def estimate(self, *files: "PlannedFile") -> "Estimate":
        """What some of the files will become."""
        from dataset_export.encoding.contract import Way
        from dataset_export.export.estimate import estimate

        ways = {path: Way(way) for path, way in self.ways.items()}
        return estimate([(file.bytes, ways.get(file.path)) for file in files], self.measured)

    @property
    def state(self) -> str:
        """`to deliver`, `nothing new`, or `delivered` (a resend would deliver the same slice again)."""
        if self.delivered is not None:
            return "delivered"
        return "to deliver" if self.files else "nothing new"

    @property
    def warnings(self) -> list[str]:
        """What a person should know before it is delivered."""
        from dataset_export.governance.limits import too_many_records

        warning = too_many_records(self.plan.source_rows or 0)
        return [warning] if warning is not None else []


@click.command()
@flow_argument
@export_time_option
@dataset_option
@json_option
@click.pass_obj
def plan(session: Session, flow: str, text: str, dataset_ids: tuple[str, ...], as_json: bool) -> None:
    """Show what an export would deliver, and how.

    Reads the lake, what was recorded and the destination; writes nothing. Rows and bytes are those of the lake's files,
    before rows that are too old or not new are left out. A file's name depends on the run, so its sources are shown. What
    there is to send, and how long it takes, is estimated by earlier exports of the same in the same form; before there
    are any, by what each way usually takes.

    \b
    --json: dataflow, export_time, datasets [{dataset, state, versions {from, to}, files, rows (null: not known), bytes,
    shards, folder, warnings [text], estimate {bytes, seconds, exports (how many were measured; 0: by defaults)},
    file_list [{sources, bytes, rows, way (null: not known), estimate {bytes, seconds}}], columns (null: all of
    them; else as in the manifest), schema_change (null: none; else as in the manifest)}]. state is "to deliver", "nothing new" or "delivered".
    """
    from dataset_export.export.columns import columns_in_words

    dataflow = session.dataflow(flow)
    datasets = chosen_datasets(dataflow, dataset_ids)
    export_time = delivered_export_time(session, dataflow, text)
    store = session.store(dataflow)
    store.check()
    found = [_look(session, dataflow, dataset, export_time, store) for dataset in datasets]
    if as_json:
        print_json(
            {"dataflow": flow, "export_time": iso(export_time), "datasets": [_document(outlook) for outlook in found]}
        )
        return
    print_table(
        ["dataset", "state", "versions", "files", "rows", "bytes", "shards", "ways", "to send", "takes about"],
        [_row(outlook) for outlook in found],
        right=["files", "rows", "bytes", "shards", "to send", "takes about"],
    )
    for outlook in found:
        if outlook.plan.columns is not None:
            note(f"note: columns of {outlook.request.dataset.id}: {columns_in_words(outlook.plan.columns)}")
        if outlook.schema_change is not None:
            note(f"note: the columns of {outlook.request.dataset.id} have changed: {outlook.schema_change}")
        for warning in outlook.warnings:
            note(f"warning: {outlook.request.dataset.id}: {warning}")


def _look(session: Session, dataflow: "Dataflow", dataset: "Dataset", export_time: datetime, store: "Store") -> Outlook:
    from dataset_export.export.ledger import LedgerWith
    from dataset_export.export.plan import Request, describe, find_bounds
    from dataset_export.export.schema_contract import hold_to_contract
    from dataset_export.lake.open import open_table
    from dataset_export.orchestration.export_asset import form_of
    from dataset_export.orchestration.measured import measured_exports
    from dataset_export.orchestration.names import export_key

    request = Request(dataflow, dataset, export_time, PLANNING_RUN)
    recorded = session.ledger(dataflow, dataset)
    ledger = LedgerWith(recorded, tuple(_unrecorded(request, recorded, store)))
    table = open_table(dataset.location())
    described = describe(request, find_bounds(request, ledger, table), table)
    change = hold_to_contract(dataflow, dataset, export_time, described.schema, ledger)
    ways = _ways(request, described, table)
    measured = measured_exports(session.instance, export_key(dataflow, dataset), form_of(dataflow, dataset))
    return Outlook(request, described, ledger.at(export_time), ways, change, measured)


def _unrecorded(request: "Request", ledger: "Ledger", store: "Store") -> "list[Delivered]":
    """Complete exports of dead runs that nothing has recorded yet: the next run adopts them."""
    from dataset_export.export.journal import read_journal
    from dataset_export.export.manifest import read_manifest

    found: list[Delivered] = []
    for entry in read_journal(store, request.dataflow.name, request.dataset.id):
        known = ledger.at(entry.time)
        if (known is not None and known.run_id == entry.run_id) or ledger.is_running(entry.run_id):
            continue
        manifest = read_manifest(store, entry.manifest_path)
        found += [manifest.as_delivered()] if manifest is not None else []
    return found


def _ways(request: "Request", described: "Plan", table: "Table") -> dict[str, str]:
    """Path of a planned file to the way it will be encoded, where the footers of its sources are few enough to ask."""
    from dataset_export.encoding.contract import Format
    from dataset_export.export.stage import target_of

    files = [file for shard in described.shards for file in shard.files]
    upper = described.bounds.upper
    if upper is None or not files:
        return {}
    target = target_of(request, table.schema(upper))
    limits = request.dataflow.shape.limits(request.dataflow.destination.recipients)
    asked = files if target.encoding.format is Format.JSON else _few_footers(files)
    with ThreadPoolExecutor(8, thread_name_prefix="footers") as pool:
        ways = pool.map(partial(_way, target=target, limits=limits, table=table, upper=upper), asked)
    return {file.path: way for file, way in zip(files, ways, strict=False)}


def _few_footers(files: "list[PlannedFile]") -> "list[PlannedFile]":
    """The first files, of at most `FOOTERS` sources together."""
    sources = accumulate(len(file.sources) for file in files)
    return [file for file, count in zip(files, sources, strict=True) if count <= FOOTERS]


def _way(file: "PlannedFile", target: "Target", limits: "Limits", table: "Table", upper: int) -> str:
    from dataset_export.encoding.encode import way_of_files
    from dataset_export.export.stage import source_of

    sources = [source_of(one, target, table, upper) for one in file.sources]
    minus = [source_of(one, target, table, upper) for one in file.minus]
    return str(way_of_files(sources, target, limits, minus))


def _row(outlook: Outlook) -> list[str]:
    bounds, rows = outlook.plan.bounds, outlook.plan.source_rows
    lower = "start" if bounds.lower is None else str(bounds.lower)
    expected = outlook.estimate(*outlook.files)
    ways = Counter(outlook.ways.get(file.path, "not known") for file in outlook.files)
    return [
        outlook.request.dataset.id,
        outlook.state,
        "none" if bounds.upper is None else f"{lower} → {bounds.upper}",
        str(len(outlook.files)),
        "not known" if rows is None else f"{rows:,}",
        size(sum(file.bytes for file in outlook.files)),
        str(len(outlook.plan.shards)),
        ", ".join(f"{way} {count}" for way, count in sorted(ways.items())),
        f"≈ {size(expected.bytes)}" if outlook.files else "",
        f"{max(1, round(expected.seconds)):,} s" if outlook.files else "",
    ]


def _document(outlook: Outlook) -> dict[str, Any]:
    return {
        "dataset": outlook.request.dataset.id,
        "state": outlook.state,
        "versions": {"from": outlook.plan.bounds.lower, "to": outlook.plan.bounds.upper},
        "files": len(outlook.files),
        "rows": outlook.plan.source_rows,
        "bytes": sum(file.bytes for file in outlook.files),
        "shards": len(outlook.plan.shards),
        "folder": outlook.request.folder,
        "warnings": outlook.warnings,
        "estimate": _estimate_document(outlook, *outlook.files) | {"exports": len(outlook.measured)},
        "file_list": [_file_document(file, outlook) for file in outlook.files],
        "columns": outlook.plan.columns,
        "schema_change": outlook.schema_change.document if outlook.schema_change is not None else None,
    }


def _estimate_document(outlook: Outlook, *files: "PlannedFile") -> dict[str, Any]:
    expected = outlook.estimate(*files)
    return {"bytes": expected.bytes, "seconds": round(expected.seconds, 3)}


def _file_document(file: "PlannedFile", outlook: Outlook) -> dict[str, Any]:
    return {
        "sources": [source.path for source in file.sources],
        "bytes": file.bytes,
        "rows": file.rows,
        "way": outlook.ways.get(file.path),
        "estimate": _estimate_document(outlook, file),
    }
