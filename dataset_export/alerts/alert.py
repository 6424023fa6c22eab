"""An alert, and who gets which (spec S8)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

DEFAULT_LATE_AFTER = timedelta(minutes=150)
"""An export is late when it is not delivered this long after its export time (spec S8)."""


class Event(StrEnum):
    """What an alert is about (spec S8)."""

    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    LATE = "late"
    EXCLUDED_ROWS = "excluded_rows"
    END_NEAR = "end_near"
    ENDED = "ended"
    SCHEMA_DRIFT = "schema_drift"
    VOLUME_ANOMALY = "volume_anomaly"
    USAGE_WARNING = "usage_warning"


DEFAULT_EVENTS = tuple(event for event in Event if event not in {Event.STARTED, Event.SUCCEEDED})
"""What a channel hears of a dataflow that says nothing else: all but what happens whenever everything is well."""


@dataclass(frozen=True)
class Alert:
    """One thing to tell, once.

    Attributes:
        event: what it is about.
        keys: what it tells, in words that stay the same whenever it is made. An alert of which one was told is dropped.
        title: one line; names the dataflow.
        text: lines for a person, with what to do where something is to be done. Holds no secret.
        happened_at: UTC.
    """

    event: Event
    keys: tuple[str, ...]
    title: str
    text: str
    happened_at: datetime


@dataclass(frozen=True)
class Route:
    """A channel and the events that it hears."""

    channel: str
    events: tuple[Event, ...] = DEFAULT_EVENTS


@dataclass(frozen=True)
class AlertRules:
    """Who hears what of a dataflow.

    Attributes:
        routes: none: nobody hears anything.
        late_after: how long after its export time an export that is not delivered is late.
    """

    routes: tuple[Route, ...] = ()
    late_after: timedelta = DEFAULT_LATE_AFTER

    def channels(self, event: Event) -> tuple[str, ...]:
        """Ids of the channels that hear of an event, each once."""
        return tuple(dict.fromkeys(route.channel for route in self.routes if event in route.events))


def rules_of_all(rules: Iterable[AlertRules]) -> AlertRules:
    """Who hears what concerns the whole organization: everyone who hears the same event of some dataflow."""
    return AlertRules(tuple(route for one in rules for route in one.routes))
