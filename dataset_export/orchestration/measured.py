"""What earlier exports of an asset took, as their materializations say."""

from typing import Any

import dagster as dg

from dataset_export.export.estimate import Measured

SOURCE_BYTES_KEY = "source_bytes"
"""Bytes of the source files of an export that sent all of its files."""

FORM_KEY = "form"
"""The form that its files have: the asset's code version."""

NEWEST = 20
"""So many materializations are looked at."""


def measured_exports(instance: dg.DagsterInstance, key: dg.AssetKey, form: str) -> list[Measured]:
    """The newest exports of an asset that read files and delivered them in this form, newest first."""
    records = instance.fetch_materializations(dg.AssetRecordsFilter(asset_key=key), limit=NEWEST).records
    events = [record.asset_materialization for record in records]
    found = [_measured(event.metadata, form) for event in events if event is not None]
    return [one for one in found if one is not None]


def _measured(metadata: "dg.MetadataMapping | Any", form: str) -> Measured | None:
    if not {SOURCE_BYTES_KEY, FORM_KEY, "bytes", "duration_seconds"} <= set(metadata):
        return None
    if metadata[FORM_KEY].value != form or not metadata[SOURCE_BYTES_KEY].value:
        return None
    return Measured(
        source_bytes=int(metadata[SOURCE_BYTES_KEY].value),
        bytes=int(metadata["bytes"].value),
        seconds=float(metadata["duration_seconds"].value),
    )
