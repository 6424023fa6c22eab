"""A real `dagster-daemon` with the project's own `dagster.yaml`, delivering to a real S3 server: what was missed while it was
down comes first and in order, then each tick, and nothing after the end; and a web hook hears of each export once."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterRunStatus
from dagster._core.scheduler.instigation import TickStatus

from dataset_export.alerts.outbox import Outbox
from dataset_export.destinations.s3 import S3Store
from dataset_export.export.schedule import format_export_time
from dataset_export.orchestration.alert_store import save_outbox
from dataset_export.orchestration.names import DATAFLOW_TAG
from dataset_export_tests.export.exporter import (
    live_manifests,
    named_files,
    rows_by_manifest,
    rows_of,
    staged_files,
    visible_data_files,
)
from dataset_export_tests.lake.delta_tables import DeltaBuilder
from dataset_export_tests.orchestration.daemon import PROJECT, MovedClock, running_daemon
from dataset_export_tests.secrets.search import files, leaks
from dataset_export_tests.servers.receiver import Receiver, running_receiver
from dataset_export_tests.servers.weed import ADMIN, REGION, Weed

KEY = dg.AssetKey(["often", "orders"])
MISSED = 2
EVERY = 6
"""Minutes between export times. The clock is moved over two of them, and the store refuses requests of a time 15 minutes away."""
WEB_HOOK = "s3cr3t-address-of-a-web-hook"

CODE_LOCATION = """
import dagster as dg
from datetime import datetime
from dataset_export.alerts.alert import AlertRules, Event, Route
from dataset_export.alerts.channel import Channel
from dataset_export.destinations.s3 import S3Destination
from dataset_export.export.dataflow import Behavior, Dataflow, Dataset, DestinationInfo
from dataset_export.export.folder import FolderTemplate
from dataset_export.export.schedule import Frequency, make_schedule
from dataset_export.orchestration.alerts import alert_definitions
from dataset_export.orchestration.alerts_tick import Watched
from dataset_export.orchestration.dataflow import build_dataflow
from dataset_export.orchestration.lake_asset import lake_asset
from dataset_export.secret_refs import SecretRef

orders = Dataset(id="orders", name="Orders", behavior=Behavior.RECORD, uri={lake!r})
partner = DestinationInfo(id="partner", name="Partner", type="amazon_s3")
flow = Dataflow(
    name="often",
    datasets=(orders,),
    destination=partner,
    schedule=make_schedule(
        Frequency.CRON,
        datetime.fromisoformat({start!r}),
        cron="*/{every} * * * *",
        end=datetime.fromisoformat({end!r}),
    ),
    folder=FolderTemplate(),
    encoding=partner.encoding,
)
bucket = S3Destination(
    bucket={bucket!r},
    folder="exports",
    region_name={region!r},
    endpoint_url={endpoint!r},
    aws_access_key_id=dg.EnvVar("TEST_ACCESS_KEY"),
    aws_secret_access_key=dg.EnvVar("TEST_SECRET_KEY"),
    allow_insecure=True,
)
everything = AlertRules((Route("ops", tuple(Event)),))
ops = Channel("ops", SecretRef(env="OPS_URL"))
defs = dg.Definitions.merge(
    build_dataflow(flow),
    alert_definitions([Watched(flow, everything)], {{"ops": ops}}),
    dg.Definitions(assets=[lake_asset(orders)], resources={{"partner": bucket}}),
)
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as server:
        yield server


@pytest.mark.waits
@pytest.mark.timeout(420)
def test_missed_ticks_are_delivered_in_order_then_each_tick_and_nothing_after_the_end(
    weed: Weed, bucket: str, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    now -= timedelta(minutes=now.minute % EVERY)
    export_times = [now + timedelta(minutes=EVERY * number) for number in range(1 - MISSED, 2)]
    start, end = export_times[0], now + timedelta(minutes=2 * EVERY)
    delta = DeltaBuilder(str(tmp_path / "lake"))
    for number, export_time in enumerate(export_times):
        delta.commit_time(delta.append(2 * number, 2 * number + 1), export_time - timedelta(seconds=30))
    monkeypatch.setenv("TEST_ACCESS_KEY", ADMIN.access_key)
    monkeypatch.setenv("TEST_SECRET_KEY", ADMIN.secret_key)
    module = tmp_path / "code_location.py"
    module.write_text(
        CODE_LOCATION.format(
            lake=delta.uri,
            every=EVERY,
            start=start.isoformat(),
            end=end.isoformat(),
            bucket=bucket,
            region=REGION,
            endpoint=weed.endpoint,
        )
    )
    keys = [format_export_time(export_time) for export_time in export_times]
    store = S3Store(weed.client, bucket, "exports")

    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(PROJECT / "dagster.yaml", home)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        # Alerts are told from the first tick of their sensor on, which may come after the first export.
        save_outbox(instance, "often", Outbox(since=now))
    monkeypatch.setenv("OPS_URL", f"{receiver.url}/{WEB_HOOK}")
    code = f"{{relative_path: {module.name}, location_name: often}}"
    clock = MovedClock(tmp_path / "offset")
    clock.set(now - timedelta(minutes=EVERY - 1))
    with running_daemon(tmp_path, {"python_file": code}, clock.environment) as daemon:
        daemon.wait_until("the schedule runs", 120, lambda: bool(daemon.schedules()))
        for moment, wanted in ((now, keys[:-1]), (export_times[-1], keys)):
            clock.set(moment)
            daemon.wait_until(
                f"{wanted} are materialized",
                240,
                lambda wanted=wanted: daemon.instance.get_materialized_partitions(KEY) == set(wanted),
            )
            daemon.wait_until_runs_are_over()
        clock.set(end)
        daemon.wait_until("a tick after the end", 120, lambda: bool(daemon.ticks_from(end)))
        runs = sorted(daemon.instance.get_run_records(), key=lambda record: record.dagster_run.run_id)
        runs.sort(key=lambda record: record.create_timestamp)
        assert [record.dagster_run.tags["dagster/partition"] for record in runs] == keys
        assert {record.dagster_run.status for record in runs} == {DagsterRunStatus.SUCCESS}
        assert {record.dagster_run.tags[DATAFLOW_TAG] for record in runs} == {"often"}
        for before, after in pairwise(runs):
            assert (before.end_time or 0) <= (after.start_time or 0), "one run of a dataflow at a time"
        for tick in daemon.ticks_from(end):
            assert tick.status is TickStatus.SKIPPED
            assert "has ended" in (tick.skip_reason or "")
        daemon.wait_until("every alert is told", 120, lambda: len(receiver.taken) >= 2 * len(keys))

    told = [
        f"often: export of {time:%Y-%m-%d %H:%M} UTC {what}"
        for time in export_times
        for what in ("started", "succeeded")
    ]
    assert receiver.titles == told
    assert leaks(files(home), [WEB_HOOK]) == []

    manifests = live_manifests(store)
    assert [manifest.export_time for manifest in manifests] == export_times
    assert [manifest.run_id for manifest in manifests] == [record.dagster_run.run_id for record in runs]
    for number, manifest in enumerate(manifests):
        assert rows_of(store, manifest) == {2 * number: 1, 2 * number + 1: 1}
        previous = manifests[number - 1] if number else None
        reference = (
            {"path": previous.path, "sha256": previous.sha256, "flowRunId": previous.run_id} if previous else None
        )
        assert manifest.document["previousManifest"] == reference
    assert rows_by_manifest(store) == dict.fromkeys(range(2 * len(keys)), 1)
    assert visible_data_files(store) == named_files(store)
    assert staged_files(store) == []
