"""What has changed in a dataflow since its datasets ran last, whom it touches, and what is delivered next for it (spec S4).

The rules themselves are in docs/semantics.md, "Changing a dataflow".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataset_export.export.dataflow import Dataflow
from dataset_export.export.settings import Settings, differences, settings_of

ADDRESS = "destination.address"
DATASETS = "datasets"

EFFECTS: Mapping[str, str] = {
    "schedule.end": "all datasets have one end; export times that a later end adds and that have passed are delivered one by one, in order",
    "schedule": "all datasets have one schedule; at the next export time of the new one, each gets what was added since its last export",
    "mode": "the next export is the whole table when the mode is full, else what was added since the last export",
    "folder": "from the next export on; what was delivered stays where it is, unless it is resent",
    "file_name": "from the next export on; what was delivered keeps its names, unless it is resent",
    "format": "from the next export on; what was delivered stays as it is, unless it is resent",
    "compression": "from the next export on; what was delivered stays as it is, unless it is resent",
    "organization": "from the next export on, where the folder names it",
    "enabled": "disabled, nothing is exported; enabled again, the export times in between are delivered one by one, in order",
    "dataset.uri": "the next export is what that table has above the version delivered last; another table needs another dataset",
    "dataset.catalog": "the next export is what the table has above the version delivered last, if it is the same table; else it fails and says so",
    "destination.type": "from the next export on, where the folder names it",
    "destination.id": "from the next export on, in the names of manifests, and where the folder names it",
    "destination.name": "from the next export on, in manifests, and where the folder names it",
}
"""The key of a setting, or what its key begins with, to what is delivered next when it changes."""

ANY_EFFECT = "from the next export on"

HERE = (
    "the same place by another address: the export delivered last is there, and the exports go on with what was added"
)
ELSEWHERE = "nothing of it is at that place yet: there, the next export delivers EVERYTHING; what was delivered stays where it is"


@dataclass(frozen=True)
class Ran:
    """What a dataset ran under last.

    Attributes:
        settings: as `export.settings` records them.
        export_time: as text, `YYYYMMDDHHMM`.
        order: grows with every export that is recorded.
    """

    settings: Settings
    export_time: str
    order: int


@dataclass(frozen=True)
class Change:
    """A setting that is not what it was.

    Attributes:
        setting: its dotted key; `datasets` for a dataset that joins or leaves.
        before: its value as JSON has it; None also for a dataset that joins.
        after: likewise; None also for a dataset that leaves.
        datasets: ids of those it touches, in the dataflow's order.
        effect: what is delivered next, in words.
    """

    setting: str
    before: Any
    after: Any
    datasets: tuple[str, ...]
    effect: str


def changes(dataflow: Dataflow, address: str | None, ran: Mapping[str, Ran], here: str) -> list[Change]:
    """Everything that differs from what ran last, dataset by dataset, equal changes as one.

    Args:
        dataflow: as it is declared now.
        address: of its destination; None when it is not known, and then not compared.
        ran: what each dataset ran under last, by id; also of datasets that have left the dataflow.
        here: what follows when the address is another one (`HERE`, `ELSEWHERE`, or why neither is known).
    """
    newest = max(ran.values(), key=lambda one: one.order, default=None)
    before = list(newest.settings[DATASETS]) if newest is not None else []
    touched: dict[tuple[str, str, str], Change] = {}
    for dataset in dataflow.datasets:
        last = ran.get(dataset.id)
        if last is None or dataset.id not in before:
            continue
        now = settings_of(dataflow, dataset, address or str(last.settings["destination"]["address"]))
        for found in differences(last.settings, now):
            if found.key == DATASETS:
                continue
            same = (found.key, repr(found.before), repr(found.after))
            others = touched[same].datasets if same in touched else ()
            effect = here if found.key == ADDRESS else _effect(found.key)
            touched[same] = Change(found.key, found.before, found.after, (*others, dataset.id), effect)
    return [*touched.values(), *_joined(dataflow, before, ran), *_left(dataflow, before)]


def _joined(dataflow: Dataflow, before: Sequence[str], ran: Mapping[str, Ran]) -> list[Change]:
    joined: list[Change] = []
    for dataset in dataflow.datasets:
        if dataset.id in before:
            continue
        last = ran.get(dataset.id)
        effect = (
            f"it is put back: at the next export time, what was added since {last.export_time}"
            if last is not None
            else "it is new here: at the next export time, everything"
        )
        joined.append(Change(DATASETS, None, dataset.id, (dataset.id,), effect))
    return joined


def _left(dataflow: Dataflow, before: Sequence[str]) -> list[Change]:
    now = {dataset.id for dataset in dataflow.datasets}
    effect = (
        "it is no longer exported; what was delivered and its history stay, and put back it goes on where it stopped"
    )
    return [Change(DATASETS, id_, None, (id_,), effect) for id_ in before if id_ not in now]


def _effect(key: str) -> str:
    parts = key.split(".")
    prefixes = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((EFFECTS[prefix] for prefix in prefixes if prefix in EFFECTS), ANY_EFFECT)
