"""The export of one dataset by one dataflow: a partitioned, graph-backed asset, plan → stage* → publish."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from dataset_export.destinations.contract import Store
from dataset_export.errors import UsageError
from dataset_export.export.dataflow import Dataflow, Dataset
from dataset_export.export.plan import Plan, Request, plan_export
from dataset_export.export.publish import publish_export, sent_bytes
from dataset_export.export.repair import Depth
from dataset_export.export.schedule import parse_export_time
from dataset_export.export.shards import Shard
from dataset_export.export.stage import StagedFile, stage_shard
from dataset_export.governance.licenses import Licenses
from dataset_export.governance.limits import too_many_records
from dataset_export.governance.usage import Level
from dataset_export.lake.open import open_table
from dataset_export.orchestration.dead_runs import remember_process
from dataset_export.orchestration.failures import reported
from dataset_export.orchestration.ledger import MaterializationLedger
from dataset_export.orchestration.measured import FORM_KEY, SOURCE_BYTES_KEY
from dataset_export.orchestration.metadata import materialization_metadata
from dataset_export.orchestration.names import REPAIR_TAG, RESEND_TAG, SCHEDULED_TAG, export_key, lake_key, op_name
from dataset_export.orchestration.pools import dataflow_pool, destination_pool
from dataset_export.orchestration.usage import require_entitled, watched_usage

PROGRESS_LOG = logging.getLogger("dataset_export.progress")
"""Gets a record after each step and staged file, with `dataset`, `step`, `files` and `bytes` as extra fields."""


@dataclass(frozen=True)
class PlannedExport:
    """What `plan` hands on: the plan, and when planning began (UTC)."""

    plan: Plan
    started_at: datetime


@dataclass(frozen=True)
class StagedShard:
    """What `stage` hands on: receipts of the files of one shard, in its order."""

    index: int
    receipts: tuple[StagedFile, ...]


@dataclass(frozen=True)
class Delivery:
    """What `publish` hands to the destination's IO manager (a `Deliverable`)."""

    request: Request
    planned: PlannedExport
    staged: tuple[StagedFile, ...]
    ledger: MaterializationLedger
    retry_number: int

    def deliver(self, store: Store) -> Mapping[str, Any]:
        """Publish and return the materialization's metadata; the asset is materialized after that (promise P3)."""
        with reported(self.retry_number):
            published = publish_export(self.request, self.planned.plan, list(self.staged), self.ledger, store)
            _log_progress(self.request, "published", files=published.manifest.document["fileCount"])
            return materialization_metadata(
                self.request,
                published,
                store,
                self.planned.started_at,
                sent=sent_bytes(self.request, published.manifest, self.ledger),
                repair_note=self.planned.plan.repair_note,
                measured=_measured(self.request, self.planned.plan),
            )


def export_asset(
    dataflow: Dataflow, dataset: Dataset, partitions: dg.PartitionsDefinition[str], licenses: Licenses | None = None
) -> dg.AssetsDefinition:
    """Build the asset `[dataflow, dataset]`."""
    plan = _plan_op(dataflow, dataset, licenses)
    stage, publish = (build(dataflow, dataset) for build in (_stage_op, _publish_op))

    @dg.graph_asset(
        key=export_key(dataflow, dataset),
        partitions_def=partitions,
        group_name=dataflow.name,
        kinds={"parquet" if dataflow.encoding.format == "parquet" else "json", _kind(dataflow.destination.type)},
        owners=list(dataflow.shown_owners or dataset.owners),
        description=_description(dataflow, dataset),
        code_version=form_of(dataflow, dataset),
        ins={"lake": dg.AssetIn(lake_key(dataset), dagster_type=dg.Nothing)},
        metadata={
            "destination": dataflow.destination.name,
            **({"owner": dataflow.owner} if dataflow.owner else {}),
            "folder": dataflow.folder.text,
            "schedule": f"{dataflow.schedule.cron} (UTC)",
            "end": dataflow.schedule.end.isoformat() if dataflow.schedule.end else "never",
            **(
                {"encrypted_for": ", ".join(encrypted_for)}
                if (encrypted_for := dataflow.destination.encrypted_for)
                else {}
            ),
        },
    )
    def export(lake: object) -> Any:
        planned, shards = plan(lake)

        def stage_one(shard: object) -> Any:
            return stage(planned, shard)

        return publish(planned, shards.map(stage_one).collect())

    return export


def _plan_op(dataflow: Dataflow, dataset: Dataset, licenses: Licenses | None) -> dg.OpDefinition:
    resource = dataflow.destination.id

    @dg.op(
        name=op_name(dataflow, dataset, "plan"),
        description="Which rows belong to this export, as shards of files.",
        ins={"lake": dg.In(dg.Nothing)},
        out={"planned": dg.Out(PlannedExport), "shards": dg.DynamicOut(Shard)},
        required_resource_keys={resource},
        pool=dataflow_pool(dataflow),
    )
    def plan(context: dg.OpExecutionContext) -> Iterator[Any]:
        started_at = datetime.now(UTC)
        request = _request(context, dataflow, dataset)
        store = getattr(context.resources, resource).store()
        with reported(context.retry_number):
            _require_entitled(context, licenses, started_at)
            table = open_table(dataset.location())
            result = plan_export(request, _ledger(context, request), store, table, now=started_at)
        files = sum(len(shard.files) for shard in result.shards)
        size = sum(file.bytes for shard in result.shards for file in shard.files)
        _log_progress(request, "planned", files=files, size=size)
        context.log.info(
            f"{request}: versions {result.bounds.lower} to {result.bounds.upper}, {files} files in {len(result.shards)} shards"
            + (f"; complete already, by {result.complete}" if result.complete else "")
            + (f"; {result.repair_note}" if result.repair_note else "")
        )
        if result.schema_change is not None:
            context.log.warning(f"{request}: the columns have changed since the last export: {result.schema_change}")
        _warn_of_many_records(context, request, result.source_rows)
        if result.bounds.upper is not None:
            metadata = {"version": result.bounds.upper, "dagster/row_count": table.row_count(result.bounds.upper)}
            context.log_event(
                dg.AssetObservation(lake_key(dataset), metadata={k: v for k, v in metadata.items() if v is not None})
            )
        yield dg.Output(PlannedExport(result, started_at), "planned")
        for shard in result.shards:
            yield dg.DynamicOutput(shard, mapping_key=str(shard.index), output_name="shards")

    return plan


def _stage_op(dataflow: Dataflow, dataset: Dataset) -> dg.OpDefinition:
    @dg.op(
        name=op_name(dataflow, dataset, "stage"),
        description="Encode a shard's files and send their bytes; nothing is visible yet.",
        ins={"planned": dg.In(PlannedExport), "shard": dg.In(Shard)},
        required_resource_keys={dataflow.destination.id},
        pool=destination_pool(dataflow.destination),
    )
    def stage(context: dg.OpExecutionContext, planned: PlannedExport, shard: Shard) -> StagedShard:
        return _staged(context, _request(context, dataflow, dataset), planned, shard)

    return stage


def _publish_op(dataflow: Dataflow, dataset: Dataset) -> dg.OpDefinition:
    @dg.op(
        name=op_name(dataflow, dataset, "publish"),
        description="Make the staged files visible and write the manifest; the destination's IO manager does it.",
        ins={"planned": dg.In(PlannedExport), "staged": dg.In(list)},
        out=dg.Out(io_manager_key=dataflow.destination.id),
        required_resource_keys={dataflow.destination.id},
        pool=dataflow_pool(dataflow),  # as of `plan`, which a run that is executed again from its failure leaves out
    )
    def publish(context: dg.OpExecutionContext, planned: PlannedExport, staged: Sequence[StagedShard]) -> Delivery:
        request = _request(context, dataflow, dataset)
        shards = {shard.index: shard for shard in staged}
        for shard in planned.plan.shards:
            # Re-executing a run that was killed or cancelled, Dagster skips mapped steps that had not started (PR 19521).
            if shard.index not in shards:
                shards[shard.index] = _staged(context, request, planned, shard)
        receipts = tuple(receipt for index in sorted(shards) for receipt in shards[index].receipts)
        if planned.plan.source_rows is None:
            _warn_of_many_records(context, request, sum(receipt.encoded.rows for receipt in receipts))
        return Delivery(request, planned, receipts, _ledger(context, request), context.retry_number)

    return publish


def _staged(context: dg.OpExecutionContext, request: Request, planned: PlannedExport, shard: Shard) -> StagedShard:
    upper = planned.plan.bounds.upper
    if upper is None:
        raise dg.DagsterInvariantViolationError("a plan without versions has no shards")
    with reported(context.retry_number):
        receipts = stage_shard(
            request,
            upper,
            shard,
            getattr(context.resources, request.dataflow.destination.id).store(),
            open_table(request.dataset.location()),
            progress=lambda made: _log_progress(request, "staged", files=1, size=sum(map(_bytes, made))),
        )
    context.log.info(f"{request}: shard {shard.index}, {len(receipts)} files, {sum(map(_bytes, receipts)):,} bytes")
    return StagedShard(shard.index, tuple(receipts))


def _require_entitled(context: dg.OpExecutionContext, licenses: Licenses | None, now: datetime) -> None:
    usage = watched_usage(context.instance, licenses, now)
    if usage is None:
        return
    require_entitled(usage)
    if usage.level is Level.WARN:
        context.log.warning(f"{usage}")


def _warn_of_many_records(context: dg.OpExecutionContext, request: Request, records: int | None) -> None:
    if records is not None and (warning := too_many_records(records)) is not None:
        context.log.warning(f"{request}: {warning}")


def _request(context: dg.OpExecutionContext, dataflow: Dataflow, dataset: Dataset) -> Request:
    run = context.run
    remember_process(context)
    with reported(context.retry_number):
        export_time = parse_export_time(context.partition_key)
        repair = _repair_depth(run.tags)
    return Request(
        dataflow=dataflow,
        dataset=dataset,
        export_time=export_time,
        run_id=run.root_run_id or run.run_id,
        resend=run.tags.get(RESEND_TAG) == "true",
        repair=repair,
        only_missing=run.tags.get(SCHEDULED_TAG) == "true",
    )


def _repair_depth(tags: Mapping[str, str]) -> Depth | None:
    written = tags.get(REPAIR_TAG)
    if written is None:
        return None
    if written not in set(Depth):
        raise UsageError(f"the tag {REPAIR_TAG} is {written!r}; it takes {' or '.join(Depth)}")
    if tags.get(RESEND_TAG) == "true":
        raise UsageError(f"a run has the tag {RESEND_TAG} or {REPAIR_TAG}, not both")
    return Depth(written)


def _ledger(context: dg.OpExecutionContext, request: Request) -> MaterializationLedger:
    return MaterializationLedger(context.instance, export_key(request.dataflow, request.dataset))


def _bytes(receipt: StagedFile) -> int:
    return receipt.staged.bytes if receipt.staged is not None else 0


def _log_progress(request: Request, step: str, *, files: int, size: int = 0) -> None:
    PROGRESS_LOG.info(
        "%s: %s", request, step, extra={"dataset": request.dataset.id, "step": step, "files": files, "bytes": size}
    )


def _description(dataflow: Dataflow, dataset: Dataset) -> str:
    what = f"{dataset.name}, {dataflow.mode} export to {dataflow.destination.name}"
    return "\n\n".join(part for part in (what, dataset.description) if part)


def _measured(request: Request, plan: Plan) -> dict[str, Any] | None:
    """What later estimates are made by; None when not all files were sent, or nobody knows of how large ones."""
    if plan.complete is not None or plan.repair is not None:
        return None
    read = sum(file.bytes for shard in plan.shards for file in shard.files)
    return {SOURCE_BYTES_KEY: read, FORM_KEY: form_of(request.dataflow, request.dataset)}


def form_of(dataflow: Dataflow, dataset: Dataset) -> str:
    """In words: another one for every other form that the same rows would be delivered in."""
    encoding, columns = dataflow.encoding, dataflow.columns_of(dataset)
    chosen = {
        "include": columns.include,
        "exclude": columns.exclude,
        "hash": columns.hash,
        "mask": dict(columns.mask),
        "salt": columns.salt.as_text() if columns.salt is not None else None,
        **(dataflow.shape.document or {}),
    }
    settings = (f"{name} {json.dumps(value, ensure_ascii=False)}" for name, value in chosen.items() if value)
    encrypted = (f"encrypted for {key}" for key in dataflow.destination.encrypted_for)
    return ", ".join((str(encoding.format), str(encoding.compression), *encrypted, *settings))


def _kind(destination_type: str) -> str:
    return {"amazon_s3": "s3"}.get(destination_type, destination_type)
