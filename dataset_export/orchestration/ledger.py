"""The ledger kept as materialization metadata (design: "The ledger is the materializations' metadata")."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from dataset_export.destinations.io_manager import MANIFEST_PATH_KEY
from dataset_export.export.ledger import Delivered
from dataset_export.export.schedule import format_export_time, parse_export_time
from dataset_export.export.type_text import Column

MANIFEST_SHA256_KEY = "manifest_sha256"
TABLE_VERSIONS_KEY = "table_versions"
RUN_ID_KEY = "delivered_by_run"
COLUMN_SCHEMA_KEY = "dagster/column_schema"

HISTORY = 1_000

UNFINISHED = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]


@dataclass(frozen=True)
class MaterializationLedger:
    """The exports recorded for one asset in a Dagster instance."""

    instance: dg.DagsterInstance
    key: dg.AssetKey

    def at(self, export_time: datetime) -> Delivered | None:
        """See `export.ledger.Ledger.at`."""
        found = self._records(export_time, limit=1)
        return found[0] if found else None

    def history(self, export_time: datetime) -> list[Delivered]:
        """See `export.ledger.Ledger.history`; of more than `HISTORY` materializations, the newest."""
        return [delivered for delivered in self._records(export_time, limit=HISTORY) if delivered is not None]

    def nearest_before(self, export_time: datetime) -> Delivered | None:
        """See `export.ledger.Ledger.nearest_before`."""
        earlier = [time for time in self._recorded() if time < export_time]
        return self.at(max(earlier)) if earlier else None

    def nearest_after(self, export_time: datetime) -> Delivered | None:
        """See `export.ledger.Ledger.nearest_after`."""
        later = [time for time in self._recorded() if time > export_time]
        return self.at(min(later)) if later else None

    def is_running(self, run_id: str) -> bool:
        """See `export.ledger.Ledger.is_running`; a run is going on while it or one of its retries is."""
        if self.instance.get_runs(RunsFilter(run_ids=[run_id], statuses=UNFINISHED), limit=1):
            return True
        retries = RunsFilter(tags={"dagster/root_run_id": run_id}, statuses=UNFINISHED)
        return bool(self.instance.get_runs(retries, limit=1))

    def _records(self, export_time: datetime, *, limit: int) -> list[Delivered | None]:
        wanted = dg.AssetRecordsFilter(asset_key=self.key, asset_partitions=[format_export_time(export_time)])
        records = self.instance.fetch_materializations(wanted, limit=limit).records
        events = [record.asset_materialization for record in records]
        return [delivered_from(export_time, event.metadata) for event in events if event is not None]

    def _recorded(self) -> list[datetime]:
        return [parse_export_time(key) for key in self.instance.get_materialized_partitions(self.key)]


def ledger_metadata(delivered: Delivered) -> dict[str, Any]:
    """The part of a materialization's metadata that the ledger reads back."""
    return {
        MANIFEST_PATH_KEY: delivered.manifest_path,
        MANIFEST_SHA256_KEY: delivered.manifest_sha256,
        RUN_ID_KEY: delivered.run_id,
        TABLE_VERSIONS_KEY: dg.MetadataValue.json({"from": delivered.lower, "to": delivered.upper}),
        COLUMN_SCHEMA_KEY: dg.TableSchema(
            columns=[
                dg.TableColumn(
                    name=column.name,
                    type=column.type,
                    constraints=dg.TableColumnConstraints(nullable=column.nullable),
                )
                for column in delivered.columns
            ]
        ),
    }


def delivered_from(export_time: datetime, metadata: "dg.MetadataMapping | Any") -> Delivered | None:
    """Read `ledger_metadata` back; None for a materialization that is not ours (one reported by hand)."""
    if not {MANIFEST_PATH_KEY, MANIFEST_SHA256_KEY, RUN_ID_KEY, TABLE_VERSIONS_KEY} <= set(metadata):
        return None
    versions = cast("dict[str, int | None]", metadata[TABLE_VERSIONS_KEY].value)
    return Delivered(
        export_time=export_time,
        lower=versions["from"],
        upper=versions["to"],
        run_id=str(metadata[RUN_ID_KEY].value),
        manifest_path=str(metadata[MANIFEST_PATH_KEY].value),
        manifest_sha256=str(metadata[MANIFEST_SHA256_KEY].value),
        columns=_columns(metadata),
    )


def _columns(metadata: "dg.MetadataMapping | Any") -> tuple[Column, ...]:
    if COLUMN_SCHEMA_KEY not in metadata:
        return ()
    schema: dg.TableSchema = metadata[COLUMN_SCHEMA_KEY].value
    return tuple(Column(column.name, column.type, column.constraints.nullable) for column in schema.columns)
