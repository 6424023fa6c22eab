"""A dataflow that changes between export times: real tables, a real folder, and a Dagster instance that remembers."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from dataset_export.destinations.local import LocalDestination, LocalStore
from dataset_export.encoding.contract import Encoding
from dataset_export.export.dataflow import Behavior, Dataflow, Dataset, DestinationInfo
from dataset_export.export.folder import FolderTemplate
from dataset_export.export.manifest import Manifest
from dataset_export.export.schedule import Frequency, format_export_time, make_schedule
from dataset_export.orchestration.backlog import backlog_of
from dataset_export.orchestration.dataflow import build_dataflow
from dataset_export.orchestration.lake_asset import lake_asset
from dataset_export.orchestration.names import job_name
from dataset_export_tests.export.exporter import live_manifests, rows_of
from dataset_export_tests.lake.delta_tables import DeltaBuilder

DAY = timedelta(days=1)
START = datetime(2026, 11, 1, 2, tzinfo=UTC)


def day(number: float, hour: int = 0) -> datetime:
    """The daily export time `number` days after the first, or `hour` hours later."""
    return START + number * DAY + timedelta(hours=hour)


def key(number: float, hour: int = 0) -> str:
    return format_export_time(day(number, hour))


class Changing:
    """Three tables, `a`, `b` and `c`; the dataflow `flow` of `a`, every day at 02:00 from START.

    Every row of a table has an id of its own. `grow` adds one, at noon of a day.
    """

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.folder = folder
        self.instance = instance
        self.tables = {id_: DeltaBuilder(str(folder / "lake" / id_)) for id_ in "abc"}
        self.ids: dict[str, int] = dict.fromkeys(self.tables, 0)
        self.flow = Dataflow(
            name="flow",
            datasets=self.datasets("a"),
            destination=DestinationInfo(id="out", name="Out", type="local"),
            schedule=make_schedule(Frequency.DAILY, START, end="never"),
            folder=FolderTemplate(),
            encoding=Encoding(),
        )
        self.grow(-1)

    def datasets(self, *ids: str) -> tuple[Dataset, ...]:
        return tuple(
            Dataset(id=id_, name=id_.upper(), behavior=Behavior.RECORD, uri=self.tables[id_].uri) for id_ in ids
        )

    def change(self, **values: Any) -> None:
        self.flow = replace(self.flow, **values)

    def deliver_to(self, place: str) -> None:
        """Another destination: its id is the name of its folder."""
        self.change(destination=replace(self.flow.destination, id=place))

    def store(self, place: str | None = None) -> LocalStore:
        return LocalStore(self.folder / (place or self.flow.destination.id))

    def grow(self, number: float) -> None:
        """A row for each table, committed ten hours after the export time of that day."""
        for id_ in self.tables:
            self.grow_one(id_, number)

    def grow_one(self, id_: str, number: float) -> None:
        table = self.tables[id_]
        table.commit_time(table.append(self.ids[id_]), day(number, 10))
        self.ids[id_] += 1

    def due(self, now: datetime) -> list[tuple[str, str]]:
        """What the schedule asks for at an instant: export time and dataset."""
        asked = backlog_of(self.flow, self.instance, now).ready
        return [(one.export_time, missing.path[-1]) for one in asked for missing in one.missing]

    def deliver(self, now: datetime) -> list[tuple[str, str]]:
        """Export all that is due, as the schedule would, and return what it was."""
        done = self.due(now)
        for one in backlog_of(self.flow, self.instance, now).ready:
            assert self.run(one.export_time, one.missing).success
        return done

    def run(self, export_time: str, assets: Iterable[dg.AssetKey], **tags: str) -> dg.ExecuteInProcessResult:
        destination = self.flow.destination.id
        shared = dg.Definitions(
            assets=[lake_asset(dataset) for dataset in self.flow.datasets],
            resources={destination: LocalDestination(folder=str(self.folder / destination))},
        )
        job = dg.Definitions.merge(build_dataflow(self.flow), shared).resolve_job_def(job_name(self.flow))
        return job.execute_in_process(
            instance=self.instance,
            partition_key=export_time,
            asset_selection=list(assets),
            tags=tags or None,
            raise_on_error=False,
        )

    def manifests(self, dataset: str, place: str | None = None) -> list[Manifest]:
        """What a reader of a destination follows."""
        return [one for one in live_manifests(self.store(place)) if one.document["dataset"]["id"] == dataset]

    def delivered(self, dataset: str, place: str | None = None) -> dict[str, list[int]]:
        """By export time, the ids that a reader of a destination finds."""
        store = self.store(place)
        found: dict[str, list[int]] = {}
        for manifest in self.manifests(dataset, place):
            found[format_export_time(manifest.export_time)] = sorted(rows_of(store, manifest).elements())
        return found

    def once_each(self, dataset: str, place: str | None = None) -> bool:
        """Promise P7: whether a reader of a destination has every row of the table exactly once."""
        rows: Counter[int] = Counter()
        for ids in self.delivered(dataset, place).values():
            rows.update(ids)
        return rows == Counter(range(self.ids[dataset]))
