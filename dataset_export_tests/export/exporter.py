"""Exports without Dagster: a ledger in memory, a store that can die at any call, and a reader who follows manifests."""

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import uuid4

import pyarrow.parquet as pq

from dataset_export.destinations.contract import Store
from dataset_export.encoding.contract import Encoding
from dataset_export.encoding.openpgp_keys import Recipients
from dataset_export.export.dataflow import Behavior, Dataflow, Dataset, DestinationInfo, ExportMode
from dataset_export.export.file_shape import FileShape
from dataset_export.export.folder import FolderTemplate
from dataset_export.export.ledger import Delivered
from dataset_export.export.manifest import Manifest, parse_manifest
from dataset_export.export.plan import Plan, Request, plan_export
from dataset_export.export.publish import Published, publish_export
from dataset_export.export.repair import Depth
from dataset_export.export.schedule import Frequency, make_schedule
from dataset_export.export.stage import StagedFile, stage_shard
from dataset_export.export.table_catalog import TableCatalog
from dataset_export.lake.open import open_table

START = datetime(2026, 11, 1, 8, tzinfo=UTC)


class Killed(BaseException):
    """The process died here. A BaseException, as nothing may catch it and go on."""


@dataclass
class MemoryLedger:
    """What the orchestration would have recorded."""

    records: dict[datetime, Delivered] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    replaced: list[Delivered] = field(default_factory=list)

    def history(self, export_time: datetime) -> list[Delivered]:
        newest = self.at(export_time)
        return [*([newest] if newest else []), *(d for d in reversed(self.replaced) if d.export_time == export_time)]

    def at(self, export_time: datetime) -> Delivered | None:
        return self.records.get(export_time)

    def nearest_before(self, export_time: datetime) -> Delivered | None:
        return max((d for t, d in self.records.items() if t < export_time), key=lambda d: d.export_time, default=None)

    def nearest_after(self, export_time: datetime) -> Delivered | None:
        return min((d for t, d in self.records.items() if t > export_time), key=lambda d: d.export_time, default=None)

    def is_running(self, run_id: str) -> bool:
        return run_id in self.running


CHANGING = ("stage", "publish", "discard", "put", "delete", "discard_leftover")


class MortalStore:
    """A store whose process is killed at the n-th call that changes the destination, before or after it took effect.

    It also kills inside `stage`, after the bytes were sent and before the receipt is out.
    """

    def __init__(self, store: Store, die_at: int | None = None, *, after: bool = False) -> None:
        self._store = store
        self.calls: list[str] = []
        self._die_at = die_at
        self._after = after

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name not in CHANGING:
            return method

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            last = self._die_at is not None and len(self.calls) == self._die_at
            if last and not self._after:
                raise Killed(f"before {name}")
            result = method(*args, **kwargs)
            if last:
                if name == "stage":
                    with result as upload:
                        upload.write(b"half a file")
                        # What a killed process leaves: neither ended nor discarded by the `with` block.
                        result.__class__ = type("Dead", (type(result),), {"__exit__": lambda *_: None})
                        raise Killed("inside stage")
                raise Killed(f"after {name}")
            return result

        return call


@dataclass
class Exporter:
    """One dataset in one hourly dataflow over a store."""

    store: Store
    uri: str
    frequency: str = "0 * * * *"
    mode: ExportMode = ExportMode.INCREMENTAL
    encoding: Encoding = field(default_factory=Encoding)
    behavior: Behavior = Behavior.RECORD
    timestamp_column: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    template: str = "%DATASET_ID%/%EXPORT_TIME%"
    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    recipients: Recipients | None = None
    encrypted_manifest: bool = False
    shape: FileShape = field(default_factory=FileShape)
    format: Literal["delta", "iceberg", "parquet"] = "delta"
    catalog: TableCatalog | None = None
    retention_days: int | None = None

    def __post_init__(self) -> None:
        self.dataset = Dataset(
            id="orders",
            name="Orders",
            behavior=self.behavior,
            uri=self.uri,
            format=self.format,
            catalog=self.catalog,
            retention_days=self.retention_days,
            timestamp_column=self.timestamp_column,
            storage_options=self.options,
        )
        self.dataflow = Dataflow(
            name="hourly",
            datasets=(self.dataset,),
            destination=DestinationInfo(
                id="partner",
                name="Partner",
                type="local",
                manifest=not self.encrypted_manifest,
                recipients=self.recipients,
                encrypted_manifest=self.encrypted_manifest,
            ),
            schedule=make_schedule(Frequency.CRON, START, cron=self.frequency, end="never"),
            folder=FolderTemplate(self.template),
            encoding=self.encoding,
            shape=self.shape,
            mode=self.mode,
        )

    def request(
        self, hour: int, run_id: str | None = None, *, resend: bool = False, repair: Depth | None = None
    ) -> Request:
        """The export time is START + `hour` hours."""
        moment = START + timedelta(hours=hour)
        return Request(self.dataflow, self.dataset, moment, run_id or str(uuid4()), resend, repair)

    def plan(self, request: Request, store: Any = None, now: datetime | None = None) -> Plan:
        due = now or request.export_time + timedelta(minutes=1)
        return plan_export(request, self.ledger, store or self.store, open_table(self.dataset.location()), now=due)

    def stage(self, request: Request, plan: Plan, store: Any = None) -> list[StagedFile]:
        table = open_table(self.dataset.location())
        return [
            receipt
            for shard in plan.shards
            for receipt in stage_shard(request, plan.bounds.upper or 0, shard, store or self.store, table)
        ]

    def publish(self, request: Request, plan: Plan, staged: list[StagedFile], store: Any = None) -> Published:
        return publish_export(request, plan, staged, self.ledger, store or self.store)

    def record(self, published: Published) -> Manifest:
        """What Dagster does once the IO manager has returned."""
        delivered = published.manifest.as_delivered()
        before = self.ledger.at(delivered.export_time)
        if before is not None:
            self.ledger.replaced.append(before)
        self.ledger.records[delivered.export_time] = delivered
        return published.manifest

    def export(
        self,
        hour: int,
        run_id: str | None = None,
        *,
        resend: bool = False,
        repair: Depth | None = None,
        store: Any = None,
        die_unrecorded: bool = False,
    ) -> Manifest:
        request = self.request(hour, run_id, resend=resend, repair=repair)
        self.ledger.running.add(request.run_id)
        try:
            plan = self.plan(request, store)
            published = self.publish(request, plan, self.stage(request, plan, store), store)
            if die_unrecorded:
                raise Killed("before the export was recorded")
            return self.record(published)
        finally:
            self.ledger.running.discard(request.run_id)


def live_manifests(store: Store) -> list[Manifest]:
    """Every manifest that a reader follows: those that no other one supersedes, by export time."""
    found: list[Manifest] = []
    for entry in store.list(""):
        if entry.path.rpartition("/")[2].startswith("manifest-"):
            with store.open(entry.path) as stream:
                found.append(parse_manifest(entry.path, stream.read()))
    superseded = {ref.path for manifest in found for ref in manifest.supersedes}
    live = [manifest for manifest in found if manifest.path not in superseded]
    return sorted(live, key=lambda manifest: (manifest.export_time, manifest.path))


def rows_by_manifest(store: Store, key: str = "id") -> Counter[Any]:
    """The rows that a reader who follows manifests sees, by the column `key`."""
    rows: Counter[Any] = Counter()
    for manifest in live_manifests(store):
        rows += rows_of(store, manifest, key)
    return rows


def rows_of(store: Store, manifest: Manifest, key: str = "id") -> Counter[Any]:
    """The rows of one manifest's files; each is checked against its recorded size and count."""
    rows: Counter[Any] = Counter()
    for file in manifest.files:
        rows += Counter(_values(store, file.path, file.rows, key))
    return rows


def _values(store: Store, path: str, expected: int, key: str) -> list[Any]:
    import gzip
    import io

    with store.open(path) as stream:
        data = stream.read()
    if path.endswith(".json.gz"):
        values = [json.loads(line)[key] for line in gzip.decompress(data).splitlines()]
    else:
        values = pq.read_table(io.BytesIO(data)).column(key).to_pylist()
    assert len(values) == expected
    return values


def visible_data_files(store: Store) -> set[str]:
    return {e.path for e in store.list("") if not e.path.rpartition("/")[2].startswith("manifest-")}


def named_files(store: Store) -> set[str]:
    return {file.path for manifest in live_manifests(store) for file in manifest.files}


def staged_files(store: Store) -> list[str]:
    return [leftover.path for leftover in store.leftovers("")]
