"""Alerts on their way: each is sent once, tried again while its receiver fails, and given up in the end. No clock, no I/O."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from dataset_export.alerts.alert import Alert, AlertRules

FIRST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(hours=4)
MOST_TRIES = 14
"""After these an alert is given up. With waits that double from one minute to four hours that is a day after it was made."""

KEPT = 100
"""Alerts of a dataflow that are kept to be listed after they were sent or given up, the newest."""

REMEMBERED = timedelta(days=7)
"""How long it is remembered that something was told, so that it is not told again, after it was made last."""


class State(StrEnum):
    """Where an alert is on its way to a channel."""

    PENDING = "pending"
    SENT = "sent"
    GIVEN_UP = "given_up"


@dataclass(frozen=True)
class Entry:
    """An alert on its way to one channel.

    Attributes:
        tries: how many times it was handed to the receiver.
        due_at: when it is tried next; None once it is sent or given up.
        tried_at: when it was tried last.
        reason: why the last try failed.
    """

    alert: Alert
    channel: str
    due_at: datetime | None
    tries: int = 0
    tried_at: datetime | None = None
    reason: str | None = None

    @property
    def state(self) -> State:
        """Pending while it has a next try; then sent, unless the last try failed."""
        if self.due_at is not None:
            return State.PENDING
        return State.SENT if self.reason is None else State.GIVEN_UP

    def sent(self, now: datetime) -> "Entry":
        """It arrived."""
        return replace(self, tries=self.tries + 1, tried_at=now, due_at=None, reason=None)

    def failed(self, now: datetime, reason: str, *, for_good: bool = False) -> "Entry":
        """It did not arrive: tried again with back-off, or given up after `MOST_TRIES`, or at once `for_good`."""
        tries = self.tries + 1
        wait = min(FIRST_WAIT * 2 ** min(self.tries, MOST_TRIES), LONGEST_WAIT)
        due_at = None if for_good or tries >= MOST_TRIES else now + wait
        return replace(self, tries=tries, tried_at=now, due_at=due_at, reason=reason)


@dataclass(frozen=True)
class Outbox:
    """The alerts of one dataflow.

    Attributes:
        since: nothing that happened earlier is told: when its alerts were first watched.
        entries: oldest first.
        told: keys of what was told, or had nobody to hear it, and until when each is remembered.
    """

    since: datetime
    entries: tuple[Entry, ...] = ()
    told: Mapping[str, datetime] = field(default_factory=dict[str, datetime])

    def with_alerts(
        self, alerts: Iterable[Alert], rules: AlertRules, now: datetime, *, remembered: timedelta = REMEMBERED
    ) -> "Outbox":
        """Put alerts in for the channels that hear of them, unless they were told before and that is `remembered`."""
        entries, told = list(self.entries), dict(self.told)
        for alert in alerts:
            if not any(key in told for key in alert.keys):
                entries += [Entry(alert, channel, due_at=now) for channel in rules.channels(alert.event)]
            for key in alert.keys:
                # Noted once a day is enough to remember it, and spares a write at every tick.
                if key not in told or told[key] < now + remembered - timedelta(days=1):
                    told[key] = now + remembered
        return replace(self, entries=tuple(entries), told=told)

    def knows(self, key: str) -> bool:
        """Whether this was told."""
        return key in self.told

    def due(self, now: datetime) -> list[Entry]:
        """What is to be tried now, oldest first."""
        return [entry for entry in self.entries if entry.due_at is not None and entry.due_at <= now]

    def pending(self) -> bool:
        """Whether anything is still on its way."""
        return any(entry.due_at is not None for entry in self.entries)

    def with_entry(self, before: Entry, after: Entry) -> "Outbox":
        """Put what became of an entry in its place."""
        return replace(self, entries=tuple(after if entry is before else entry for entry in self.entries))

    def pruned(self, now: datetime) -> "Outbox":
        """Without keys that need not be remembered any more, and with the newest only of the entries that are done."""
        done = [entry for entry in self.entries if entry.due_at is None]
        gone = {id(entry) for entry in done[:-KEPT]}
        told = {key: until for key, until in self.told.items() if until >= now}
        return replace(self, entries=tuple(entry for entry in self.entries if id(entry) not in gone), told=told)
