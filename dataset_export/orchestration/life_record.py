"""What the sensor remembers of each dataflow: what it has said, and whose decision it was that a schedule is stopped.

It is kept in Dagster's storage, and written so that a crash at any point repeats something and never forgets it.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

import dagster as dg

from dataset_export.export.dataflow import Dataflow


class Standing(StrEnum):
    """How the sensor and the schedule of a dataflow stand."""

    CATCHING_UP = "catching_up"
    """The schedule is new, or runs again. The daemon evaluates no tick that has passed, so what is due is asked for here."""

    NORMAL = "normal"
    """The schedule does its work, or a person has stopped it."""

    STOPPING = "stopping"
    """We have stopped it. The daemon may have written an older state back: look again."""

    STOPPED = "stopped"
    """It was seen stopped. It is ours to start again."""

    RELEASED = "released"
    """A person has started it since. From then on it is theirs."""

    STARTING = "starting"
    """We have started it again. The daemon may have written an older state back: look again."""


@dataclass(frozen=True)
class LifeRecord:
    """What is remembered of one dataflow.

    Attributes:
        standing: how sensor and schedule stand.
        stopped_for: what was declared when we stopped the schedule, as `declared` gives it.
        said: keys of the notices that were handed over.
    """

    standing: Standing = Standing.CATCHING_UP
    stopped_for: str | None = None
    said: tuple[str, ...] = ()


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
    return LifeRecord(Standing(document["standing"]), document["stopped_for"], tuple(document["said"]))
