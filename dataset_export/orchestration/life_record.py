"""What the sensor remembers of each dataflow: what it has said, and whose decision it was that a schedule is stopped.

It is kept in Dagster's storage, and written so that a crash at any point repeats something and never forgets it.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

import dagster as dg

from dataset_export.export.dataflow import Dataflow


class Stop(StrEnum):
    """What became of the sensor's stop of a schedule."""

    ASKED = "asked"
    """It was asked for. A tick of the schedule that was going on may have written the older state back: look again."""

    DONE = "done"
    """The schedule was seen stopped. It is ours to start again."""

    UNDONE = "undone"
    """A person has started it since. From then on it is theirs."""


@dataclass(frozen=True)
class LifeRecord:
    """What is remembered of one dataflow.

    Attributes:
        said: keys of the notices that were handed over.
        stop: what became of our stop of its schedule; None when there was none.
        stopped_for: what was declared when it was stopped, as `declared` gives it.
    """

    said: tuple[str, ...] = ()
    stop: Stop | None = None
    stopped_for: str | None = None


class LifeRecords:
    """The records in Dagster's storage, read once and written through."""

    def __init__(self, instance: dg.DagsterInstance, dataflows: Sequence[Dataflow]) -> None:
        self._storage = instance.daemon_cursor_storage
        stored = self._storage.get_cursor_values({_key(dataflow) for dataflow in dataflows})
        self._known = {key: _parse(text) for key, text in stored.items()}

    def of(self, dataflow: Dataflow) -> LifeRecord:
        """What is remembered of a dataflow; nothing of a new one."""
        return self._known.get(_key(dataflow), LifeRecord())

    def put(self, dataflow: Dataflow, record: LifeRecord) -> None:
        """Remember this."""
        self._storage.set_cursor_values({_key(dataflow): json.dumps(asdict(record))})
        self._known[_key(dataflow)] = record


def declared(dataflow: Dataflow) -> str:
    """What decides which export times there are. A schedule that was stopped at its end starts again when it changes."""
    schedule = dataflow.schedule
    end = schedule.end.isoformat() if schedule.end is not None else "never"
    return f"{schedule.frequency} {schedule.cron} from {schedule.start.isoformat()} to {end}"


def _key(dataflow: Dataflow) -> str:
    return f"dataset_export/life/{dataflow.name}"


def _parse(stored: str) -> LifeRecord:
    document = json.loads(stored)
    stop = document["stop"]
    return LifeRecord(tuple(document["said"]), Stop(stop) if stop else None, document["stopped_for"])
