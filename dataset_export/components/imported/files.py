"""The declarations of an import as text, tried out before they are kept."""

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from dataset_export.components.catalog import load_catalog
from dataset_export.components.imported.findings import Imported, Todo
from dataset_export.components.imported.flows import Import
from dataset_export.components.written import document, joined
from dataset_export.errors import ConfigError

DESTINATIONS = "destinations/defs.yaml"
DATASETS = "datasets/defs.yaml"


def texts(made: Import) -> dict[str, str]:
    """Path of each file, below a folder of declarations, to its text."""
    return {path: _text(declarations) for path, declarations in _files(made)}


def all_in_one(made: Import) -> str:
    """All declarations in one text."""
    return _text(made.all)


def try_out(made: Import) -> None:
    """Load what was made, with something in place of what is left to be written: then that is all that is missing.

    Raises:
        ConfigError: when it does not load: the original has something that ours refuses.
    """
    with tempfile.TemporaryDirectory(prefix="import-") as folder:
        for path, declarations in _files(made):
            file = Path(folder) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(_text(map(_filled, declarations)), encoding="utf-8")
        try:
            load_catalog(Path(folder), Path(folder))
        except ConfigError as error:
            raise ConfigError(str(error).replace(f"{folder}/", "")) from None


def left(made: Import) -> list[tuple[str, str]]:
    """What is left to be written: where, and what."""
    return [
        (f"{one.id}.{key}", value.removeprefix("TODO: "))
        for one in made.all
        for key, value in one.attributes.items()
        if isinstance(value, Todo)
    ]


def _files(made: Import) -> Iterator[tuple[str, list[Imported]]]:
    yield DESTINATIONS, made.destinations
    yield DATASETS, made.datasets
    yield from ((f"dataflows/{one.id}/defs.yaml", [one]) for one in made.dataflows)


def _text(declarations: Iterable[Imported]) -> str:
    return joined([document(one.component, one.attributes, one.notes) for one in declarations])


def _filled(one: Imported) -> Imported:
    attributes = cast("Mapping[str, Any]", one.attributes)
    filled = {
        key: value.instead if isinstance(value, Todo) else value
        for key, value in attributes.items()
        if not isinstance(value, Todo) or value.instead
    }
    return Imported(one.component, filled)
