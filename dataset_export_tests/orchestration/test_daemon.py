"""A real `dagster-daemon` with the project's own `dagster.yaml`, delivering to a real S3 server: what was missed while it was
down comes first and in order, then each tick, and nothing after the end; and a web hook hears of each export once."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterRunStatus
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorTick, TickStatus

from dataset_export.alerts.outbox import Outbox
from dataset_export.destinations.s3 import S3Store
from dataset_export.export.schedule import format_export_time
from dataset_export.orchestration.alert_store import save_outbox
from dataset_export.orchestration.ledger import UNFINISHED
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
from dataset_export_tests.secrets.search import files, leaks
from dataset_export_tests.servers.receiver import Receiver, running_receiver
from dataset_export_tests.servers.weed import ADMIN, REGION, Weed

PROJECT = Path(__file__).parents[2]
KEY = dg.AssetKey(["minutely", "orders"])
MISSED = 3
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
    name="minutely",
    datasets=(orders,),
    destination=partner,
    schedule=make_schedule(
        Frequency.CRON,
        datetime.fromisoformat({start!r}),
        cron="* * * * *",
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


@pytest.mark.timeout(420)
def test_missed_ticks_are_delivered_in_order_then_each_tick_and_nothing_after_the_end(
    weed: Weed, bucket: str, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    start, end = now - timedelta(minutes=MISSED - 1), now + timedelta(minutes=2)
    export_times = [start + timedelta(minutes=number) for number in range(MISSED + 1)]
    delta = DeltaBuilder(str(tmp_path / "lake"))
    for number, export_time in enumerate(export_times):
        delta.commit_time(delta.append(2 * number, 2 * number + 1), export_time - timedelta(seconds=30))
    monkeypatch.setenv("TEST_ACCESS_KEY", ADMIN.access_key)
    monkeypatch.setenv("TEST_SECRET_KEY", ADMIN.secret_key)
    module = tmp_path / "code_location.py"
    module.write_text(
        CODE_LOCATION.format(
            lake=delta.uri,
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
        save_outbox(instance, "minutely", Outbox(since=now))
    monkeypatch.setenv("OPS_URL", f"{receiver.url}/{WEB_HOOK}")
    with running_daemon(tmp_path, module) as daemon:
        daemon.wait_until("every export time is materialized", 240, lambda: daemon.materialized() == set(keys))
        daemon.wait_until("a tick after the end", 120, lambda: bool(daemon.ticks_from(end)))
        # The checks of an export come after its materialization.
        unfinished = dg.RunsFilter(statuses=UNFINISHED)
        daemon.wait_until("the end of the last run", 120, lambda: not daemon.instance.get_runs(unfinished, limit=1))
        runs = sorted(daemon.instance.get_run_records(), key=lambda record: record.dagster_run.run_id)
        runs.sort(key=lambda record: record.create_timestamp)
        assert [record.dagster_run.tags["dagster/partition"] for record in runs] == keys
        assert {record.dagster_run.status for record in runs} == {DagsterRunStatus.SUCCESS}
        assert {record.dagster_run.tags[DATAFLOW_TAG] for record in runs} == {"minutely"}
        for before, after in pairwise(runs):
            assert (before.end_time or 0) <= (after.start_time or 0), "one run of a dataflow at a time"
        for tick in daemon.ticks_from(end):
            assert tick.status is TickStatus.SKIPPED
            assert "has ended" in (tick.skip_reason or "")
        daemon.wait_until("every alert is told", 120, lambda: len(receiver.taken) >= 2 * len(keys))

    told = [
        f"minutely: export of {time:%Y-%m-%d %H:%M} UTC {what}"
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


class Daemon:
    """A running daemon, seen through its instance."""

    def __init__(self, instance: dg.DagsterInstance, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.instance = instance
        self._process = process
        self._log = log

    def materialized(self) -> set[str]:
        return self.instance.get_materialized_partitions(KEY)

    def ticks_from(self, moment: datetime) -> list[InstigatorTick]:
        """Ticks of the schedule for this moment or a later one that have been evaluated."""
        states = self.instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE)
        ticks = [
            tick for state in states for tick in self.instance.get_ticks(state.instigator_origin_id, state.selector_id)
        ]
        return [
            tick for tick in ticks if tick.timestamp >= moment.timestamp() and tick.status is not TickStatus.STARTED
        ]

    def wait_until(self, what: str, seconds: float, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline or self._process.poll() is not None:
                runs = [(run.tags.get("dagster/partition"), run.status) for run in self.instance.get_runs()]
                pytest.fail(f"waited in vain for: {what}; runs: {runs}; the daemon's log ends:\n{self._tail()}")
            time.sleep(1)

    def _tail(self) -> str:
        return self._log.read_text(errors="replace")[-8000:]


@contextmanager
def running_daemon(folder: Path, module: Path) -> Iterator[Daemon]:
    """Start the daemon on a code location, and stop it and what it started at the end, also after a failure."""
    home = folder / "home"
    workspace = folder / "workspace.yaml"
    workspace.write_text(f"load_from:\n  - python_file: {{relative_path: {module.name}, location_name: minutely}}\n")
    command = [str(Path(sys.executable).parent / "dagster-daemon"), "run", "--workspace", str(workspace)]
    log = folder / "daemon.log"
    environment = {**os.environ, "DAGSTER_HOME": str(home), "PYTHONPATH": str(PROJECT)}
    with dg.DagsterInstance.from_config(str(home)) as instance, log.open("wb") as output:
        # A session of its own, so that the code server and the runs that it starts can be stopped with it.
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=environment, cwd=folder, start_new_session=True
        )
        try:
            yield Daemon(instance, process, log)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
