"""From the pieces of flows to declarations: destinations, datasets and dataflows, each once."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from dataset_export.components.imported.destinations import TYPES, destination_of, type_of
from dataset_export.components.imported.findings import Imported, Todo, unknown
from dataset_export.components.imported.pieces import Kind, Piece, find
from dataset_export.components.imported.schedules import schedule_of
from dataset_export.errors import ConfigError
from dataset_export.export.folder import FolderTemplate

OF_THE_SERVICE = frozenset(
    [
        "id",
        "createdAt",
        "updatedAt",
        "createdBy",
        "updatedBy",
        "createdClient",
        "updatedClient",
        "sandboxId",
        "sandboxName",
        "imsOrgId",
        "version",
        "etag",
        "inheritedAttributes",
        "runs",
        "lastOperation",
        "lastRunDetails",
        "providerRefId",
        "_links",
    ]
)
"""What the service adds to what it keeps: nothing that a declaration says."""

OF_A_FLOW = OF_THE_SERVICE | {
    "name",
    "description",
    "flowSpec",
    "sourceConnectionIds",
    "targetConnectionIds",
    "transformations",
    "scheduleParams",
    "state",
}


@dataclass
class Import:
    """What comes of some files; the order is the one in which things were met."""

    destinations: list[Imported] = field(default_factory=list[Imported])
    datasets: list[Imported] = field(default_factory=list[Imported])
    dataflows: list[Imported] = field(default_factory=list[Imported])

    @property
    def all(self) -> list[Imported]:
        """All declarations, those that are named before those that name them."""
        return [*self.destinations, *self.datasets, *self.dataflows]


@dataclass(frozen=True)
class Lake:
    """What the original does not say of datasets: by id their location, and of those with events the column of the time."""

    locations: Mapping[str, str]
    timestamps: Mapping[str, str]


def imported(pieces: Sequence[Piece], lake: Lake) -> Import:
    """Turn the flows among some pieces, with all that they name, into declarations.

    Raises:
        ConfigError: for a flow that names what is not there, goes to what is no destination of datasets, or cannot be
            scheduled; and when there is no flow.
    """
    flows = [piece for piece in pieces if piece.kind is Kind.FLOW]
    if not flows:
        raise ConfigError("there is no flow in these files, and a dataflow is made of one; add its file")
    made = Import()
    by_target: dict[int, Imported] = {}
    for flow in flows:
        target = find(pieces, Kind.TARGET, _only(flow, "targetConnectionIds"), flow)
        if id(target) not in by_target:
            by_target[id(target)] = _destination(flow, target, pieces, made)
            made.destinations.append(by_target[id(target)])
        source = find(pieces, Kind.SOURCE, _only(flow, "sourceConnectionIds"), flow)
        datasets = [_dataset(named, pieces, lake, source) for named in _datasets(source)]
        known = {dataset.id for dataset in made.datasets}
        made.datasets += [dataset for dataset in datasets if dataset.id not in known]
        made.dataflows.append(_dataflow(flow, by_target[id(target)].id, [one.id for one in datasets], made))
    _refuse_superfluous(made, lake)
    return made


def _destination(flow: Piece, target: Piece, pieces: Sequence[Piece], made: Import) -> Imported:
    of_type = type_of(target.spec("connectionSpec"), flow.spec("flowSpec"))
    wanted = cast("str | None", target.body.get("baseConnectionId"))
    base: Piece | None = None
    if of_type != "data_landing_zone" or any(piece.kind is Kind.BASE for piece in pieces):
        base = find(pieces, Kind.BASE, wanted, target)
        of_type = of_type or type_of(base.spec("connectionSpec"))
    if of_type is None:
        raise ConfigError(
            f"{target.place}: the connection specification {target.spec('connectionSpec')} is none of a destination that takes "
            f"datasets; known are those of {', '.join(dict.fromkeys(TYPES.values()))}"
        )
    id_ = _unique(_identifier(target.body.get("name") or (base.name if base else of_type)), made.destinations)
    return destination_of(id_, of_type, base, target)


def _datasets(source: Piece) -> list[Mapping[str, Any]]:
    written: Any = source.params.get("datasets")
    found = cast("list[Any]", written) if isinstance(written, list) else []
    if not found or not all(isinstance(one, dict) and one.get("dataSetId") for one in found):
        raise ConfigError(f"{source.place}: params.datasets is a list of objects with a dataSetId; correct it")
    return found


def _dataset(named: Mapping[str, Any], pieces: Iterable[Piece], lake: Lake, source: Piece) -> Imported:
    id_ = str(named["dataSetId"])
    listed = next((one for one in pieces if one.kind is Kind.DATASET and one.body.get("id") == id_), None)
    name = named.get("name") or (listed.body.get("name") if listed is not None else None)
    made = Imported("Dataset", {"id": id_})
    if name:
        made.attributes["name"] = str(name)
    if listed is not None and listed.body.get("description"):
        made.attributes["description"] = str(listed.body["description"])
    column = lake.timestamps.get(id_)
    made.attributes["behavior"] = "time_series" if column is not None else "record"
    if column is not None:
        made.attributes["timestamp_column"] = column
    else:
        made.notes.append(
            "whether it holds events is not in the original; for one that does, write behavior: time_series and its "
            "timestamp_column, so that what is older than 365 days is left out"
        )
    made.attributes["location"] = lake.locations.get(id_) or Todo(
        "where the table is: a local path, or s3://bucket/folder", "x"
    )
    return made


def _dataflow(flow: Piece, destination: str, datasets: list[str], made: Import) -> Imported:
    params: Any = flow.body.get("scheduleParams")
    if not isinstance(params, dict):
        raise ConfigError(f"{flow.place}: the flow {flow.name!r} has no scheduleParams; add them")
    schedule, mode, notes = schedule_of(flow, cast("Mapping[str, Any]", params))
    found = Imported("Dataflow", {"name": _unique(_identifier(flow.body.get("name") or "flow"), made.dataflows)}, notes)
    if flow.body.get("description"):
        found.attributes["description"] = str(flow.body["description"])
    found.attributes |= {"datasets": datasets, "destination": destination, "schedule": schedule, "mode": str(mode)}
    found.attributes |= _folder(cast("Mapping[str, Any]", params), notes)
    if str(flow.body.get("state", "enabled")).lower() != "enabled":
        found.attributes["enabled"] = False
    if flow.body.get("transformations"):
        notes.append("transformations have no equivalent, and are left out")
    sandbox = flow.body.get("sandboxName")
    if sandbox and sandbox != "prod":
        notes.append(f"it was in the sandbox {sandbox}; the sandbox of the Organization fills %SANDBOX_NAME%")
    notes += unknown(flow.body, frozenset(OF_A_FLOW), "the key of the flow")
    return found


def _folder(params: Mapping[str, Any], notes: list[str]) -> dict[str, str]:
    written = params.get("foldernameTemplate") or params.get("folderNameTemplate")
    if not written:
        return {}
    template = str(written)
    if "%DESTINATION_NAME%" in template:
        notes.append("%DESTINATION_NAME% of the original is %DESTINATION% here")
        template = template.replace("%DESTINATION_NAME%", "%DESTINATION%")
    try:
        FolderTemplate(template)
    except ConfigError as error:
        notes.append(f"its folder has no equivalent: {error}")
        return {"folder": Todo(f"the folder; it was {written}", "/")}
    if "%DATETIME(" in template:
        notes.append("%DATETIME(…)% is the export time here, so that a resend goes to the same folder")
    return {"folder": template}


def _only(flow: Piece, key: str) -> str | None:
    ids: Any = flow.body.get(key)
    if not isinstance(ids, list) or len(cast("list[Any]", ids)) != 1:
        raise ConfigError(f"{flow.place}: {key} of the flow {flow.name!r} has to be a list with one id; correct it")
    return str(ids[0])


def _identifier(name: Any) -> str:
    """A name that ours takes: letters, digits and `_`, a letter first."""
    plain = re.sub(r"[^A-Za-z0-9]+", "_", str(name)).strip("_").lower()[:90]
    return plain if plain[:1].isalpha() else f"x_{plain}".rstrip("_")


def _unique(name: str, others: Iterable[Imported]) -> str:
    taken = {one.id for one in others}
    return next(candidate for candidate in _numbered(name) if candidate not in taken)


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}_{number}"
        number += 1


def _refuse_superfluous(made: Import, lake: Lake) -> None:
    known = {dataset.id for dataset in made.datasets}
    for id_ in (*lake.locations, *lake.timestamps):
        if id_ not in known:
            raise ConfigError(f"there is no dataset {id_!r} in these flows; there are {', '.join(known)}")
