"""A tick of the alerts sensor: what has happened since the last one is put into the outboxes, and what is due is sent (spec S8).

What is to be sent is kept in the instance before it is sent, and what was sent is noted right after: a crash loses nothing,
and repeats an alert only if it comes between a receiver's taking it and the note of it.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster import RunRecord, RunsFilter

from dataset_export.alerts.alert import Alert, AlertRules, rules_of_all
from dataset_export.alerts.channel import Channel, Send
from dataset_export.alerts.exports import end_keys, run_alerts
from dataset_export.alerts.lateness import judged_between, late_alert, late_key
from dataset_export.alerts.outbox import REMEMBERED, Entry, Outbox, State
from dataset_export.errors import ExportError
from dataset_export.export.dataflow import Dataflow
from dataset_export.orchestration.alert_store import ORGANIZATION, load_outboxes, posted, save_outbox
from dataset_export.orchestration.export_runs import DataflowsOf, export_run, not_in_time

SENDING_SECONDS = 20
"""After these no further alert is sent at a tick; a tick has 60 seconds, and one receiver may take 15."""

READING_SECONDS = 20
"""After these no further run is read at a tick; the next one goes on there."""

PAGE = 500
"""Runs that are read at once."""

SETTLED = timedelta(seconds=10)
"""How old news is when it is told: whether Dagster retries a run is noted a moment after the run has failed."""

HANDED_OVER = timedelta(days=400)
"""How long it is remembered that something handed over was told: others hand over again what holds for a licence year."""

OVERLAP = timedelta(minutes=10)
"""How far each tick looks back beyond the one before: clocks of machines differ. What was told is known by its keys."""


@dataclass(frozen=True)
class Watched:
    """A dataflow, and who hears what of it."""

    dataflow: Dataflow
    rules: AlertRules


@dataclass(frozen=True)
class Cursor:
    """What the sensor knows from its last tick.

    Attributes:
        seen_until: everything that happened earlier is in the outboxes.
        sending: dataflows with alerts on their way; they may not be declared any more.
    """

    seen_until: datetime
    sending: tuple[str, ...] = ()

    @classmethod
    def read(cls, text: str | None, now: datetime) -> "Cursor":
        """From what Dagster kept. What happened more than a week ago is told nobody, also after a long outage."""
        earliest = now - REMEMBERED
        if not text:
            return cls(earliest)
        document = json.loads(text)
        return cls(max(datetime.fromisoformat(document["seen_until"]), earliest), tuple(document["sending"]))

    @property
    def text(self) -> str:
        """For Dagster to keep."""
        return json.dumps({"seen_until": self.seen_until.isoformat(), "sending": list(self.sending)})


@dataclass(frozen=True)
class Tick:
    """What a tick did."""

    cursor: Cursor
    tried: tuple[Entry, ...]
    waiting: int

    @property
    def summary(self) -> str:
        """One line."""
        sent = sum(entry.state is State.SENT for entry in self.tried)
        failing = next((entry.reason for entry in self.tried if entry.state is State.PENDING), None)
        waiting = f"{self.waiting} waiting for their next try" if self.waiting else "none waiting"
        return f"{sent} alerts sent, {waiting}" + (f": {failing}" if failing else "")

    @property
    def given_up(self) -> list[str]:
        """What nobody will be told any more, and why."""
        return [
            f"the alert {entry.alert.title!r} was given up after {entry.tries} tries: {entry.reason}"
            for entry in self.tried
            if entry.state is State.GIVEN_UP
        ]


def _now() -> datetime:
    return datetime.now(UTC)


def alerts_tick(
    instance: dg.DagsterInstance,
    watched: Sequence[Watched],
    channels: Mapping[str, Channel],
    cursor: Cursor,
    send: Send,
    *,
    clock: Callable[[], datetime] = _now,
) -> Tick:
    """Put what has happened into the outboxes, and try to send what is due.

    Args:
        instance: with the runs and the outboxes.
        watched: the dataflows.
        channels: by id.
        cursor: of the tick before.
        send: hands an alert to a receiver.
        clock: UTC.
    """
    now = clock()
    rules = {one.dataflow.name: one.rules for one in watched}
    rules[ORGANIZATION] = rules_of_all(rules.values())
    names = {*rules, *cursor.sending}
    saved = load_outboxes(instance, names)
    outboxes = {name: saved.get(name) or Outbox(since=now) for name in names}
    seen_until = max(now - SETTLED, cursor.seen_until)
    heard = [one for one in watched if one.rules.routes]
    found, seen_until = _happened(instance, heard, outboxes, cursor.seen_until, seen_until)
    handed_over = posted(instance, names)
    for name, before in outboxes.items():
        rule = rules.get(name, AlertRules())
        news = [alert for alert in handed_over.get(name, []) if alert.happened_at >= now - REMEMBERED]
        after = before.with_alerts(found.get(name, []), rule, now)
        after = after.with_alerts(news, rule, now, remembered=HANDED_OVER).pruned(now)
        outboxes[name] = after
        if after != saved.get(name):
            save_outbox(instance, name, after)
    tried = tuple(_send_due(instance, outboxes, channels, send, clock))
    sending = tuple(sorted(name for name, outbox in outboxes.items() if outbox.pending()))
    waiting = sum(entry.due_at is not None for outbox in outboxes.values() for entry in outbox.entries)
    return Tick(Cursor(seen_until, sending), tried, waiting)


def _happened(
    instance: dg.DagsterInstance,
    watched: Sequence[Watched],
    outboxes: Mapping[str, Outbox],
    after: datetime,
    until: datetime,
) -> tuple[dict[str, list[Alert]], datetime]:
    """The alerts of runs and of late exports, by dataflow, and until when they are complete: `until`, unless reading took
    too long. Those of runs may have been told before."""
    found: dict[str, list[Alert]] = {one.dataflow.name: [] for one in watched}
    # Most ticks of a new instance need nothing older than its first one.
    earliest = min((outboxes[name].since for name in found), default=until)
    dataflows_of = DataflowsOf(one.dataflow for one in watched)
    stop = time.monotonic() + READING_SECONDS
    for record in _updated_runs(instance, max(after, earliest) - OVERLAP, until):
        for dataflow in dataflows_of(record.dagster_run):
            outbox = outboxes[dataflow.name]
            if not any(outbox.knows(key) for key in end_keys(record.dagster_run.run_id)):
                since = max(outbox.since, after - OVERLAP)
                alerts = run_alerts(export_run(instance, dataflow, record))
                found[dataflow.name] += [alert for alert in alerts if alert.happened_at >= since]
        if time.monotonic() > stop and record.update_timestamp > after:
            until = record.update_timestamp
            break
    for one in watched:
        found[one.dataflow.name] += _late_alerts(instance, one, outboxes[one.dataflow.name], after, until)
    return found, until


def _updated_runs(instance: dg.DagsterInstance, after: datetime, until: datetime) -> Iterator[RunRecord]:
    """Runs in the order in which they were last heard of."""
    while True:
        page = instance.get_run_records(
            RunsFilter(updated_after=after), limit=PAGE, order_by="update_timestamp", ascending=True
        )
        yield from (record for record in page if record.update_timestamp <= until)
        if len(page) < PAGE or page[-1].update_timestamp > until:
            return
        # Others may have been heard of in the same moment as the last one.
        after = page[-1].update_timestamp - timedelta(microseconds=1)


def _late_alerts(
    instance: dg.DagsterInstance, one: Watched, outbox: Outbox, after: datetime, until: datetime
) -> list[Alert]:
    """Judged at the tick after their last moment, whether or not they have arrived since."""
    dataflow, late_after = one.dataflow, one.rules.late_after
    if not dataflow.enabled:
        return []
    judged = [
        export_time
        for export_time in judged_between(dataflow.schedule, late_after, max(after, outbox.since), until)
        if export_time >= outbox.since and not outbox.knows(late_key(export_time))
    ]
    missing = not_in_time(instance, dataflow, judged, late_after)
    return [late_alert(dataflow.name, missing, late_after, until)] if missing else []


def _send_due(
    instance: dg.DagsterInstance,
    outboxes: dict[str, Outbox],
    channels: Mapping[str, Channel],
    send: Send,
    clock: Callable[[], datetime],
) -> Iterable[Entry]:
    """Try what is due, oldest first. A channel that fails is left alone until the next tick, so that it takes no time from
    the others."""
    stop = time.monotonic() + SENDING_SECONDS
    now = clock()
    due = [(name, entry) for name, outbox in outboxes.items() for entry in outbox.due(now)]
    failing: set[str] = set()
    for name, entry in sorted(due, key=lambda one: one[1].alert.happened_at):
        if entry.channel in failing:
            continue
        if time.monotonic() > stop:
            return
        after = _tried(entry, channels, send, clock)
        if after.state is not State.SENT:
            failing.add(entry.channel)
        outboxes[name] = outboxes[name].with_entry(entry, after)
        save_outbox(instance, name, outboxes[name])
        yield after


def _tried(entry: Entry, channels: Mapping[str, Channel], send: Send, clock: Callable[[], datetime]) -> Entry:
    channel = channels.get(entry.channel)
    if channel is None:
        return entry.failed(clock(), f"there is no channel {entry.channel!r} any more", for_good=True)
    try:
        send(channel, entry.alert)
    except ExportError as error:
        return entry.failed(clock(), str(error))
    return entry.sent(clock())
