"""A lake, a destination and a Dagster instance that the command is called on."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click.testing
import dagster as dg
import pyarrow as pa
from deltalake import write_deltalake

from dataset_export.alerts.channel import Channel
from dataset_export.cli.main import cli
from dataset_export.cli.session import Session
from dataset_export.destinations.contract import Store
from dataset_export.destinations.io_manager import DestinationIOManager
from dataset_export.destinations.local import LocalDestination
from dataset_export.encoding.contract import Encoding
from dataset_export.export.dataflow import Behavior, Dataflow, Dataset, DestinationInfo, Organization
from dataset_export.export.folder import FolderTemplate
from dataset_export.export.schedule import Frequency, format_export_time, make_schedule
from dataset_export.governance.licenses import Licenses
from dataset_export.orchestration.dataflow import build_dataflow
from dataset_export.orchestration.lake_asset import lake_asset
from dataset_export.orchestration.names import export_key
from dataset_export_tests.instances import prepare_home

START = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=3)
"""Of the dataflow `flow`: four export times have come, START and the midnights of the three days after it."""


def at(day: int) -> str:
    """The export time `day` days after the start."""
    return format_export_time(START + timedelta(days=day))


@dataclass
class DeclaredCatalog:
    """What `load_catalog` returns, from values instead of YAML."""

    dataflows: Mapping[str, Dataflow]
    destinations: Mapping[str, DestinationIOManager]
    organization: Organization = field(default_factory=Organization)
    catalogued: tuple[Dataset, ...] = ()
    licenses: Licenses | None = None
    channels: Mapping[str, Channel] = field(default_factory=dict[str, Channel])

    @property
    def datasets(self) -> Mapping[str, Dataset]:
        exported = [dataset for flow in self.dataflows.values() for dataset in flow.datasets]
        return {dataset.id: dataset for dataset in (*exported, *self.catalogued)}

    @property
    def definitions(self) -> dg.Definitions:
        return dg.Definitions.merge(
            *(build_dataflow(flow, licenses=self.licenses) for flow in self.dataflows.values()),
            dg.Definitions(
                assets=[lake_asset(dataset) for dataset in self.datasets.values()], resources=dict(self.destinations)
            ),
        )

    def store(self, destination_id: str) -> Store:
        return self.destinations[destination_id].store()

    def io_manager(self, destination_id: str) -> DestinationIOManager:
        return self.destinations[destination_id]


@dataclass(frozen=True)
class World:
    """Two tables, `a` and `b`, and a daily dataflow `flow` of both to a local folder; `home` is its Dagster home."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def delivered(self) -> Path:
        return self.folder / "delivered"

    def table(self, dataset: str) -> Path:
        return self.folder / "lake" / dataset

    def append(self, dataset: str, first: int, rows: int, *, day: float, **further: list[Any]) -> None:
        """Commit rows, with `further` columns; the log says that it was `day` days after the start of the dataflow."""
        ids = list(range(first, first + rows))
        data = pa.table({"id": pa.array(ids, pa.int64()), "name": [f"n{i}" for i in ids], **further})
        self.write(dataset, data, day=day, schema_mode="merge" if further else None)

    def write(self, dataset: str, data: pa.Table, *, day: float, **options: Any) -> None:
        """Commit any rows, as deltalake writes them with these options; for `day` see `append`."""
        write_deltalake(str(self.table(dataset)), data, mode="append", **options)
        log = max((self.table(dataset) / "_delta_log").glob("*.json"))
        entries = [json.loads(line) for line in log.read_text().splitlines()]
        for entry in entries:
            if "commitInfo" in entry:
                entry["commitInfo"]["timestamp"] = int((START + timedelta(days=day)).timestamp() * 1000)
        log.write_text("".join(json.dumps(entry) + "\n" for entry in entries))

    def dataset(self, id_: str) -> Dataset:
        return Dataset(id=id_, name=id_.upper(), behavior=Behavior.RECORD, uri=str(self.table(id_)))

    def dataflow(self, **changes: Any) -> Dataflow:
        values: dict[str, Any] = {
            "name": "flow",
            "datasets": (self.dataset("a"), self.dataset("b")),
            "destination": DestinationInfo(id="out", name="Out", type="local"),
            "schedule": make_schedule(Frequency.DAILY, START, end=START + timedelta(days=30)),
            "folder": FolderTemplate(),
            "encoding": Encoding(),
        }
        return Dataflow(**{**values, **changes})

    def session(
        self,
        *dataflows: Dataflow,
        destination: DestinationIOManager | None = None,
        datasets: tuple[Dataset, ...] = (),
        licenses: Licenses | None = None,
        channels: tuple[Channel, ...] = (),
    ) -> Session:
        flows = dataflows or (self.dataflow(),)
        catalog = DeclaredCatalog(
            {flow.name: flow for flow in flows},
            {"out": destination or LocalDestination(folder=str(self.delivered))},
            catalogued=datasets,
            licenses=licenses,
            channels={channel.id: channel for channel in channels},
        )
        return Session(load_catalog=lambda: catalog, open_instance=self.instance)  # type: ignore[arg-type]

    def instance(self) -> dg.DagsterInstance:
        if not self.home.exists():
            prepare_home(self.home)
            (self.home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
        return dg.DagsterInstance.from_config(str(self.home))

    def call(self, *args: str, session: Session | None = None) -> click.testing.Result:
        """Call the command in this process."""
        return click.testing.CliRunner().invoke(cli, list(args), obj=session or self.session())

    def json(self, *args: str, session: Session | None = None) -> Any:
        """Call the command, which has to succeed, and parse all of its stdout."""
        result = self.call(*args, "--json", session=session)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def materialized(self, *datasets: str) -> set[str]:
        with self.instance() as instance:
            found = [
                instance.get_materialized_partitions(export_key(self.dataflow(), self.dataset(d))) for d in datasets
            ]
        return set().union(*found)

    def visible(self) -> list[str]:
        """Everything a reader of the destination sees."""
        paths = (path.relative_to(self.delivered) for path in sorted(self.delivered.rglob("*")) if path.is_file())
        return [str(path) for path in paths if path.parts[0] != ".dataset_export"]


def small_world(folder: Path) -> World:
    """A world whose tables have ten rows before the first export time, and `a` five more before the second."""
    world = World(folder)
    world.append("a", 0, 10, day=-0.5)
    world.append("a", 10, 5, day=0.5)
    world.append("b", 0, 10, day=-0.5)
    return world
