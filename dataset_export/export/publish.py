"""Last step of an export: make the staged files visible, write the manifest, remove what it supersedes.

The order is the promise: every staged file is confirmed before the first is visible (P1), the manifest comes after the
last (P2), what a resend replaces goes after that (P5), and the caller records the export only when this returns (P3).
Each step may be repeated after a crash at any point (P4).
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime

from dataset_export.destinations.contract import Staged, Store
from dataset_export.encoding.contract import Encoded
from dataset_export.encoding.openpgp import ENCRYPTED_ENDING, encrypt
from dataset_export.errors import IntegrityError, StalePlan
from dataset_export.export.bounds import still_valid
from dataset_export.export.dataflow import ExportMode
from dataset_export.export.destination_ledger import at_destination
from dataset_export.export.expiry import expiring
from dataset_export.export.file_names import name_mark
from dataset_export.export.journal import read_journal
from dataset_export.export.ledger import Delivered, Ledger, LedgerWith
from dataset_export.export.manifest import (
    DeliveredFile,
    Manifest,
    ManifestRef,
    build_manifest,
    read_manifest,
    require_manifest,
)
from dataset_export.export.plan import Plan, Request
from dataset_export.export.repair import repaired_files, require_same_export
from dataset_export.export.stage import StagedFile
from dataset_export.export.superseded import exists, remove_superseded, replaced_by
from dataset_export.export.verify import require_whole


@dataclass(frozen=True)
class Published:
    """A complete export: its manifest, and whether this run sent it or found it complete (`adopted`)."""

    manifest: Manifest
    adopted: bool = False


def publish_export(request: Request, plan: Plan, staged: list[StagedFile], ledger: Ledger, store: Store) -> Published:
    """Complete an export.

    Args:
        request: the export.
        plan: what `plan_export` decided.
        staged: receipts of all shards.
        ledger: read again now, not the one of the plan.
        store: the destination.

    Raises:
        StalePlan: when another export was recorded meanwhile so that the plan would lose or repeat rows, or another run
            has cleared the plan; nothing is visible then.
        IntegrityError: when receipts are missing, staged bytes are not what was sent, or an adopted export is not whole.
        Conflict, ConfigError, TransientError: as the store says.
    """
    if plan.complete is not None:
        manifest = require_manifest(store, plan.complete)
        require_whole(store, manifest)
        _put_encrypted_copy(request, manifest, store)
        remove_superseded(store, manifest, request.folder)
        return Published(manifest, adopted=manifest.run_id != request.run_id)
    ledger = at_destination(ledger, store)
    manifest = read_manifest(store, request.manifest_path)
    if manifest is None:
        request.require_planned(store)
        _require_all_staged(request, plan, staged)
        _require_same_recipients(request, staged)
        _require_same_columns(request, plan, staged)
        others = _unrecorded(request, store)
        known = LedgerWith(ledger, tuple(other.as_delivered() for other in others))
        _refuse_stale(request, plan, known)
        receipts = [file.staged for file in staged if file.staged is not None]
        manifest = _manifest(request, plan, staged, store, ledger=known, others=others)
        in_parallel(store.confirm, receipts)
        in_parallel(store.publish, receipts)
        if request.dataflow.destination.recipients is not None:
            in_parallel(store.confirm, receipts)  # a process that was thought dead may have published other bytes
        if plan.repair is not None:
            require_whole(store, manifest)  # what was good when the repair was planned still is
        manifest = expiring(store, manifest, request.dataflow.destination.files_expire_after)
        store.put(manifest.path, manifest.bytes)
    _put_encrypted_copy(request, manifest, store)
    remove_superseded(store, manifest, request.folder)
    return Published(manifest)


def sent_bytes(request: Request, manifest: Manifest, ledger: Ledger) -> int:
    """Bytes of an export that count as delivered when it is recorded now (spec S9).

    Files that a repair kept were counted when they were sent, and an export that is recorded already was counted then.
    """
    if any(delivered.manifest_sha256 == manifest.sha256 for delivered in ledger.history(request.export_time)):
        return 0
    mark = name_mark(request.dataflow.name, request.dataset.id, request.export_time, manifest.run_id)
    return sum(file.bytes for file in manifest.files if mark in file.path)


def _require_all_staged(request: Request, plan: Plan, staged: list[StagedFile]) -> None:
    planned = {file.path for shard in plan.shards for file in shard.files}
    made = {file.planned for file in staged}
    if made != planned or len({(file.planned, file.staged and file.staged.path) for file in staged}) != len(staged):
        raise IntegrityError(
            f"{request}: {len(made & planned)} of {len(planned)} files are staged; nothing was made visible, run this export time again"
        )


def _require_same_recipients(request: Request, staged: list[StagedFile]) -> None:
    """The keys may have been exchanged between two tries of a run, and the manifest names one set of them."""
    expected = request.dataflow.destination.encrypted_for
    receipts = [(file.encrypted_for, file.staged.path) for file in staged if file.staged is not None]
    if any(keys != expected or path.endswith(ENCRYPTED_ENDING) != bool(expected) for keys, path in receipts):
        raise StalePlan(
            f"{request}: the OpenPGP keys of {request.dataflow.destination.id} have changed since this run "
            "began; nothing was made visible, start a new run instead of executing this one again"
        )


def _require_same_columns(request: Request, plan: Plan, staged: list[StagedFile]) -> None:
    """The settings may have been changed between two tries of a run, and the manifest tells of one set of them."""
    if any(file.columns != plan.columns for file in staged):
        raise StalePlan(
            f"{request}: the columns that {request.dataflow.name} delivers have changed since this run began; nothing was "
            "made visible, start a new run instead of executing this one again"
        )


def _put_encrypted_copy(request: Request, manifest: Manifest, store: Store) -> None:
    """Let readers see the manifest, where that is encrypted. One that is there stays: it was written whole."""
    path, recipients = manifest.encrypted_copy, request.dataflow.destination.recipients
    if path is None or exists(store, path):
        return
    if recipients is None or list(recipients.fingerprints) != manifest.document["encryption"]["recipients"]:
        raise StalePlan(
            f"{request}: the OpenPGP keys of {request.dataflow.destination.id} have changed before its encrypted manifest "
            "was written; `resend` delivers this export time anew"
        )
    store.put(path, encrypt(recipients, manifest.bytes))


def in_parallel(action: Callable[[Staged], None], receipts: list[Staged]) -> None:
    """Do something to every staged file, several at a time; the first error is raised after all have ended."""
    if not receipts:
        return
    with ThreadPoolExecutor(min(len(receipts), 4 * (os.cpu_count() or 1)), thread_name_prefix="publish") as pool:
        for future in [pool.submit(action, receipt) for receipt in receipts]:
            future.result()


def _unrecorded(request: Request, store: Store) -> list[Manifest]:
    """Complete exports by other runs that are still in the journal; the ledger may or may not know them."""
    entries = read_journal(store, request.dataflow.name, request.dataset.id)
    found = [read_manifest(store, entry.manifest_path) for entry in entries if entry.run_id != request.run_id]
    return [manifest for manifest in found if manifest is not None]


def _refuse_stale(request: Request, plan: Plan, ledger: Ledger) -> None:
    full = plan.mode is ExportMode.FULL
    if not still_valid(plan.bounds, ledger, request.export_time, full=full):
        raise StalePlan(
            f"{request}: another export of this dataset was recorded since this one was planned; nothing was made visible, "
            "run it again and it will be planned anew"
        )


def _manifest(
    request: Request, plan: Plan, staged: list[StagedFile], store: Store, *, ledger: Ledger, others: list[Manifest]
) -> Manifest:
    recorded = ledger.at(request.export_time)
    replaced = [other.as_delivered() for other in others if other.export_time == request.export_time]
    if recorded is not None:
        replaced.append(recorded)
    previous = ledger.nearest_before(request.export_time)
    delivered = [_delivered(file.staged, file.encoded) for file in staged if file.staged is not None]
    excluded = sum(file.encoded.excluded for file in staged)
    carried_over = sum(file.encoded.carried_over for file in staged)
    base = plan.repair.read_base(store) if plan.repair is not None else None
    if plan.repair is not None and base is not None:
        delivered = repaired_files(base, plan.repair.resent, delivered)
        excluded = sum(item["recordCount"] for item in base.document["excludedRecords"])
        carried_over = base.document["carriedOverRecordCount"]
    manifest = build_manifest(
        replace(request.dataflow, mode=plan.mode),
        request.dataset,
        path=request.manifest_path,
        export_time=request.export_time,
        run_id=request.run_id,
        bounds=plan.bounds,
        delivered=delivered,
        excluded=excluded,
        carried_over=carried_over,
        schema=plan.schema,
        schema_change=plan.schema_change,
        columns=plan.columns,
        previous=_ref(previous) if previous else None,
        supersedes=replaced_by(store, request.manifest_path, replaced, ledger),
    )
    if base is not None:
        require_same_export(base, manifest)
    return manifest


def _delivered(staged: Staged, encoded: Encoded) -> DeliveredFile:
    return DeliveredFile(
        path=staged.path,
        bytes=staged.bytes,
        sha256=staged.sha256,
        rows=encoded.rows,
        first_timestamp=_iso(encoded.first_timestamp),
        last_timestamp=_iso(encoded.last_timestamp),
        way=str(encoded.way),
    )


def _ref(delivered: Delivered) -> ManifestRef:
    return ManifestRef(delivered.manifest_path, delivered.manifest_sha256, delivered.run_id)


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment is not None else None
