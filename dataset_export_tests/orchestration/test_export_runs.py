"""What alerts say about real exports: the counts of the manifest, our own sentences, and nothing that may be a secret."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest

from dataset_export.alerts.alert import Alert, AlertRules, Event, Route
from dataset_export.alerts.channel import Channel
from dataset_export.alerts.outbox import Outbox
from dataset_export.destinations.local import LocalDestination
from dataset_export.errors import IntegrityError
from dataset_export.export.dataflow import Behavior
from dataset_export.export.schedule import format_export_time
from dataset_export.export.schema_change import OnSchemaChange
from dataset_export.orchestration import checks, export_asset
from dataset_export.orchestration.alert_store import save_outbox
from dataset_export.orchestration.alerts_tick import SETTLED, Cursor, Watched, alerts_tick
from dataset_export.orchestration.names import RESEND_TAG
from dataset_export.secret_refs import SecretRef
from dataset_export_tests.export.exporter import START, Exporter, live_manifests
from dataset_export_tests.instances import new_instance
from dataset_export_tests.lake.delta_tables import DeltaBuilder
from dataset_export_tests.orchestration.test_export_asset import definitions

KEYS = [dg.AssetKey(["hourly", "orders"]), dg.AssetKey(["lake", "orders"])]


@pytest.fixture(scope="module")
def home() -> Iterator[dg.DagsterInstance]:
    with new_instance() as instance:
        yield instance


class World:
    """A table of events, an hourly dataflow of it, and someone who hears everything."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.delta = DeltaBuilder(str(folder / "lake"))
        self.folder = folder / "delivered"
        exporter = Exporter(
            LocalDestination(folder=str(self.folder)).store(),
            self.delta.uri,
            behavior=Behavior.TIME_SERIES,
            timestamp_column="at",
        )
        self.store = exporter.store
        self.flow = exporter.dataflow
        self.first = datetime.now(UTC)
        self.forget()

    def append(self, rows: int, *, days_old: int = 1, before: int = 0, **columns: str) -> None:
        """Add rows that the export `before` hours after the start is the first to see."""
        at = [START - timedelta(days=days_old)] * rows
        data = pa.table({"id": range(rows), "at": at, **{name: [value] * rows for name, value in columns.items()}})
        version = self.delta.write(data, **({"schema_mode": "merge"} if columns else {}))
        self.delta.commit_time(version, START + timedelta(hours=before, minutes=-30))

    def repeat(self, delivered: dg.AssetMaterialization, numbers: Iterable[int]) -> None:
        """Record exports like that one at other export times."""
        for number in numbers:
            key = format_export_time(START + timedelta(hours=number))
            self.instance.report_runless_asset_event(
                dg.AssetMaterialization(KEYS[0], partition=key, metadata=dict(delivered.metadata))
            )

    def run(self, number: int = 0, *, resend: bool = False) -> dg.ExecuteInProcessResult:
        defs = definitions(self.flow, LocalDestination(folder=str(self.folder)))
        return defs.resolve_job_def("hourly").execute_in_process(
            instance=self.instance,
            partition_key=format_export_time(START + timedelta(hours=number)),
            tags={RESEND_TAG: "true"} if resend else None,
            raise_on_error=False,
        )

    def tick(self) -> list[Alert]:
        """What the next tick tells."""
        heard: list[Alert] = []

        def send(channel: Channel, alert: Alert) -> None:
            heard.append(alert)

        now = datetime.now(UTC) + SETTLED
        # The export times lie weeks back, so that none of them gets late now.
        rules = AlertRules((Route("ops", tuple(Event)),))
        done = alerts_tick(
            self.instance,
            [Watched(self.flow, rules)],
            {"ops": Channel("ops", SecretRef(env="NONE"))},
            Cursor.read(self.cursor, now),
            send,
            clock=lambda: now,
        )
        self.cursor = done.cursor.text
        return heard

    def forget(self) -> None:
        """Begin anew, as if nothing had been told."""
        self.cursor: str | None = None
        save_outbox(self.instance, "hourly", Outbox(since=self.first))

    def told(self, event: Event) -> list[Alert]:
        return [alert for alert in self.tick() if alert.event is event]


@pytest.fixture
def world(tmp_path: Path, home: dg.DagsterInstance) -> World:
    for run in home.get_runs():
        home.delete_run(run.run_id)
    home.wipe_assets(KEYS)
    return World(tmp_path, home)


def test_s8_the_counts_of_an_alert_are_those_of_its_export(world: World) -> None:
    world.append(7)
    world.append(3, before=1)
    for number, rows in ((0, 7), (1, 3)):
        result = world.run(number)
        started, succeeded = world.tick()
        assert (started.event, succeeded.event) == (Event.STARTED, Event.SUCCEEDED)
        manifest = live_manifests(world.store)[number].document
        assert manifest["recordCount"] == rows
        assert succeeded.text.splitlines() == [
            f"orders: {rows} records, {manifest['fileCount']} files, {manifest['size']:,} bytes, in "
            + world.store.uri(f"orders/exportTime={format_export_time(START + timedelta(hours=number))}"),
            f"Run {result.run_id}.",
        ]
    assert world.tick() == []


def test_s8_excluded_rows_are_told_and_a_resend_does_not_tell_them_again(world: World) -> None:
    world.append(7)
    world.append(4, days_old=400)
    world.run()
    [alert] = world.told(Event.EXCLUDED_ROWS)
    assert alert.title == f"hourly: export of {START:%Y-%m-%d %H:%M} UTC left out 4 records of orders"
    assert "orders: 7 records" in alert.text
    world.run(resend=True)
    assert [alert.event for alert in world.tick()] == [Event.STARTED, Event.SUCCEEDED]


def test_s8_a_failure_says_what_is_wrong_and_what_to_do(world: World) -> None:
    world.append(7)
    world.folder.write_text("a file")
    result = world.run()
    assert not result.success
    _, failed = world.tick()
    assert failed.event is Event.FAILED
    assert failed.text.startswith("orders, plan: ")
    assert str(world.folder) in failed.text
    assert f"Run {result.run_id}." in failed.text
    assert "Traceback" not in failed.text


def test_of_an_error_that_is_not_ours_only_the_name_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def defect(*_: object, **__: object) -> None:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr(export_asset, "plan_export", defect)
    world.append(7)
    world.run()
    _, failed = world.tick()
    assert "hunter2" not in failed.text
    assert failed.text.startswith("orders, plan: ")
    assert "the run's page says more" in failed.text


def test_s8_a_check_that_finds_something_wrong_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: object, **__: object) -> None:
        raise IntegrityError("a file differs")

    monkeypatch.setattr(checks, "verify", wrong)
    world.append(7)
    world.run()
    [failed] = world.told(Event.FAILED)
    assert failed.title.endswith("was delivered, but a check of it failed")
    assert "orders, check files_match_manifest: a file differs" in failed.text
    assert "orders: 7 records" in failed.text


def test_s8_schema_drift_is_told_to_those_who_wish_it(world: World) -> None:
    world.append(7)
    world.append(3, before=1, color="red")
    world.run(0)
    world.run(1)
    heard = [alert.event for alert in world.tick()]
    assert heard == [Event.STARTED, Event.SUCCEEDED] * 2, "evolve is the default"
    world.forget()
    world.flow = replace(world.flow, on_schema_change=OnSchemaChange.NOTIFY)
    [drift] = world.told(Event.SCHEMA_DRIFT)
    assert drift.title.startswith(
        f"hourly: export of {START + timedelta(hours=1):%Y-%m-%d %H:%M} UTC has other columns"
    )
    assert drift.text.startswith("added: color (string")


def test_s8_a_volume_that_stands_out_is_told(world: World) -> None:
    world.append(500)
    world.append(10, before=1)
    world.append(90, before=9)
    world.run(0)
    first = world.run(1).get_asset_materialization_events()[0].materialization
    # Six more exports like the second, in a moment.
    world.repeat(first, range(2, 8))
    assert world.told(Event.VOLUME_ANOMALY) == [], "the first export is the whole table, and no measure"
    world.run(9)
    [alert] = world.told(Event.VOLUME_ANOMALY)
    assert alert.text.startswith("90 records; the 7 exports before had 10 in the median, 10 to 10.")


def test_s8_an_export_that_comes_after_a_later_one_with_its_rows_is_no_anomaly(world: World) -> None:
    world.append(500)
    world.append(10, before=1)
    world.append(10, before=9)
    world.run(0)
    first = world.run(1).get_asset_materialization_events()[0].materialization
    world.repeat(first, (2, 3, 4, 6, 7, 8))
    world.run(9)
    late = world.run(5).get_asset_materialization_events()[0].materialization
    assert late.metadata["records"].value == 0
    assert world.told(Event.VOLUME_ANOMALY) == [], "the rows of the fifth are in the ninth"
    # Without rows in its turn, and told after the next one is there, an export stands out; the fifth is no measure.
    world.run(10)
    world.append(10, before=11)
    world.run(11)
    [alert] = world.told(Event.VOLUME_ANOMALY)
    assert f"export of {START + timedelta(hours=10):%Y-%m-%d %H:%M} UTC" in alert.title
    assert alert.text.startswith("0 records; the 8 exports before had 10 in the median, 10 to 10.")
    world.run(5, resend=True)
    assert world.told(Event.VOLUME_ANOMALY) == []
