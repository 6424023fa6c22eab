"""Twelve dataflows of every frequency, what is changed of them on which day, and when their exports are due by an account
of its own: plain counting of hours, not the cron that the project uses."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

COMPONENTS = "dataset_export.components"


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
    """

    name: str
    datasets: tuple[str, ...]
    destination: str
    start: datetime
    every: timedelta | None
    end: datetime | None
    written: dict[str, Any]
    more: dict[str, Any] = field(default_factory=dict[str, Any])

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

    def document(self) -> dict[str, Any]:
        end = "never" if self.end is None else self.end.isoformat()
        return {
            "type": f"{COMPONENTS}.Dataflow",
            "attributes": {
                "name": self.name,
                "datasets": list(self.datasets),
                "destination": self.destination,
                "schedule": {**self.written, "start": self.start.isoformat(), "end": end},
                **self.more,
            },
        }


@dataclass(frozen=True)
class Change:
    """From `after` on (time since the start) dataflow `flow` differs by `changes`."""

    after: timedelta
    flow: str
    changes: dict[str, Any]


def flows(start: datetime, length: timedelta) -> list[Flow]:
    """The dataflows of a simulation that begins at `start`, a midnight."""

    def at(hour: int, minute: int = 0) -> datetime:
        return start + timedelta(hours=hour, minutes=minute)

    def hourly(step: int) -> dict[str, Any]:
        return {"frequency": "hourly", "every_hours": step}

    day = timedelta(days=1)
    daily = {"frequency": "daily"}
    return [
        Flow("every_3_hours", ("orders",), "partner", at(1, 30), timedelta(hours=3), None, hourly(3)),
        Flow("every_6_hours", ("events",), "partner", at(2), timedelta(hours=6), None, hourly(6), {"format": "json"}),
        Flow("every_8_hours", ("orders", "items"), "partner", at(8), timedelta(hours=8), None, hourly(8)),
        Flow("every_12_hours", ("items",), "archive", at(3, 15), timedelta(hours=12), None, hourly(12)),
        Flow("each_day", ("orders", "events", "items"), "archive", at(4), day, None, daily),
        Flow("each_day_until_extended", ("orders",), "archive", at(5), day, start + length * 0.3, daily),
        Flow("each_day_one_removed", ("orders", "items"), "partner", at(6), day, None, daily),
        Flow("each_day_paused", ("items",), "partner", at(7), day, None, daily),
        Flow("each_day_full", ("items",), "archive", at(2, 30), day, None, daily, {"mode": "full"}),
        Flow("just_once", ("orders",), "partner", at(12), None, None, {"frequency": "once"}, {"mode": "full"}),
        Flow(
            "by_cron",
            ("events",),
            "archive",
            at(1, 45),
            timedelta(hours=4),
            None,
            {"frequency": "cron", "cron": "45 1-23/4 * * *"},
        ),
        Flow("ends_early", ("items", "orders"), "partner", at(9), day, start + length * 0.5, daily),
    ]


def changes(start: datetime, length: timedelta) -> list[Change]:
    """What people do to the declarations meanwhile, in order of time."""
    return sorted(
        [
            Change(length * 0.2, "each_day_one_removed", {"datasets": ("orders",)}),
            Change(length * 0.45, "each_day_one_removed", {"datasets": ("orders", "items")}),
            Change(length * 0.25, "each_day_paused", {"more": {"enabled": False}}),
            Change(length * 0.55, "each_day_paused", {"more": {}}),
            # The end of it has passed by then, and its schedule was stopped.
            Change(length * 0.45, "each_day_until_extended", {"end": start + length * 0.8}),
            Change(length * 0.6, "every_12_hours", {"end": start + length * 0.9}),
        ],
        key=lambda change: change.after,
    )


def changed(declared: list[Flow], change: Change) -> list[Flow]:
    """The dataflows after a change."""
    return [replace(flow, **change.changes) if flow.name == change.flow else flow for flow in declared]


def write(folder: Path, lake: Path, delivery: Path, declared: list[Flow], extra: list[dict[str, Any]]) -> None:
    """Write the declarations as people do: YAML, one document for each."""
    documents: list[dict[str, Any]] = [
        *extra,
        *(
            {
                "type": f"{COMPONENTS}.Dataset",
                "attributes": {
                    "id": dataset,
                    "behavior": "time_series" if dataset == "events" else "record",
                    **({"timestamp_column": "happened"} if dataset == "events" else {}),
                    "location": str(lake / dataset),
                },
            }
            for dataset in ("orders", "events", "items")
        ),
        *(
            {
                "type": f"{COMPONENTS}.Destination",
                "attributes": {"type": "local", "id": name, "name": name, "folder": str(delivery / name)},
            }
            for name in ("partner", "archive")
        ),
        *(flow.document() for flow in declared),
    ]
    file = folder / "soak" / "defs.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("---\n".join(yaml.safe_dump(document, sort_keys=False) for document in documents))
