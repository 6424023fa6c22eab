"""`alerts:` of a dataflow or of the organization: which channels hear what."""

from collections.abc import Collection
from datetime import timedelta

from pydantic import Field

from dataset_export.alerts.alert import DEFAULT_EVENTS, DEFAULT_LATE_AFTER, AlertRules, Event, Route
from dataset_export.components.declaration import Attributes
from dataset_export.components.source import Source


class RouteAttributes(Attributes):
    """A channel and what it hears."""

    channel: str = Field(description="Id of an AlertChannel.")
    events: tuple[Event, ...] = Field(
        default=DEFAULT_EVENTS,
        min_length=1,
        description="What it hears. Default: everything but started and succeeded.",
    )


class AlertsAttributes(Attributes):
    """Who hears what of a dataflow."""

    to: tuple[RouteAttributes, ...] = Field(description="The channels; [] sends nothing to anybody.")
    late_after_minutes: int = Field(
        default=int(DEFAULT_LATE_AFTER / timedelta(minutes=1)),
        ge=1,
        description="An export that is not delivered so long after its export time is late.",
    )


def alert_rules(attributes: AlertsAttributes, channels: Collection[str], source: Source) -> AlertRules:
    """The rules as a value.

    Args:
        attributes: of the dataflow or the organization.
        channels: ids of those that are declared.
        source: of the same declaration.

    Raises:
        ConfigError: with file and line, for a channel that is not declared.
    """
    for number, route in enumerate(attributes.to):
        if route.channel not in channels:
            there_are = f"there are {', '.join(sorted(channels))}" if channels else "none is declared"
            message = f"there is no alert channel {route.channel!r}; {there_are}; declare an AlertChannel of this id"
            raise source.error(message, "alerts", "to", number, "channel")
    return AlertRules(
        routes=tuple(Route(route.channel, route.events) for route in attributes.to),
        late_after=timedelta(minutes=attributes.late_after_minutes),
    )
