"""What a materialization shows in the UI: counts, places, versions, schema and lineage (spec S8)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from dataset_export.destinations.contract import Store, address_of
from dataset_export.export.expiry import files_expire_at
from dataset_export.export.plan import Request
from dataset_export.export.publish import Published
from dataset_export.export.settings import settings_of
from dataset_export.orchestration.ledger import BYTES_SENT_KEY, MODE_KEY, SETTINGS_KEY, ledger_metadata
from dataset_export.orchestration.names import lake_key

SCHEMA_CHANGE_KEY = "schema_change"
"""Only there when the columns differ from those of the export before: the manifest's `schemaChange`. Of a dataflow with
`on_schema_change: notify` it is what the alert `schema_drift` tells."""


def materialization_metadata(
    request: Request,
    published: Published,
    store: Store,
    started_at: datetime,
    *,
    sent: int,
    repair_note: str | None = None,
    measured: Mapping[str, Any] | None = None,
) -> Mapping[str, Any]:
    """The metadata of one export; its counts are this export's own.

    Args:
        request: the export.
        published: its manifest.
        store: for printable addresses.
        started_at: when planning began (UTC).
        sent: bytes that count as delivered; those of all files but for repairs and what is recorded already.
        repair_note: of a repair, what it found and did, in words.
        measured: what later estimates are made by (`orchestration.measured`), of an export that sent all of its files.
    """
    manifest = published.manifest
    document = manifest.document
    ended_at = datetime.now(UTC)
    columns = document["schema"]
    expire = files_expire_at(manifest)
    return {
        **ledger_metadata(manifest.as_delivered()),
        "dagster/partition_row_count": document["recordCount"],
        "dagster/uri": store.uri(request.folder),
        "dagster/column_lineage": dg.TableColumnLineage(
            {
                column["name"]: [dg.TableColumnDep(asset_key=lake_key(request.dataset), column_name=column["name"])]
                for column in columns
            }
        ),
        "export_time": dg.MetadataValue.timestamp(request.export_time),
        MODE_KEY: document["exportMode"],
        "records": document["recordCount"],
        "records_excluded": sum(item["recordCount"] for item in document["excludedRecords"]),
        "records_carried_over": document["carriedOverRecordCount"],
        "files": document["fileCount"],
        "bytes": document["size"],
        BYTES_SENT_KEY: sent,
        **(measured or {}),
        **({"encrypted_for": ", ".join(document["encryption"]["recipients"])} if manifest.encrypted else {}),
        **({"files_expire_at": dg.MetadataValue.timestamp(expire)} if expire is not None else {}),
        **({"columns": dg.MetadataValue.json(document["columns"])} if "columns" in document else {}),
        "schema_fingerprint": document["schemaFingerprint"],
        **({SCHEMA_CHANGE_KEY: dg.MetadataValue.json(document["schemaChange"])} if manifest.schema_change else {}),
        "manifest": store.uri(manifest.path),
        "superseded_manifests": len(manifest.supersedes),
        "adopted": published.adopted,
        **({"repair": repair_note} if repair_note else {}),
        "started_at": dg.MetadataValue.timestamp(started_at),
        "ended_at": dg.MetadataValue.timestamp(ended_at),
        "duration_seconds": round((ended_at - started_at).total_seconds(), 3),
        SETTINGS_KEY: dg.MetadataValue.json(settings_of(request.dataflow, request.dataset, address_of(store))),
    }
