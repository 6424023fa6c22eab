"""What happens when, made from a seed before anything does: nothing that has to happen is left to chance, only its hour."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

DESTINATIONS = ("partner", "archive", "vault")
CHANNELS = ("ops", "mail")

WEEK = timedelta(days=7)
GIVEN_UP_AFTER = timedelta(hours=92)
"""An outage of so long uses up the attempts of an export time."""

DEAF_AT_MOST_HOURS = 14
"""An alert is given up after 14 tries. At a turn in an hour that is after 20 hours or so."""


@dataclass(frozen=True)
class Span:
    """A time, from `begin` on and before `end`."""

    begin: datetime
    end: datetime


@dataclass(frozen=True)
class Script:
    """Everything that happens and is not a consequence.

    Attributes:
        outages: when nothing works at a destination.
        stops: when the daemon is stopped.
        deaf: when the receiver of a channel takes no alert.
        answers_lost: when it takes alerts, and its answers get lost.
        bursts: when a table gets very many rows at once, by dataset.
        new_columns: when a table gets a further column, by dataset.
    """

    outages: Mapping[str, tuple[Span, ...]]
    stops: tuple[Span, ...]
    deaf: Mapping[str, tuple[Span, ...]]
    answers_lost: Mapping[str, tuple[Span, ...]]
    bursts: Mapping[str, tuple[datetime, ...]]
    new_columns: Mapping[str, tuple[datetime, ...]]


def within(moment: datetime, spans: Iterable[Span]) -> bool:
    """Whether a moment is in one of them."""
    return any(span.begin <= moment < span.end for span in spans)


def make_script(start: datetime, length: timedelta, dice: random.Random) -> Script:
    """The script of a simulation: in each week of it one of everything, at least."""
    weeks = max(1, length // WEEK)

    def once_a_week(least_hours: float, most_hours: float) -> tuple[Span, ...]:
        spans: list[Span] = []
        for week in range(weeks):
            begin = start + length * ((week + dice.uniform(0.1, 0.9)) / weeks)
            spans.append(Span(begin, begin + timedelta(hours=dice.uniform(least_hours, most_hours))))
        return tuple(spans)

    def at(share: float) -> datetime:
        return start + length * share

    partner, archive = once_a_week(3, 30), once_a_week(3, 30)
    vault = once_a_week(3, 30) if weeks > 1 else ()
    stops = once_a_week(4, 60 if weeks > 1 else 12)
    return Script(
        # Once one of them is away until exports are given up.
        outages={"partner": partner, "archive": archive, "vault": (_until_given_up(at(0.12), stops), *vault)},
        stops=stops,
        deaf={channel: once_a_week(2, DEAF_AT_MOST_HOURS) for channel in CHANNELS},
        answers_lost={channel: once_a_week(1, 6) for channel in CHANNELS},
        bursts={"orders": (at(0.62), at(0.9)), "items": (at(0.7),)},
        new_columns={"items": (at(0.5),), "orders": (at(0.66),)},
    )


def _until_given_up(begin: datetime, stops: Iterable[Span]) -> Span:
    """An outage that uses up the attempts of an export time, however long the daemon is stopped meanwhile."""
    end = begin + GIVEN_UP_AFTER
    for stop in sorted(stops, key=lambda one: one.begin):
        if stop.end > begin and stop.begin < end:
            end += stop.end - max(stop.begin, begin)
    return Span(begin, end)
