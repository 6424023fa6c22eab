"""What of the declarations decides what is delivered, as plain JSON: recorded with every export, so that `review` can say
what has changed since, and the schedule what it owes.

A field that is added to one of the declared values is recorded without further ado, unless it is left out below.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from typing import Any, cast

from dataset_export.export.dataflow import Dataflow, Dataset
from dataset_export.export.folder import FolderTemplate
from dataset_export.export.schedule import Frequency, Schedule
from dataset_export.secret_refs import SecretRef

Settings = Mapping[str, Any]
"""As `settings_of` makes it. One that an earlier version recorded may lack keys."""

NOT_OF_A_DELIVERY = frozenset({"description", "owners", "owner"})
"""What people read and what they may, wherever it stands."""

LEFT_OUT: Mapping[str, frozenset[str]] = {
    "Dataset": frozenset({"storage_options", "kind", "origin", "profile_enabled"}),
    "TableCatalog": frozenset({"name", "table", "options"}),
    "DestinationInfo": frozenset({"encoding", "recipients", "max_concurrent_exports"}),
    "Dataflow": frozenset({"datasets", "encoding", "name", "columns"}),
}
"""By type: what may hold credentials, what other keys say, and what decides nothing about the files."""


AS_TEXT = (SecretRef, FolderTemplate)
"""Values that a person writes in one piece."""


@dataclass(frozen=True)
class Difference:
    """A setting that is not what it was: its dotted key, and both values as JSON has them."""

    key: str
    before: Any
    after: Any


def settings_of(dataflow: Dataflow, dataset: Dataset, address: str) -> Settings:
    """What is declared of a dataset in a dataflow, without secrets.

    Args:
        dataflow: as it is declared now.
        dataset: one of its datasets; of the others the ids are recorded.
        address: of the destination (`destinations.contract.address_of`).
    """
    plain = _fields(dataflow)
    plain["destination"] |= {"address": address, "encrypted_for": list(dataflow.destination.encrypted_for)}
    return {
        **plain,
        "format": str(dataflow.encoding.format),
        "compression": str(dataflow.encoding.compression),
        "datasets": [one.id for one in dataflow.datasets],
        "dataset": {**_fields(dataset), "columns": _plain(dataflow.columns_of(dataset))},
    }


def differences(before: Settings, after: Settings) -> list[Difference]:
    """What changed, by key. A key that only one of the two knows is none: another version recorded it, or did not."""
    return list(_compared(before, after, ""))


def schedule_in(settings: Settings) -> Schedule:
    """The schedule that was recorded."""
    written = settings["schedule"]
    return Schedule(
        frequency=Frequency(written["frequency"]),
        cron=written["cron"],
        start=datetime.fromisoformat(written["start"]),
        end=datetime.fromisoformat(written["end"]) if written["end"] is not None else None,
    )


def _fields(value: Any) -> dict[str, Any]:
    left_out = LEFT_OUT.get(type(value).__name__, frozenset()) | NOT_OF_A_DELIVERY
    return {one.name: _plain(getattr(value, one.name)) for one in fields(value) if one.name not in left_out}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        # As pairs: a key of a mapping that a person writes is a value, not a setting of its own.
        return [[str(key), _plain(inner)] for key, inner in sorted(cast("Mapping[Any, Any]", value).items())]
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in cast("list[Any]", value)]
    return _fields(value) if is_dataclass(value) and not isinstance(value, AS_TEXT) else _text(value)


def _text(value: Any) -> str:
    match value:
        case datetime():
            return value.isoformat()
        case SecretRef():
            return value.as_text()
        case FolderTemplate():
            return value.text
        case _:
            return str(value)


def _compared(before: Settings, after: Settings, prefix: str) -> Iterator[Difference]:
    for key, new in after.items():
        old = before.get(key, new)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _compared(cast("Settings", old), cast("Settings", new), f"{prefix}{key}.")
        elif old != new:
            yield Difference(f"{prefix}{key}", old, new)
