"""`alerts test` and `alerts list`."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from dataset_export.alerts.alert import Alert, AlertRules, Event, Route
from dataset_export.alerts.channel import Channel
from dataset_export.alerts.outbox import FIRST_WAIT, Outbox
from dataset_export.cli.session import Session
from dataset_export.orchestration.alert_store import ORGANIZATION, save_outbox
from dataset_export.secret_refs import SecretRef
from dataset_export_tests.cli.world import World
from dataset_export_tests.servers.receiver import Receiver, running_receiver

OPS, BOSS = Channel("ops", SecretRef(env="OPS_URL")), Channel("boss", SecretRef(env="BOSS_URL"))
AT = datetime(2026, 11, 2, 2, tzinfo=UTC)


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with running_receiver() as server:
        monkeypatch.setenv("OPS_URL", f"{server.url}/ops-t0ken-of-the-hook")
        monkeypatch.setenv("BOSS_URL", f"{server.url}/boss")
        yield server


@pytest.fixture
def session(world: World) -> Session:
    return world.session(channels=(OPS, BOSS))


def test_s8_a_test_alert_arrives(world: World, receiver: Receiver, session: Session) -> None:
    result = world.call("alerts", "test", "ops", session=session)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "ops: sent\n", "")
    assert receiver.titles == ["dataset_export: a test of the channel ops"]
    assert world.json("alerts", "test", session=session) == {
        "sent": True,
        "channels": [
            {"channel": "boss", "sent": True, "reason": None},
            {"channel": "ops", "sent": True, "reason": None},
        ],
    }


def test_s8_a_channel_that_does_not_work_exits_with_1(
    world: World, receiver: Receiver, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.statuses = [403]
    result = world.call("alerts", "test", "ops", "boss", session=session)
    assert result.exit_code == 1
    assert result.stdout == "channel ops: its receiver answered with HTTP status 403\nboss: sent\n"
    assert result.stderr == "error: 1 of 2 channels did not take the test alert: ops\n"
    monkeypatch.delenv("OPS_URL")
    result = world.call("alerts", "test", "ops", "--json", session=session)
    assert result.exit_code == 1
    assert "the environment variable OPS_URL is not set" in result.stdout
    assert "t0ken" not in result.output


def test_a_channel_that_is_not_declared_is_a_wrong_question(world: World, session: Session) -> None:
    result = world.call("alerts", "test", "opps", session=session)
    assert result.exit_code == 2
    assert result.stderr == "error: there is no alert channel 'opps'; declared are boss, ops\n"
    result = world.call("alerts", "test")
    assert result.exit_code == 2
    assert "no alert channel is declared" in result.stderr


def outbox(*events: Event) -> Outbox:
    rules = AlertRules((Route("ops", tuple(Event)),))
    alerts = [Alert(event, (event,), f"{event} it", "why", AT + timedelta(hours=n)) for n, event in enumerate(events)]
    return Outbox(since=AT).with_alerts(alerts, rules, AT)


def test_what_was_sent_is_on_its_way_or_was_given_up_is_listed(world: World) -> None:
    box = outbox(Event.STARTED, Event.FAILED, Event.LATE)
    started, failed, late = box.entries
    box = box.with_entry(started, started.sent(AT))
    box = box.with_entry(failed, failed.failed(AT, "it answered 500"))
    box = box.with_entry(late, late.failed(AT, "there is no channel any more", for_good=True))
    with world.instance() as instance:
        save_outbox(instance, "flow", box)
        save_outbox(instance, ORGANIZATION, outbox(Event.USAGE_WARNING))
    listed = world.json("alerts", "list")
    assert [(one["dataflow"], one["event"], one["state"]) for one in listed] == [
        ("flow", "started", "sent"),
        (None, "usage_warning", "pending"),
        ("flow", "failed", "pending"),
        ("flow", "late", "given_up"),
    ]
    assert listed[2] == {
        "dataflow": "flow",
        "event": "failed",
        "title": "failed it",
        "text": "why",
        "happened_at": "2026-11-02T03:00:00Z",
        "channel": "ops",
        "state": "pending",
        "tries": 1,
        "tried_at": "2026-11-02T02:00:00Z",
        "next_try_at": (AT + FIRST_WAIT).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "reason": "it answered 500",
    }
    assert len(world.json("alerts", "list", "flow")) == 3
    shown = world.call("alerts", "list")
    assert shown.exit_code == 0
    assert "given up" in shown.stdout
    assert "it answered 500" in shown.stdout


def test_nothing_was_sent_yet(world: World) -> None:
    assert world.json("alerts", "list") == []
    assert world.call("alerts", "list", "flw").exit_code == 2
