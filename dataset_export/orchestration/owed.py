"""Which export times a dataset is owed: those that were its own when they came.

A schedule that changes, or a dataset that joins a dataflow, makes export times out of instants that have passed. Nothing
is left to be delivered for them: their rows came with a later export, or come with the next one. What was declared at the
time is known, since it is recorded with every export.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import dagster as dg

from dataset_export.export.dataflow import Dataflow, Dataset
from dataset_export.export.schedule import parse_export_time
from dataset_export.export.settings import Settings, schedule_in
from dataset_export.orchestration.ledger import materialized_export_times, recorded_settings
from dataset_export.orchestration.names import export_key

TRIES = 10
"""Materializations of one export time that are looked through for what was declared; those reported by hand do not say."""


@dataclass(frozen=True)
class History:
    """What a dataflow has exported, of all datasets that it ever had."""

    dataflow: Dataflow
    instance: dg.DagsterInstance

    @cached_property
    def recorded(self) -> Mapping[dg.AssetKey, set[str]]:
        """Export times with a materialization, by asset; also of datasets that are no longer in the dataflow."""
        name = self.dataflow.name
        known = [key for key in self.instance.get_asset_keys(prefix=[name]) if key.path[0] == name]
        declared = [export_key(self.dataflow, dataset) for dataset in self.dataflow.datasets]
        return {key: materialized_export_times(self.instance, key) for key in dict.fromkeys([*declared, *known])}

    def owed(self, dataset: Dataset, due: Sequence[str]) -> list[str]:
        """Of due export times, oldest first, those that the dataset still has to be exported for.

        Left out are the ones that are delivered, and all that passed before the dataset, or the present schedule, was part
        of the dataflow: looking back, the first such one ends the search.
        """
        done = self.recorded[export_key(self.dataflow, dataset)]
        owed: list[str] = []
        for export_time in reversed(due):
            if export_time in done:
                continue
            if not self._was_its_own(dataset, export_time):
                break
            owed.append(export_time)
        return owed[::-1]

    def _was_its_own(self, dataset: Dataset, export_time: str) -> bool:
        """By what was declared when the dataflow first exported this export time or a later one; true when it has not."""
        at = bisect_left(self._times, export_time)
        if at == len(self._times):
            return True
        settings = self._declared_at(self._times[at])
        if settings is None:
            return True
        return dataset.id in settings["datasets"] and schedule_in(settings).has(parse_export_time(export_time))

    @cached_property
    def _times(self) -> list[str]:
        return sorted(set[str]().union(*self.recorded.values()))

    def _declared_at(self, export_time: str) -> Settings | None:
        """What was declared when the first export of an export time ran; None when that was not recorded."""
        found: list[tuple[int, Settings]] = []
        for key in (key for key, times in self.recorded.items() if export_time in times):
            wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[export_time])
            # The first one: a resend ran under what was declared later.
            records = self.instance.fetch_materializations(wanted, limit=TRIES, ascending=True).records
            for record in records:
                event = record.asset_materialization
                if event is not None and (settings := recorded_settings(event.metadata)) is not None:
                    found.append((record.storage_id, settings))
                    break
        return min(found, key=lambda one: one[0])[1] if found else None
