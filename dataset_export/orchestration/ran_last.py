"""What the datasets of a dataflow ran under last, read back from their materializations."""

import dagster as dg

from dataset_export.export.change import Ran
from dataset_export.export.dataflow import Dataflow
from dataset_export.orchestration.ledger import recorded_settings
from dataset_export.orchestration.owed import History

TRIES = 10
"""Newest materializations of an asset that are looked through; those reported by hand do not say what was declared."""


def ran_last(dataflow: Dataflow, instance: dg.DagsterInstance) -> dict[str, Ran]:
    """By dataset id, also of datasets that have left the dataflow; without those that never ran."""
    found: dict[str, Ran] = {}
    for key in History(dataflow, instance).recorded:
        for record in instance.fetch_materializations(key, limit=TRIES).records:
            event = record.asset_materialization
            settings = recorded_settings(event.metadata) if event is not None else None
            if event is not None and settings is not None:
                found[key.path[-1]] = Ran(settings, event.partition or "", record.storage_id)
                break
    return found
