"""Twelve dataflows of every frequency, what is changed of them on which day, and when their exports are due by an account
of its own: plain counting of hours, not the cron that the project uses."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from dataset_export_tests.soak.script import DESTINATIONS

COMPONENTS = "dataset_export.components"
DATASETS = ("orders", "events", "items")

QUIET = frozenset({"started", "succeeded"})
"""What a channel is not told unless it asks for it."""
ALL_EVENTS = QUIET | {
    "failed",
    "late",
    "excluded_rows",
    "end_near",
    "ended",
    "schema_drift",
    "volume_anomaly",
    "usage_warning",
}
OPS = {"ops": ALL_EVENTS}
"""Who hears what of a dataflow that does not say; the organization says it."""


@dataclass(frozen=True)
class Flow:
    """One dataflow as it is declared at a time.

    Attributes:
        name: of the dataflow.
        datasets: ids.
        destination: id.
        start: first export time, UTC.
        every: time between two exports; None for once.
        end: no export at or after it; None is never.
        written: the schedule's attributes beside start and end.
        more: further attributes of the dataflow.
        hears: which events go to which channel.
        late_after: how long after its export time an export is late.
        enabled: whether it exports.
    """

    name: str
    datasets: tuple[str, ...]
    destination: str
    start: datetime
    every: timedelta | None
    end: datetime | None
    written: dict[str, Any]
    more: dict[str, Any] = field(default_factory=dict[str, Any])
    hears: Mapping[str, frozenset[str]] = field(default_factory=lambda: OPS)
    late_after: timedelta = timedelta(minutes=150)
    enabled: bool = True

    @property
    def once(self) -> bool:
        """Whether it exports only once."""
        return self.every is None

    @property
    def full(self) -> bool:
        return self.more.get("mode") == "full"

    def due(self, until: datetime) -> Iterator[datetime]:
        """Export times up to and including `until`."""
        moment = self.start
        while moment <= until and (self.end is None or moment < self.end):
            yield moment
            if self.every is None:
                return
            moment += self.every

    def has(self, moment: datetime) -> bool:
        """Whether a moment is one of its export times."""
        return moment in self.due(moment)

    def over(self, now: datetime) -> bool:
        """Whether its last export time has passed, or its end."""
        return now >= self.start if self.once else self.end is not None and now >= self.end

    def channels(self, event: str) -> list[str]:
        """Who hears of an event."""
        return [channel for channel, events in self.hears.items() if event in events]

    def attributes(self) -> dict[str, Any]:
        """As they are written in YAML."""
        end = "never" if self.end is None else self.end.isoformat()
        return {
            "name": self.name,
            "datasets": list(self.datasets),
            "destination": self.destination,
            "schedule": {**self.written, "start": self.start.isoformat(), "end": end},
            "enabled": self.enabled,
            **({} if self.hears is OPS else {"alerts": self._alerts()}),
            **self.more,
        }

    def _alerts(self) -> dict[str, Any]:
        return {
            "to": [
                # What is the default is left out.
                {"channel": channel, **({} if events == ALL_EVENTS - QUIET else {"events": sorted(events)})}
                for channel, events in self.hears.items()
            ],
            "late_after_minutes": int(self.late_after / timedelta(minutes=1)),
        }


@dataclass(frozen=True)
class Change:
    """From `after` on (time since the start) dataflow `flow` differs by `changes`."""

    after: timedelta
    flow: str
    changes: dict[str, Any]


def flows(start: datetime, length: timedelta) -> dict[str, Flow]:
    """The dataflows of a simulation that begins at `start`, a midnight, by name."""
    return {flow.name: flow for flow in _flows(start, length)}


def _flows(start: datetime, length: timedelta) -> list[Flow]:

    def at(hour: int, minute: int = 0) -> datetime:
        return start + timedelta(hours=hour, minutes=minute)

    def hourly(step: int) -> dict[str, Any]:
        return {"frequency": "hourly", "every_hours": step}

    day = timedelta(days=1)
    daily = {"frequency": "daily"}
    by_cron = {"frequency": "cron", "cron": "45 1-23/4 * * *"}
    notify = {"on_schema_change": "notify"}
    both = {"ops": ALL_EVENTS, "mail": frozenset({"succeeded", "excluded_rows", "ended"})}
    only_mail = {"mail": ALL_EVENTS - QUIET}
    return [
        Flow("every_3_hours", ("orders",), "partner", at(1, 30), timedelta(hours=3), None, hourly(3)),
        Flow(
            "every_6_hours",
            ("events",),
            "partner",
            at(2),
            timedelta(hours=6),
            None,
            hourly(6),
            {"format": "json"},
            hears=both,
        ),
        Flow("every_8_hours", ("orders", "items"), "partner", at(8), timedelta(hours=8), None, hourly(8), notify),
        Flow("every_12_hours", ("items",), "vault", at(3, 15), timedelta(hours=12), None, hourly(12)),
        Flow(
            "each_day",
            DATASETS,
            "archive",
            at(4),
            day,
            None,
            daily,
            notify,
            hears=only_mail,
            late_after=timedelta(minutes=400),
        ),
        Flow("each_day_until_extended", ("orders",), "archive", at(5), day, start + length * 0.3, daily),
        Flow("each_day_one_removed", ("orders", "items"), "partner", at(6), day, None, daily),
        Flow("each_day_paused", ("items",), "partner", at(7), day, None, daily),
        Flow("each_day_full", ("items",), "vault", at(2, 30), day, None, daily, {"mode": "full", **notify}),
        Flow("just_once", ("orders",), "partner", at(12), None, None, {"frequency": "once"}, {"mode": "full"}),
        # Nobody wants to hear of this one.
        Flow("by_cron", ("events",), "archive", at(1, 45), timedelta(hours=4), None, by_cron, hears={}),
        Flow("ends_early", ("items", "orders"), "partner", at(9), day, start + length * 0.5, daily),
    ]


def changes(start: datetime, length: timedelta) -> list[Change]:
    """What people do to the declarations meanwhile, in order of time."""
    return sorted(
        [
            Change(length * 0.2, "each_day_one_removed", {"datasets": ("orders",)}),
            Change(length * 0.45, "each_day_one_removed", {"datasets": ("orders", "items")}),
            Change(length * 0.25, "each_day_paused", {"enabled": False}),
            Change(length * 0.55, "each_day_paused", {"enabled": True}),
            # The end of it has passed by then, and its schedule was stopped.
            Change(length * 0.45, "each_day_until_extended", {"end": start + length * 0.8}),
            Change(length * 0.6, "every_12_hours", {"end": start + length * 0.9}),
        ],
        key=lambda change: change.after,
    )


def changed(declared: Mapping[str, Flow], change: Change) -> dict[str, Flow]:
    """The dataflows after a change."""
    return {**declared, change.flow: replace(declared[change.flow], **change.changes)}


def write(folder: Path, lake: Path, delivery: Path, declared: Mapping[str, Flow], secrets: Mapping[str, Any]) -> None:
    """Write the declarations as people do: YAML, one document for each.

    Args:
        folder: of the declarations.
        lake: folder of the tables.
        delivery: folder of the destinations.
        declared: the dataflows.
        secrets: where the URL of each channel is.
    """
    ops = [{"channel": channel, "events": sorted(events)} for channel, events in OPS.items()]
    documents: list[tuple[str, dict[str, Any]]] = [
        ("Organization", {"name": "Soak", "alerts": {"to": ops}}),
        *(("AlertChannel", {"id": channel, "url": secret}) for channel, secret in secrets.items()),
        *(("Dataset", _dataset(dataset, lake)) for dataset in DATASETS),
        *(
            ("Destination", {"type": "local", "id": name, "name": name, "folder": str(delivery / name)})
            for name in DESTINATIONS
        ),
        *(("Dataflow", flow.attributes()) for flow in declared.values()),
    ]
    file = folder / "soak" / "defs.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        "---\n".join(
            yaml.safe_dump({"type": f"{COMPONENTS}.{component}", "attributes": attributes}, sort_keys=False)
            for component, attributes in documents
        )
    )


def _dataset(dataset: str, lake: Path) -> dict[str, Any]:
    behavior = (
        {"behavior": "time_series", "timestamp_column": "happened"} if dataset == "events" else {"behavior": "record"}
    )
    return {"id": dataset, **behavior, "location": str(lake / dataset)}
