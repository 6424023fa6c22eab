"""First step of an export: which rows belong to it, and which files they will become.

`plan_export` settles everything before the first byte is staged: the export time is due, the destination answers, what
dead runs left is cleared or adopted, the slice is chosen, the journal is written.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from dataset_export.destinations.contract import Store
from dataset_export.errors import IntegrityError, StalePlan, UsageError
from dataset_export.export.bounds import Bounds, choose_bounds
from dataset_export.export.columns import Columns, columns_document, projection_of
from dataset_export.export.dataflow import Behavior, Dataflow, Dataset, ExportMode
from dataset_export.export.destination_ledger import at_destination
from dataset_export.export.file_names import file_name, name_mark
from dataset_export.export.journal import (
    JournalEntry,
    abandon,
    entry_for,
    read_journal,
    require_entry,
    retire,
    withdraw,
)
from dataset_export.export.ledger import Delivered, Ledger, LedgerWith
from dataset_export.export.manifest import (
    Manifest,
    ManifestRef,
    encrypted_copy_path,
    encryption,
    manifest_path,
    read_manifest,
    schema_columns,
)
from dataset_export.export.repair import Depth, Repair, bad_files, live_base, made_together, mismatch, parts_by_ordinal
from dataset_export.export.schedule import format_export_time
from dataset_export.export.schema_change import SchemaChange
from dataset_export.export.schema_contract import hold_to_contract
from dataset_export.export.shards import PlannedFile, Shard, cut_shards, group_sources
from dataset_export.export.superseded import files_of_live_exports
from dataset_export.lake.table import Slice, Table


@dataclass(frozen=True)
class Request:
    """One export of one dataset: what is asked for.

    Attributes:
        dataflow: with its datasets and destination.
        dataset: one of them.
        export_time: UTC.
        run_id: the root run, the same for all retries of a run.
        resend: deliver again even what a dead run has completely delivered and not recorded.
        repair: deliver again only the files that are missing or differ, found in this depth.
        only_missing: when the export is recorded by now, do not deliver it again but verify and record it once more.
    """

    dataflow: Dataflow
    dataset: Dataset
    export_time: datetime
    run_id: str
    resend: bool = False
    repair: Depth | None = None
    only_missing: bool = False

    @property
    def folder(self) -> str:
        """Of the data files, relative to the destination's folder."""
        return self.dataflow.render_folder(self.dataset, self.export_time)

    @property
    def mark(self) -> str:
        """What all data files of this run carry in their names."""
        return name_mark(self.dataflow.name, self.dataset.id, self.export_time, self.run_id)

    @property
    def manifest_path(self) -> str:
        """Of this run's manifest, relative to the destination's folder."""
        return manifest_path(self.dataflow, self.dataset, self.export_time, self.run_id)

    @property
    def columns(self) -> Columns:
        """Which columns of the dataset are delivered."""
        return self.dataflow.columns_of(self.dataset)

    @property
    def not_before(self) -> datetime | None:
        """Rows of a time_series dataset with an earlier timestamp are left out (spec S10)."""
        if self.dataset.behavior is not Behavior.TIME_SERIES:
            return None
        return self.export_time - timedelta(days=self.dataset.lookback_days)

    def require_planned(self, store: Store) -> None:
        """Raise StalePlan when another run has cleared this one's plan from the journal meanwhile."""
        require_entry(store, self.dataflow.name, self.dataset.id, self.export_time, self.run_id)

    def __str__(self) -> str:
        return f"{self.dataflow.name}/{self.dataset.id} at {format_export_time(self.export_time)}"


@dataclass(frozen=True)
class Plan:
    """What one export will do. Small and picklable: it travels between workers.

    Attributes:
        bounds: the slice's table versions.
        shards: the work; empty when there is nothing new, or when `complete` is set.
        schema: columns of every delivered file, as the manifest writes them.
        source_rows: rows of the sources by the table's statistics; None when a file has none.
        complete: path of a manifest that already proves this export: nothing is sent, it is verified and recorded.
        repair: what is kept of an export of which only some files are sent again.
        repair_note: of a repair, what it found and does, in words.
        schema_change: how the columns differ from those of the export before it; None when they do not.
        columns: what the manifest says of columns that are not delivered as they are; None when nothing is set.
        mode: what the slice is: that of a resend is what it was when it was delivered first.
    """

    bounds: Bounds
    shards: tuple[Shard, ...] = ()
    schema: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    source_rows: int | None = 0
    complete: str | None = None
    repair: Repair | None = None
    repair_note: str | None = None
    schema_change: SchemaChange | None = None
    columns: dict[str, Any] | None = None
    mode: ExportMode = ExportMode.INCREMENTAL


def plan_export(request: Request, ledger: Ledger, store: Store, table: Table, *, now: datetime) -> Plan:
    """Plan an export and write its journal entry.

    Raises:
        UsageError: when the export time is none of the dataflow's or not due.
        StalePlan: when another run is exporting the same right now.
        SchemaChanged: when the columns have changed and the dataflow wants them as they were.
        ConfigError, LakeError, TransientError: as the destination and the lake say.
    """
    ledger = at_destination(ledger, store)
    recorded = ledger.at(request.export_time)
    if recorded is None:
        # What was delivered may be delivered again, also when the schedule has changed since.
        request.dataflow.schedule.check_export_time(request.export_time, now)
    if not request.dataflow.enabled:
        raise UsageError(f"dataflow {request.dataflow.name} is disabled; set enabled: true to export")
    store.check()
    entries = read_journal(store, request.dataflow.name, request.dataset.id)
    unrecorded = clear_journal(request, ledger, store, entries)
    if request.run_id in {delivered.run_id for delivered in unrecorded}:
        return _complete(read_manifest(store, request.manifest_path))
    here = [delivered for delivered in unrecorded if delivered.export_time == request.export_time]
    if here and not request.resend and request.repair is None and recorded is None:
        return _complete(read_manifest(store, here[-1].manifest_path))
    if recorded is not None and request.only_missing and not request.resend and request.repair is None:
        # Somebody was faster: a person, or a tick at the same moment. A manifest that was removed is delivered anew.
        manifest = read_manifest(store, recorded.manifest_path)
        if manifest is not None:
            return _complete(manifest)
    known = LedgerWith(ledger, tuple(unrecorded))
    request = _as_delivered_first(request, recorded)
    own = next(
        (entry for entry in entries if entry.run_id == request.run_id and entry.time == request.export_time), None
    )
    if own is not None:
        if request.dataflow.destination.recipients is not None:
            # No two encryptions are alike: what an earlier try published would stand in the way of what this one stages.
            withdraw(store, own, keep=files_of_live_exports(store, own, entries, ledger))
        plan = _as_journaled(request, own, table)
    else:
        plan, reason = None, None
        if request.repair is not None:
            plan, reason = _plan_repair(request, [*([recorded] if recorded else []), *here], store, table)
            if plan is not None and plan.complete is not None:
                return plan
        if plan is None:
            bounds = find_bounds(request, known, table)
            plan = replace(describe(request, bounds, table), repair_note=reason)
    change = hold_to_contract(request.dataflow, request.dataset, request.export_time, plan.schema, known)
    plan = replace(plan, schema_change=change)
    _journal(request, plan).write(store)
    return plan


def _journal(request: Request, plan: Plan) -> JournalEntry:
    return entry_for(
        request.dataflow.name,
        request.dataset.id,
        request.export_time,
        request.run_id,
        folder=request.folder,
        mark=request.mark,
        manifest_path=request.manifest_path,
        bounds=plan.bounds,
        repairs=(plan.repair.base.path, plan.repair.base.sha256, plan.repair.base.run_id) if plan.repair else None,
        resent=plan.repair.resent if plan.repair else (),
        encrypted_copy=encrypted_copy_path(request.dataflow, request.dataset, request.export_time, request.run_id),
    )


def _as_delivered_first(request: Request, recorded: Delivered | None) -> Request:
    """A resend repeats the recorded slice, which is what the dataflow's mode of then made of it, whatever it is now."""
    if recorded is None or recorded.mode is None:
        return request
    return replace(request, dataflow=replace(request.dataflow, mode=ExportMode(recorded.mode)))


def _as_journaled(request: Request, own: JournalEntry, table: Table) -> Plan:
    """What an earlier try of the same run planned (promise P4)."""
    plan = describe(request, own.bounds, table)
    if own.lower is not None:
        plan = replace(plan, mode=ExportMode.INCREMENTAL)
    if own.repairs is not None:
        return _only(plan, Repair(ManifestRef(*own.repairs), own.resent))
    note = "all files are sent again, as an earlier try of this run began to do" if request.repair is not None else None
    return replace(plan, repair_note=note)


def _plan_repair(
    request: Request, candidates: list[Delivered], store: Store, table: Table
) -> tuple[Plan | None, str | None]:
    """The plan of a repair; None, and why, when all of the export has to be sent again."""
    if not candidates:
        raise UsageError(f"{request} was never delivered, so there is nothing to repair; `run` delivers it")
    base = live_base(store, candidates)
    if base is None:
        return None, "all files are sent again: the manifest is gone or was changed"
    bad = bad_files(store, base, request.repair or Depth.LISTING)
    if not bad:
        return replace(_complete(base), repair_note=f"all {len(base.files)} file(s) whole, nothing sent"), None
    plan, reason = repair_plan(request, base, [file.path for file in bad], table)
    return plan, f"all files are sent again: {reason}" if plan is None else None


def repair_plan(request: Request, base: Manifest, resent: list[str], table: Table) -> tuple[Plan | None, str]:
    """How to make files of an export anew and keep the others; reads the table's log and writes nothing.

    Args:
        request: the repair.
        base: the manifest of the export.
        resent: paths in it.
        table: the source.

    Returns:
        The plan and "", or None and why all of the export has to be sent again, in words.
    """
    plan = describe(request, base.bounds, table)
    files = [file for shard in plan.shards for file in shard.files]
    reason = mismatch(
        base,
        {
            "format": str(request.dataflow.encoding.format),
            "compression": str(request.dataflow.encoding.compression),
            "encryption": encryption(request.dataflow.destination.recipients),
            "exportMode": str(request.dataflow.mode),
            "fileShape": request.dataflow.shape.document,
            "columns": plan.columns,
            "schema": plan.schema,
        },
        {file.path: file.rows for file in files},
        all_rows=request.not_before is None and not any(file.minus for file in files),
    )
    if reason is not None:
        return None, reason
    return _only(plan, Repair(ManifestRef(base.path, base.sha256, base.run_id), made_together(base, resent))), ""


def _only(plan: Plan, repair: Repair) -> Plan:
    wanted = parts_by_ordinal(repair.resent) or {}
    files = parts_by_ordinal(file.path for shard in plan.shards for file in shard.files) or {}
    again = {path for ordinal in wanted for path in files[ordinal]}
    return replace(
        plan,
        shards=cut_shards(file for shard in plan.shards for file in shard.files if file.path in again),
        repair=repair,
        repair_note=f"{len(repair.resent)} file(s) sent again, the others kept",
    )


def find_bounds(request: Request, ledger: Ledger, table: Table) -> Bounds:
    """The table versions of the slice, by the ledger and the table as it is now."""

    def newest_before(moment: datetime, at_least: int | None) -> int | None:
        version = table.newest_before(moment, at_least=at_least)
        return version.number if version else None

    full = request.dataflow.mode is ExportMode.FULL
    bounds = choose_bounds(ledger, request.export_time, newest_before, full=full)
    again, before = ledger.at(request.export_time), None if full else ledger.nearest_before(request.export_time)
    if again is not None and again.upper is not None:
        table.require(again.upper, again.fingerprint, again.lower)
    elif again is None and before is not None and before.upper is not None:
        table.require(before.upper, before.fingerprint, before.upper)
    return bounds


def describe(request: Request, bounds: Bounds, table: Table) -> Plan:
    """The files of a slice, cut into shards; reads the table's log and writes nothing.

    Raises:
        ConfigError: when the dataflow names columns that the table does not have.
        VersionGone: when the upper version is not what it was when it was planned first.
    """
    if bounds.upper is not None and bounds.fingerprint is not None:
        table.require(bounds.upper, bounds.fingerprint, bounds.lower)
    elif bounds.upper is not None:
        bounds = replace(bounds, fingerprint=table.fingerprint(bounds.upper))
    part = (
        Slice(bounds.lower, bounds.upper)
        if bounds.upper is None or bounds.lower == bounds.upper
        else table.slice(bounds.lower, bounds.upper)
    )
    plan = Plan(
        bounds=bounds,
        shards=cut_shards(_planned_files(request, part)),
        source_rows=part.added_rows,
        mode=request.dataflow.mode,
    )
    if bounds.upper is None:
        return plan
    projection = projection_of(request.columns, table.schema(bounds.upper), str(request))
    return replace(
        plan, schema=schema_columns(projection.schema), columns=columns_document(request.columns, projection)
    )


def clear_journal(request: Request, ledger: Ledger, store: Store, entries: list[JournalEntry]) -> list[Delivered]:
    """Settle what earlier runs left in the journal, and return complete exports that the ledger does not know.

    Recorded exports are forgotten; dead and unfinished ones of this export time are removed (promise P6); those of
    other export times are left to their own retry.

    Raises:
        StalePlan: when another run is exporting the same right now.
    """
    unrecorded: list[Delivered] = []
    for entry in entries:
        if entry.run_id == request.run_id:
            manifest = read_manifest(store, entry.manifest_path) if entry.time == request.export_time else None
            unrecorded += [manifest.as_delivered()] if manifest else []
            continue
        recorded = ledger.at(entry.time)
        if recorded is not None and recorded.run_id == entry.run_id:
            if not ledger.is_running(entry.run_id):
                retire(store, entry)  # it may have been executed again after it was recorded, and killed
            continue
        if ledger.is_running(entry.run_id):
            if entry.time == request.export_time:
                raise StalePlan(f"run {entry.run_id} is exporting {request} right now; wait for it or cancel it")
            continue
        manifest = read_manifest(store, entry.manifest_path)
        if manifest is not None:
            unrecorded.append(manifest.as_delivered())
        elif entry.time == request.export_time:
            abandon(store, entry, keep=files_of_live_exports(store, entry, entries, ledger))
    return unrecorded


def _complete(manifest: Manifest | None) -> Plan:
    if manifest is None:
        raise IntegrityError("a manifest vanished from the destination while it was read; try again")
    return Plan(bounds=manifest.bounds, schema=list(manifest.document["schema"]), complete=manifest.path)


def _planned_files(request: Request, part: Slice) -> list[PlannedFile]:
    folder = f"{request.folder}/" if request.folder else ""
    beginning = request.dataflow.render_file_name(request.dataset, request.export_time)
    mark, ending = request.mark, request.dataflow.ending
    groups = group_sources(part, request.dataflow.shape.target_bytes_per_file)
    return [
        PlannedFile(folder + file_name(beginning, mark, ordinal, ending), sources, part.removed)
        for ordinal, sources in enumerate(groups)
    ]
