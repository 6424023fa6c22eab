"""A project whose secrets are planted: declarations in YAML, environment variables, files, and a Dagster home."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import yaml

from dataset_export.export.schedule import format_export_time
from dataset_export_tests.secrets.ways import Way, marks_of
from dataset_export_tests.servers.weed import free_ports

START = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=2)
EXPORT_TIME = format_export_time(START)
SHELF = "shelf"
"""A local folder, which has no secrets: for datasets that cannot be read."""
CHANNEL = "hook"
Reference = Literal["env", "file"]


@dataclass(frozen=True)
class Project:
    """A written project. `environment` are the variables with its secrets, `dataflows` their names by the id of the
    destination."""

    name: str
    folder: Path
    dataflows: Mapping[str, str]
    environment: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    marks: set[str] = field(default_factory=set[str], repr=False)

    @property
    def defs(self) -> Path:
        return self.folder / "defs"


def write_project(
    folder: Path, datasets: Sequence[Way], destinations: Sequence[Way], by: Callable[[int], Reference]
) -> Project:
    """Write a dataflow of all datasets to each destination, and to a local folder.

    Args:
        folder: of the project; its name is in those of the dataflows, so that several projects may share an instance.
        datasets: none for a project without dataflows.
        destinations: where to.
        by: whether the n-th secret is given by a variable or by a file.
    """
    name = folder.name
    ids = [way.id for way in datasets]
    project = Project(name, folder, {id_: f"{name}_{id_}" for id_ in (*(way.id for way in destinations), SHELF)})
    planter = Planter(project, by)
    documents = [_document("Dataset", planter.dataset(way)) for way in datasets]
    documents += [_document("Destination", planter.destination(way)) for way in destinations]
    documents.append(_document("Destination", {"id": SHELF, "type": "local", "folder": SHELF}))
    # An address with a password in it, at which nobody listens: what is sent there fails.
    documents.append(_document("AlertChannel", {"id": CHANNEL, "url": planter.plant(CHANNEL, channel_url())}))
    more = {"columns": {"hash": ["name"], "salt": planter.plant("salt", secrets.token_urlsafe(24))}}
    more["alerts"] = {"to": [{"channel": CHANNEL, "events": ["succeeded", "failed"]}]}
    documents += [_dataflow(name, ids, id_, more) for id_, name in project.dataflows.items() if ids]
    project.defs.mkdir(parents=True)
    (project.defs / "defs.yaml").write_text("---\n".join(documents), encoding="utf-8")
    return project


class Planter:
    """Puts secrets where the project refers to them."""

    def __init__(self, project: Project, by: Callable[[int], Reference]) -> None:
        self._project = project
        self._by = by
        self._planted = 0

    def dataset(self, way: Way) -> dict[str, Any]:
        options = {name: value for name, value in way.fields.items() if name != "location"}
        options |= self._references(way)
        return {"id": way.id, "behavior": "record", "location": way.fields["location"], "storage_options": options}

    def destination(self, way: Way) -> dict[str, Any]:
        return {"id": way.id, "type": way.type, "format": "json", **way.fields, **self._references(way)}

    def _references(self, way: Way) -> dict[str, dict[str, str]]:
        return {name: self.plant(f"{way.id}_{name}", secret) for name, secret in way.secrets.items()}

    def plant(self, name: str, secret: str) -> dict[str, str]:
        """The reference to a secret that is put where it points."""
        self._project.marks.update(marks_of(secret))
        self._planted += 1
        if self._by(self._planted) == "env":
            variable = f"{self._project.name}_{name}".upper()
            self._project.environment[variable] = secret
            return {"env": variable}
        file = self._project.folder / "planted" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(secret, encoding="utf-8")
        return {"file": str(file)}


def _document(component: str, attributes: Mapping[str, Any]) -> str:
    document = {"type": f"dataset_export.components.{component}", "attributes": dict(attributes)}
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def channel_url() -> str:
    """Of a web hook, for Apprise."""
    [port] = free_ports(1)
    return f"json://planted:{secrets.token_urlsafe(24)}@127.0.0.1:{port}/hook"


def _dataflow(name: str, datasets: Sequence[str], destination: str, more: Mapping[str, Any]) -> str:
    schedule = {"frequency": "daily", "start": START.date(), "at": "00:00", "end": "never"}
    attributes = {"name": name, "datasets": list(datasets), "destination": destination, "schedule": schedule}
    return _document("Dataflow", {**attributes, **more})
