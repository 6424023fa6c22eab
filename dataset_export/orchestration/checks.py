"""Asset checks of an export: they read the destination and compare it with the manifest and the lake's log."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from dataset_export.destinations.contract import Store
from dataset_export.errors import ExportError, NotFound, TransientError
from dataset_export.export.dataflow import Dataflow, Dataset
from dataset_export.export.destination_ledger import at_destination
from dataset_export.export.manifest import Manifest, require_manifest
from dataset_export.export.schedule import parse_export_time
from dataset_export.export.verify import Finding, State, verify
from dataset_export.lake.open import open_table
from dataset_export.orchestration.failures import MAX_RETRIES, reported
from dataset_export.orchestration.ledger import MaterializationLedger
from dataset_export.orchestration.names import export_key, op_name

FILES_MATCH_MANIFEST = "files_match_manifest"
RECORDS_RECONCILE = "records_reconcile"
SCHEMA_UNCHANGED = "schema_unchanged"


def export_checks(
    dataflow: Dataflow, dataset: Dataset, partitions: dg.PartitionsDefinition[str]
) -> dg.AssetChecksDefinition:
    """The checks of `[dataflow, dataset]`: `files_match_manifest` (blocking), `records_reconcile`, and
    `schema_unchanged`, which only warns.

    The first two need every byte of what was delivered, so one step reads it once and answers both.
    """
    key = export_key(dataflow, dataset)
    specs = [
        dg.AssetCheckSpec(
            FILES_MATCH_MANIFEST,
            asset=key,
            description="Every file of the manifest is at the destination, with its size and SHA-256.",
            blocking=True,
            partitions_def=partitions,
        ),
        dg.AssetCheckSpec(
            RECORDS_RECONCILE,
            asset=key,
            description="Records of the slice by the lake's log = delivered + excluded + carried over, and the delivered "
            "ones, counted in the files, are as many as the manifest says.",
            partitions_def=partitions,
        ),
        dg.AssetCheckSpec(
            SCHEMA_UNCHANGED,
            asset=key,
            description="The columns are those of the export before. A warning: what is done about a change is the "
            f"dataflow's on_schema_change, which is {dataflow.on_schema_change}.",
            partitions_def=partitions,
        ),
    ]

    @dg.multi_asset_check(
        name=op_name(dataflow, dataset, "check"),
        specs=specs,
        can_subset=True,
        required_resource_keys={dataflow.destination.id},
    )
    def check(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        store: Store = getattr(context.resources, dataflow.destination.id).store()
        selected = {selected.name for selected in context.selected_asset_check_keys}
        try:
            manifest = _recorded_manifest(context, dataflow, dataset, store)
            findings = verify(store, manifest, deep=True) if selected != {SCHEMA_UNCHANGED} else []
            answers = {
                FILES_MATCH_MANIFEST: lambda: _files_match(key, store, manifest, findings),
                RECORDS_RECONCILE: lambda: _records_reconcile(key, dataset, manifest, findings),
                SCHEMA_UNCHANGED: lambda: _schema_unchanged(key, manifest),
            }
            results = [answer() for name, answer in answers.items() if name in selected]
        except ExportError as error:
            if isinstance(error, TransientError) and context.retry_number < MAX_RETRIES:
                with reported(context.retry_number):
                    raise
            results = [_result(key, name, passed=False, description=str(error)) for name in sorted(selected)]
        yield from results

    return check


def _files_match(key: dg.AssetKey, store: Store, manifest: Manifest, findings: list[Finding]) -> dg.AssetCheckResult:
    wrong = [finding for finding in findings if finding.state is not State.SAME]
    return _result(
        key,
        FILES_MATCH_MANIFEST,
        passed=not wrong,
        description=f"{len(findings) - len(wrong)} of {len(findings)} files as the manifest says",
        metadata={"files": len(findings), "manifest": store.uri(manifest.path), **_reasons(wrong)},
    )


def _records_reconcile(
    key: dg.AssetKey, dataset: Dataset, manifest: Manifest, findings: list[Finding]
) -> dg.AssetCheckResult:
    try:
        expected = _slice_rows(dataset, manifest)
    except TransientError:
        raise  # that the lake cannot be reached says nothing about the export
    except ExportError as error:
        return _result(key, RECORDS_RECONCILE, passed=False, description=str(error))
    document = manifest.document
    # Encrypted files cannot be read here: their records were counted while they were made.
    counted = (
        sum(file.rows for file in manifest.files)
        if manifest.encrypted
        else sum(finding.rows or 0 for finding in findings)
    )
    excluded = sum(item["recordCount"] for item in document["excludedRecords"])
    carried_over = document["carriedOverRecordCount"]
    known = document["sourceRecordCount"] if expected is None else expected
    return _result(
        key,
        RECORDS_RECONCILE,
        passed=counted + excluded + carried_over == known and counted == document["recordCount"],
        description=f"{counted:,} {'counted while encoding' if manifest.encrypted else 'counted in the files'} + {excluded:,} excluded + {carried_over:,} carried over, of {known:,}",
        metadata={
            "counted_while_encoding" if manifest.encrypted else "counted_in_files": counted,
            "excluded": excluded,
            "carried_over": carried_over,
            "in_slice": known,
            "slice_counted_by": "the lake's log" if expected is not None else "the manifest: the log has no counts",
        },
    )


def _schema_unchanged(key: dg.AssetKey, manifest: Manifest) -> dg.AssetCheckResult:
    change = manifest.schema_change
    return _result(
        key,
        SCHEMA_UNCHANGED,
        passed=change is None,
        description="the columns are those of the export before" if change is None else str(change),
        metadata={"schema_change": change.document} if change is not None else None,
    )


def _result(
    key: dg.AssetKey, name: str, *, passed: bool, description: str, metadata: dict[str, Any] | None = None
) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=name,
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN if name == SCHEMA_UNCHANGED else dg.AssetCheckSeverity.ERROR,
        description=description,
        metadata=metadata or {},
    )


def _recorded_manifest(
    context: dg.AssetCheckExecutionContext, dataflow: Dataflow, dataset: Dataset, store: Store
) -> Manifest:
    export_time = parse_export_time(context.partition_key)
    ledger = at_destination(MaterializationLedger(context.instance, export_key(dataflow, dataset)), store)
    recorded = ledger.at(export_time)
    if recorded is None:
        if (other := ledger.elsewhere(export_time)) is not None:
            raise NotFound(
                f"{dataflow.name}/{dataset.id} at {context.partition_key} was delivered to {other}, which is not the "
                "dataflow's destination any more; set that back to check it"
            )
        raise NotFound(f"{dataflow.name}/{dataset.id} at {context.partition_key} is not materialized; run it first")
    return require_manifest(store, recorded.manifest_path)


def _slice_rows(dataset: Dataset, manifest: Manifest) -> int | None:
    bounds = manifest.bounds
    if bounds.upper is None or bounds.lower == bounds.upper:
        return 0
    return open_table(dataset.location()).slice(bounds.lower, bounds.upper).added_rows


def _reasons(wrong: list[Finding]) -> dict[str, Any]:
    if not wrong:
        return {}
    lines = [f"{finding.state} {finding.file.path}: {finding.reason}" for finding in wrong[:100]]
    return {"wrong": dg.MetadataValue.md("\n".join(f"- `{line}`" for line in lines))}
