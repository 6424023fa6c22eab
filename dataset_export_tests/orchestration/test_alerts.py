"""The alerts sensor over a real instance: what runs leave there is told once, to real receivers, whatever fails between."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import pytest

from dataset_export.alerts import outbox as outbox_module
from dataset_export.alerts.alert import Alert, AlertRules, Event, Route
from dataset_export.alerts.channel import Channel, send
from dataset_export.alerts.outbox import FIRST_WAIT, Outbox, State
from dataset_export.errors import TransientError
from dataset_export.export.dataflow import Dataflow
from dataset_export.export.schedule import Frequency, format_export_time, make_schedule
from dataset_export.export.settings import settings_of
from dataset_export.orchestration import alerts_tick as tick_module
from dataset_export.orchestration.alert_store import ORGANIZATION, load_outboxes, post, save_outbox
from dataset_export.orchestration.alerts import alert_definitions
from dataset_export.orchestration.alerts_tick import SETTLED, Cursor, Tick, Watched, alerts_tick
from dataset_export.orchestration.backlog import MAX_ATTEMPTS
from dataset_export.orchestration.handover import tell_notice
from dataset_export.orchestration.ledger import SETTINGS_KEY
from dataset_export.orchestration.names import DATAFLOW_TAG, SCHEDULED_TAG
from dataset_export.orchestration.notices import Notice, NoticeKind
from dataset_export.secret_refs import SecretRef
from dataset_export_tests.instances import new_instance
from dataset_export_tests.orchestration.hourly import EVENTS, ORDERS, dataflow
from dataset_export_tests.secrets.search import files, leaks
from dataset_export_tests.servers.receiver import Receiver, running_receiver

NOW = datetime.now(UTC)
EVERYTHING = AlertRules((Route("ops", tuple(Event)),))
SCHEDULE = make_schedule(
    Frequency.HOURLY, NOW.replace(minute=0, second=0, microsecond=0) - timedelta(days=2), every_hours=3
)
TOKEN = "s3cr3t-t0ken-of-the-web-hook"


@pytest.fixture(scope="module")
def home() -> Iterator[dg.DagsterInstance]:
    with new_instance() as instance:
        yield instance


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with running_receiver() as server:
        monkeypatch.setenv("OPS_URL", f"{server.url}/{TOKEN}")
        yield server


@dataclass
class Center:
    """The sensor's ticks, at times that the tests choose."""

    instance: dg.DagsterInstance
    rules: AlertRules = EVERYTHING
    flow: Dataflow = field(default_factory=lambda: dataflow(SCHEDULE))
    channels: dict[str, Channel] = field(default_factory=lambda: {"ops": Channel("ops", SecretRef(env="OPS_URL"))})
    cursor: str | None = None
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    send: Any = send

    def __post_init__(self) -> None:
        self.began = self.now

    def export_time(self, number: int) -> datetime:
        """The export times after the first tick."""
        return SCHEDULE.next_export_times(self.began, number + 1)[number]

    def go_to(self, moment: datetime) -> Tick:
        """A tick at this moment."""
        return self.tick(moment - self.now)

    def materialize(self, number: int, *keys: dg.AssetKey) -> None:
        for key in keys or (ORDERS, EVENTS):
            self.instance.report_runless_asset_event(
                dg.AssetMaterialization(key, partition=format_export_time(self.export_time(number)))
            )

    def tick(self, after: timedelta = timedelta(minutes=1), *, keep: bool = True) -> Tick:
        """A tick some time later; with `keep` the daemon lives long enough to keep its cursor."""
        self.now += after
        watched = [Watched(self.flow, self.rules)]
        cursor = Cursor.read(self.cursor, self.now)
        done = alerts_tick(self.instance, watched, self.channels, cursor, self.send, clock=lambda: self.now)
        if keep:
            self.cursor = done.cursor.text
        return done

    def run(
        self,
        status: dg.DagsterRunStatus,
        export_time: datetime | None = None,
        at: datetime | None = None,
        **changes: Any,
    ) -> str:
        """A run as the instance has it: started, and ended like this."""
        run_id = str(uuid4())
        moment = at or self.now
        tags = {DATAFLOW_TAG: "flow", "dagster/partition": format_export_time(export_time or SCHEDULE.start)}
        run = dg.DagsterRun("flow", run_id, tags={**tags, **changes.pop("tags", {})}, **changes)
        self.instance.add_run(run)
        for name in (
            "PIPELINE_START",
            {"SUCCESS": "PIPELINE_SUCCESS", "FAILURE": "PIPELINE_FAILURE"}.get(status.value),
        ):
            if name is not None:
                event = dg.DagsterEvent(name, "flow", message=f"{name} by hand")
                self.instance.run_storage.handle_run_event(run_id, event, moment)
        return run_id

    def entries(self, name: str = "flow") -> list[tuple[str, State]]:
        box = load_outboxes(self.instance, [name]).get(name)
        return [(entry.alert.keys[0], entry.state) for entry in (box.entries if box else ())]


@pytest.fixture
def center(home: dg.DagsterInstance, receiver: Receiver) -> Center:
    """An instance without runs, outboxes and materializations, and a first tick, from which on alerts are watched."""
    for run in home.get_runs():
        home.delete_run(run.run_id)
    home.wipe_assets([ORDERS, EVENTS])
    for key in ("flow", "flow/posted", ORGANIZATION, f"{ORGANIZATION}/posted", "gone"):
        with home.run_storage.connect() as connection:  # type: ignore[attr-defined]
            from sqlalchemy import text

            connection.execute(text("DELETE FROM kvs WHERE key = :key"), {"key": f"dataset_export/alerts/{key}"})
    center = Center(home)
    center.tick(timedelta(0))
    return center


def test_s8_started_succeeded_and_failed_are_told_once(center: Center, receiver: Receiver) -> None:
    center.run(dg.DagsterRunStatus.STARTED)
    center.run(dg.DagsterRunStatus.SUCCESS)
    center.run(dg.DagsterRunStatus.FAILURE)
    assert center.tick().summary == "5 alerts sent, none waiting"
    day = f"flow: export of {SCHEDULE.start:%Y-%m-%d %H:%M} UTC"
    assert sorted(receiver.titles) == sorted([f"{day} started"] * 3 + [f"{day} succeeded", f"{day} failed"])
    for _ in range(3):
        assert center.tick().summary == "0 alerts sent, none waiting"
    assert len(receiver.taken) == 5


def test_s8_only_what_the_dataflow_chose_is_told(center: Center, receiver: Receiver) -> None:
    center.rules = AlertRules((Route("ops", (Event.FAILED,)),))
    center.run(dg.DagsterRunStatus.SUCCESS)
    failed = center.run(dg.DagsterRunStatus.FAILURE)
    center.tick()
    assert [alert["message"] for alert in receiver.taken] == [f"The run ended without saying why.\nRun {failed}."]
    center.rules = EVERYTHING
    center.tick()
    assert len(receiver.taken) == 1, "what nobody wanted to hear when it happened is not told later"


def test_news_is_told_when_it_has_settled(center: Center, receiver: Receiver) -> None:
    center.now += timedelta(minutes=1)
    center.run(dg.DagsterRunStatus.FAILURE)
    center.tick(SETTLED / 2)
    assert receiver.taken == []
    center.tick(SETTLED)
    assert len(receiver.taken) == 2


def test_s8_a_run_that_dagster_starts_again_by_itself_has_not_failed(center: Center, receiver: Receiver) -> None:
    first = center.run(dg.DagsterRunStatus.FAILURE, tags={"dagster/will_retry": "true"})
    center.tick()
    center.run(dg.DagsterRunStatus.FAILURE, root_run_id=first, parent_run_id=first, tags={"dagster/root_run_id": first})
    center.tick()
    assert [alert["type"] for alert in receiver.taken] == ["info", "failure"]


def test_s8_a_failed_export_time_is_told_at_its_first_attempt_and_when_it_is_given_up(
    center: Center, receiver: Receiver
) -> None:
    center.rules = AlertRules((Route("ops", (Event.FAILED,)),))
    for _ in range(MAX_ATTEMPTS):
        center.run(dg.DagsterRunStatus.FAILURE, tags={SCHEDULED_TAG: "true"})
        center.tick()
    day = f"flow: export of {SCHEDULE.start:%Y-%m-%d %H:%M} UTC"
    assert receiver.titles == [f"{day} failed", f"{day} failed, and is not tried again"]


def test_a_retry_that_dagster_cannot_start_is_a_failure_after_all(center: Center, receiver: Receiver) -> None:
    first = center.run(dg.DagsterRunStatus.FAILURE, tags={"dagster/will_retry": "true"})
    center.tick()
    center.instance.add_run_tags(first, {"dagster/will_retry": "false"})
    center.tick()
    assert [alert["type"] for alert in receiver.taken] == ["info", "failure"]


def test_runs_of_others_and_runs_before_the_first_tick_are_not_told(center: Center, receiver: Receiver) -> None:
    center.run(dg.DagsterRunStatus.FAILURE, at=center.began - timedelta(minutes=3))
    center.run(dg.DagsterRunStatus.FAILURE, tags={DATAFLOW_TAG: "other"})
    other = dg.DagsterRun("sweep_leftovers", str(uuid4()))
    center.instance.add_run(other)
    event = dg.DagsterEvent("PIPELINE_FAILURE", "sweep_leftovers", message="no")
    center.instance.run_storage.handle_run_event(other.run_id, event, center.now)
    center.tick()
    assert receiver.taken == []


def test_a_run_launched_from_the_page_of_an_asset_is_told(center: Center, receiver: Receiver) -> None:
    key = format_export_time(SCHEDULE.start)
    for selection in ({ORDERS, dg.AssetKey("other")}, {dg.AssetKey("other")}):
        run = dg.DagsterRun(
            "__ASSET_JOB", str(uuid4()), tags={"dagster/partition": key}, asset_selection=frozenset(selection)
        )
        center.instance.add_run(run)
        event = dg.DagsterEvent("PIPELINE_FAILURE", "__ASSET_JOB", message="no")
        center.instance.run_storage.handle_run_event(run.run_id, event, center.now)
    center.tick()
    assert [alert["type"] for alert in receiver.taken] == ["failure"]


# Late


def test_s8_an_export_that_is_not_there_after_150_minutes_is_late(center: Center, receiver: Receiver) -> None:
    center.materialize(0, ORDERS)
    last = center.export_time(0) + timedelta(minutes=150)
    center.go_to(last)
    assert receiver.taken == []
    center.go_to(last + timedelta(minutes=1))
    [alert] = receiver.taken
    assert alert["title"] == f"flow: export of {center.export_time(0):%Y-%m-%d %H:%M} UTC is late"
    assert alert["message"].splitlines()[1:] == [f"{center.export_time(0):%Y-%m-%d %H:%M} UTC: events"]
    for _ in range(3):
        center.tick()
    assert len(receiver.taken) == 1


def test_s8_an_export_that_is_there_in_time_is_not_late(center: Center, receiver: Receiver) -> None:
    center.materialize(0)
    center.go_to(center.export_time(0) + timedelta(minutes=155))
    assert receiver.taken == []


def test_s8_how_late_is_late_can_be_chosen(center: Center, receiver: Receiver) -> None:
    center.rules = AlertRules(EVERYTHING.routes, timedelta(minutes=20))
    center.go_to(center.export_time(0) + timedelta(minutes=21))
    assert "Not delivered 20 minutes after" in receiver.taken[0]["message"]


def test_s8_what_got_late_while_the_daemon_was_down_is_told_in_one_alert(center: Center, receiver: Receiver) -> None:
    center.go_to(center.export_time(3) + timedelta(hours=2, minutes=40))
    [alert] = receiver.taken
    assert alert["title"].endswith("is late, and 3 more")
    assert len(alert["message"].splitlines()) == 5


@pytest.mark.parametrize(("too_late", "told"), [(timedelta(hours=-1), 0), (timedelta(hours=1), 1)])
def test_s8_when_it_arrived_decides_not_when_it_is_judged(
    center: Center, receiver: Receiver, too_late: timedelta, told: int
) -> None:
    """It arrived while the daemon was down: before its last moment, or after it."""
    arrives = datetime.now(UTC)
    center.now = center.began = arrives - timedelta(days=1)
    center.cursor = Cursor(center.began).text
    save_outbox(center.instance, "flow", Outbox(since=center.began))
    center.rules = AlertRules(EVERYTHING.routes, arrives - center.export_time(0) - too_late)
    center.materialize(0)
    center.go_to(arrives + timedelta(hours=2))
    assert len(receiver.taken) == told


def test_s8_an_export_time_that_a_dataset_is_not_owed_is_not_late(center: Center, receiver: Receiver) -> None:
    """The schedule became this one after the export time had passed; the last export was under the one before it."""
    flow = dataflow(make_schedule(Frequency.DAILY, SCHEDULE.start, at="23:59"))
    partition = format_export_time(center.export_time(1))
    for dataset, key in zip(flow.datasets, (ORDERS, EVENTS), strict=True):
        settings = dict(settings_of(flow, dataset, "file:///partner"))
        metadata = {SETTINGS_KEY: dg.MetadataValue.json(settings)}
        center.instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=partition, metadata=metadata))
    center.go_to(center.export_time(1) + timedelta(hours=2))
    assert receiver.taken == []


def test_a_disabled_dataflow_is_never_late(center: Center, receiver: Receiver) -> None:
    center.flow = dataflow(SCHEDULE, enabled=False)
    center.go_to(center.export_time(2) + timedelta(hours=2))
    assert receiver.taken == []


# Sending


def test_s8_a_receiver_that_fails_gets_it_later_and_once(center: Center, receiver: Receiver) -> None:
    receiver.statuses = [500, 503]
    center.run(dg.DagsterRunStatus.FAILURE)
    center.rules = AlertRules((Route("ops", (Event.FAILED,)),))
    done = center.tick()
    assert (
        done.summary
        == "0 alerts sent, 1 waiting for their next try: channel ops: its receiver answered with HTTP status 500"
    )
    assert center.tick(FIRST_WAIT / 2).summary == "0 alerts sent, 1 waiting for their next try"
    assert receiver.requests == 1, "not before its time"
    center.tick(FIRST_WAIT)
    assert (receiver.requests, receiver.taken) == (2, [])
    center.tick(2 * FIRST_WAIT)
    assert [alert["type"] for alert in receiver.taken] == ["failure"]
    for _ in range(3):
        center.tick(timedelta(hours=1))
    assert receiver.requests == 3


def test_s8_an_alert_that_nobody_takes_is_given_up_and_shown(
    center: Center, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "MOST_TRIES", 3)
    receiver.statuses = [500] * 100
    center.run(dg.DagsterRunStatus.FAILURE)
    center.rules = AlertRules((Route("ops", (Event.FAILED,)),))
    ticks = [center.tick(timedelta(minutes=10)) for _ in range(5)]
    assert [len(tick.given_up) for tick in ticks] == [0, 0, 1, 0, 0]
    assert ticks[2].given_up == [
        f"the alert 'flow: export of {SCHEDULE.start:%Y-%m-%d %H:%M} UTC failed' was given up after 3 tries: channel ops: "
        "its receiver answered with HTTP status 500"
    ]
    assert receiver.requests == 3
    assert [state for _, state in center.entries()] == [State.GIVEN_UP]


def test_a_channel_that_fails_takes_no_time_from_another(center: Center, receiver: Receiver) -> None:
    asked: list[str] = []

    def one_is_down(channel: Channel, alert: Alert) -> None:
        asked.append(channel.id)
        if channel.id == "down":
            raise TransientError("down")

    center.send = one_is_down
    center.channels["down"] = Channel("down", SecretRef(env="NOBODY"))
    center.rules = AlertRules((Route("down"), Route("ops")))
    for number in range(3):
        center.run(dg.DagsterRunStatus.FAILURE, center.export_time(number))
    center.tick()
    assert sorted(asked) == ["down", "ops", "ops", "ops"]


def test_a_secret_that_is_not_there_is_said_and_tried_again(
    center: Center, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    center.rules = AlertRules((Route("ops", (Event.FAILED,)),))
    url = os.environ["OPS_URL"]
    monkeypatch.delenv("OPS_URL")
    center.run(dg.DagsterRunStatus.FAILURE)
    assert "the environment variable OPS_URL is not set" in center.tick().summary
    monkeypatch.setenv("OPS_URL", url)
    center.tick()
    assert len(receiver.taken) == 1


def test_alerts_to_a_channel_that_is_gone_are_given_up_at_once(center: Center, receiver: Receiver) -> None:
    receiver.statuses = [500]
    center.rules = AlertRules((Route("ops", (Event.FAILED,)),))
    center.run(dg.DagsterRunStatus.FAILURE)
    center.tick()
    center.channels = {"new": Channel("new", SecretRef(env="OPS_URL"))}
    assert "there is no channel 'ops' any more" in center.tick(timedelta(hours=1)).given_up[0]


def test_s8_alerts_of_a_dataflow_that_is_no_longer_declared_are_still_sent(center: Center, receiver: Receiver) -> None:
    receiver.statuses = [500]
    center.rules = AlertRules((Route("ops", (Event.FAILED,)),))
    center.run(dg.DagsterRunStatus.FAILURE)
    center.tick()
    later = center.now + timedelta(hours=1)
    cursor = Cursor.read(center.cursor, later)
    assert cursor.sending == ("flow",)
    done = alerts_tick(center.instance, [], center.channels, cursor, send, clock=lambda: later)
    assert done.summary == "1 alerts sent, none waiting"
    assert done.cursor.sending == ()


# Crashes


class Crash(BaseException):
    """The process dies here."""


def test_s8_a_tick_that_dies_before_it_sends_loses_nothing_and_repeats_nothing(
    center: Center, receiver: Receiver
) -> None:
    center.run(dg.DagsterRunStatus.FAILURE)

    def die(channel: Channel, alert: Alert) -> None:
        raise Crash

    center.send = die
    with pytest.raises(Crash):
        center.tick()
    center.send = send
    center.tick()
    center.tick()
    assert [alert["type"] for alert in receiver.taken] == ["info", "failure"]


def test_s8_a_tick_that_dies_after_a_receiver_took_it_repeats_that_one_only(center: Center, receiver: Receiver) -> None:
    """At least once: this is what the documentation says, too."""
    center.run(dg.DagsterRunStatus.FAILURE)

    def die_at_the_second(channel: Channel, alert: Alert) -> None:
        send(channel, alert)
        if len(receiver.taken) == 2:
            raise Crash

    center.send = die_at_the_second
    with pytest.raises(Crash):
        center.tick()
    center.send = send
    center.tick()
    assert [alert["type"] for alert in receiver.taken] == ["info", "failure", "failure"]


def test_a_cursor_that_was_not_kept_repeats_nothing(center: Center, receiver: Receiver) -> None:
    center.run(dg.DagsterRunStatus.FAILURE)
    late = center.export_time(1) + timedelta(minutes=151)
    center.tick(keep=False)
    center.tick(late - center.now, keep=False)
    told = list(receiver.taken)
    center.tick()
    center.cursor = None
    center.tick()
    assert receiver.taken == told
    assert len(told) == 3


def test_what_happened_in_an_outage_is_told_after_it(center: Center, receiver: Receiver) -> None:
    center.flow = dataflow(SCHEDULE, enabled=False)
    center.run(dg.DagsterRunStatus.FAILURE, center.export_time(0), at=center.now + timedelta(days=2))
    center.run(dg.DagsterRunStatus.FAILURE, center.export_time(1), at=center.now + timedelta(days=5))
    center.rules = AlertRules((Route("ops", (Event.FAILED,)),))
    center.tick(timedelta(days=6))
    assert len(receiver.taken) == 2
    center.run(dg.DagsterRunStatus.FAILURE, center.export_time(2), at=center.now + timedelta(days=1))
    center.tick(timedelta(days=9))
    assert len(receiver.taken) == 2, "what is more than a week old is no news"


def test_a_long_backlog_is_told_over_several_ticks(
    center: Center, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tick_module, "PAGE", 2)
    monkeypatch.setattr(tick_module, "READING_SECONDS", -1)
    center.rules = AlertRules((Route("ops", (Event.SUCCEEDED,)),))
    runs = [center.run(dg.DagsterRunStatus.SUCCESS, at=center.now + timedelta(minutes=n)) for n in range(1, 7)]
    center.now += timedelta(minutes=10)
    told = []
    for _ in range(8):
        center.tick()
        told.append(len(receiver.taken))
    assert [alert["message"].split()[-1].rstrip(".") for alert in receiver.taken] == runs
    assert max(after - before for before, after in pairwise([0, *told])) <= 2


# Handed over by others


def test_what_others_post_is_told_once(center: Center, receiver: Receiver) -> None:
    center.flow = dataflow(SCHEDULE, enabled=False)
    ended = Alert(Event.ENDED, ("ended:flow:202611020200",), "flow has ended", "Set a later end.", center.now)
    usage = Alert(Event.USAGE_WARNING, ("usage:80:2026",), "80 % of the licence is used", "", center.now)
    post(center.instance, "flow", ended, center.now)
    post(center.instance, "flow", ended, center.now)
    post(center.instance, ORGANIZATION, usage, center.now)
    for _ in range(3):
        center.tick()
    assert sorted(receiver.titles) == ["80 % of the licence is used", "flow has ended"]
    for _ in range(20):
        center.tick(timedelta(days=1))
    assert len(receiver.taken) == 2
    center.tick(timedelta(days=100))
    post(center.instance, ORGANIZATION, replace(usage, happened_at=center.now), center.now)
    center.tick()
    assert len(receiver.taken) == 2, "told once in a licence year, however seldom it is handed over"


def test_s8_an_end_that_is_near_and_one_that_has_come_are_told_once(center: Center, receiver: Receiver) -> None:
    end = datetime(2026, 12, 1, tzinfo=UTC)
    notices = [Notice(NoticeKind.END_NEAR, center.flow, "flow ends in some days", end, days) for days in (7, 1)]
    for notice in (*notices, Notice(NoticeKind.ENDED, center.flow, "flow has ended; set a later end", end)):
        for _ in range(2):
            tell_notice(center.instance, notice)
            center.tick()
    assert receiver.titles == [
        "flow: the end is near, 2026-12-01 00:00 UTC",
        "flow: the end is near, 2026-12-01 00:00 UTC",
        "flow: ended on 2026-12-01 00:00 UTC",
    ]
    assert receiver.taken[2]["message"] == "flow has ended; set a later end"


# As Dagster runs it


def test_the_sensor_tells_and_a_tick_that_gives_up_fails(
    center: Center, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = AlertRules((Route("ops", (Event.FAILED,)),))
    [sensor] = alert_definitions([Watched(dataflow(SCHEDULE), rules)], center.channels).sensors or []
    assert isinstance(sensor, dg.SensorDefinition)
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    monkeypatch.setattr(tick_module, "SETTLED", timedelta(0))
    center.run(dg.DagsterRunStatus.FAILURE, at=datetime.now(UTC))
    with dg.build_sensor_context(center.instance) as context:
        data = sensor.evaluate_tick(context)
    assert data.skip_message == "1 alerts sent, none waiting"
    assert data.cursor is not None
    assert Cursor.read(data.cursor, datetime.now(UTC)).sending == ()
    monkeypatch.setattr(outbox_module, "MOST_TRIES", 1)
    receiver.statuses = [500]
    center.run(dg.DagsterRunStatus.FAILURE, center.export_time(0), at=datetime.now(UTC))
    with (
        dg.build_sensor_context(center.instance, cursor=data.cursor) as context,
        pytest.raises(Exception, match="was given up after 1 tries"),
    ):
        sensor.evaluate_tick(context)
    with dg.build_sensor_context(center.instance, cursor=data.cursor) as context:
        assert sensor.evaluate_tick(context).skip_message == "0 alerts sent, none waiting"


def test_a_tick_that_still_sends_is_not_joined_by_the_next(
    center: Center, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon stops waiting for a tick after a minute; the code server goes on with it."""
    monkeypatch.setattr(tick_module, "SETTLED", timedelta(0))
    [sensor] = alert_definitions([Watched(center.flow, EVERYTHING)], center.channels).sensors or []
    assert isinstance(sensor, dg.SensorDefinition)
    post(center.instance, "flow", Alert(Event.ENDED, ("ended",), "ended", "", datetime.now(UTC)), datetime.now(UTC))
    receiver.slow = 60

    def evaluate() -> str | None:
        with dg.build_sensor_context(center.instance) as context:
            return sensor.evaluate_tick(context).skip_message

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(evaluate)
        while not receiver.requests:
            time.sleep(0.01)
        assert evaluate() == "the tick before is still sending"
        receiver.stopped.set()
        assert first.result() == "1 alerts sent, none waiting"
    assert len(receiver.taken) == 1


def test_no_channel_makes_no_sensor() -> None:
    assert not alert_definitions([Watched(dataflow(SCHEDULE), AlertRules())], {}).sensors


def test_no_secret_is_in_what_the_instance_keeps(center: Center, receiver: Receiver) -> None:
    receiver.statuses = [500]
    center.run(dg.DagsterRunStatus.FAILURE)
    center.tick()
    written = list(files(Path(center.instance.root_directory)))
    assert any(b"its receiver answered with HTTP status 500" in one.data for one in written)
    assert leaks(written, [TOKEN]) == []
