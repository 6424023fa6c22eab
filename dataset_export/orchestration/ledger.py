"""The ledger kept as materialization metadata (design: "The ledger is the materializations' metadata")."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from dataset_export.destinations.io_manager import MANIFEST_PATH_KEY
from dataset_export.export.ledger import Delivered
from dataset_export.export.manifest import table_versions
from dataset_export.export.schedule import format_export_time, parse_export_time
from dataset_export.export.type_text import Column

MANIFEST_SHA256_KEY = "manifest_sha256"
TABLE_VERSIONS_KEY = "table_versions"
RUN_ID_KEY = "delivered_by_run"

BYTES_SENT_KEY = "bytes_sent"
"""What a materialization adds to the bytes delivered (spec S9)."""
COLUMN_SCHEMA_KEY = "dagster/column_schema"
MODE_KEY = "export_mode"
SETTINGS_KEY = "settings"
"""What was declared when the export ran: `export.settings`."""

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
        newest = self._records(export_time, limit=1)
        if newest and newest[0] is None:
            return next(iter(self.history(export_time)), None)
        return newest[0] if newest else None

    def history(self, export_time: datetime) -> list[Delivered]:
        """See `export.ledger.Ledger.history`; of more than `HISTORY` materializations, the newest."""
        return [delivered for delivered in self._records(export_time, limit=HISTORY) if delivered is not None]

    def nearest_before(self, export_time: datetime) -> Delivered | None:
        """See `export.ledger.Ledger.nearest_before`."""
        return self._first(time for time in reversed(self._recorded()) if time < export_time)

    def nearest_after(self, export_time: datetime) -> Delivered | None:
        """See `export.ledger.Ledger.nearest_after`."""
        return self._first(time for time in self._recorded() if time > export_time)

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

    def _first(self, export_times: Iterable[datetime]) -> Delivered | None:
        # Of a materialization that was reported by hand nobody knows what it delivered, if anything: it counts for nothing.
        return next((found for time in export_times if (found := self.at(time)) is not None), None)

    def _recorded(self) -> list[datetime]:
        """Export times with a materialization, oldest first, also those that the schedule no longer has."""
        return sorted(map(parse_export_time, materialized_export_times(self.instance, self.key)))


def materialized_export_times(instance: dg.DagsterInstance, key: dg.AssetKey) -> set[str]:
    """Partitions of an asset that are materialized and look like export times. (By hand, any text can be reported.)"""
    return {text for text in instance.get_materialized_partitions(key) if re.fullmatch(r"\d{12}", text)}


def ledger_metadata(delivered: Delivered) -> dict[str, Any]:
    """The part of a materialization's metadata that the ledger reads back."""
    return {
        MANIFEST_PATH_KEY: delivered.manifest_path,
        MANIFEST_SHA256_KEY: delivered.manifest_sha256,
        RUN_ID_KEY: delivered.run_id,
        TABLE_VERSIONS_KEY: dg.MetadataValue.json(
            table_versions(delivered.lower, delivered.upper, delivered.fingerprint)
        ),
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
    versions = cast("dict[str, Any]", metadata[TABLE_VERSIONS_KEY].value)
    settings = recorded_settings(metadata)
    return Delivered(
        export_time=export_time,
        lower=versions["from"],
        upper=versions["to"],
        run_id=str(metadata[RUN_ID_KEY].value),
        manifest_path=str(metadata[MANIFEST_PATH_KEY].value),
        manifest_sha256=str(metadata[MANIFEST_SHA256_KEY].value),
        columns=_columns(metadata),
        mode=str(metadata[MODE_KEY].value) if MODE_KEY in metadata else None,
        address=settings["destination"]["address"] if settings is not None else None,
        fingerprint=versions.get("fingerprint"),
    )


def _columns(metadata: "dg.MetadataMapping | Any") -> tuple[Column, ...]:
    if COLUMN_SCHEMA_KEY not in metadata:
        return ()
    schema: dg.TableSchema = metadata[COLUMN_SCHEMA_KEY].value
    return tuple(Column(column.name, column.type, column.constraints.nullable) for column in schema.columns)


def recorded_settings(metadata: "dg.MetadataMapping | Any") -> Mapping[str, Any] | None:
    """What was declared when an export ran; None for a materialization that does not say."""
    return cast("Mapping[str, Any]", metadata[SETTINGS_KEY].value) if SETTINGS_KEY in metadata else None
