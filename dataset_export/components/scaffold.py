"""`dg scaffold defs dataset_export.components.<Component> <name>`: write a filled, commented file that is valid."""

import os
import re
from pathlib import Path
from typing import Any

import dagster as dg

from dataset_export.errors import ConfigError, ExportError

TEMPLATES = Path(__file__).parent / "templates"
SCHEMA = Path("docs/schema/defs.schema.json")


class TemplateScaffolder(dg.Scaffolder[Any]):
    """Fills `templates/<component>.yaml` with the name, and with a dataset and a destination that exist."""

    def scaffold(self, request: dg.ScaffoldRequest[Any]) -> None:
        """Write `defs.yaml` into the folder, or append a document to the file."""
        if request.scaffold_format != "yaml":
            raise ConfigError(f"{request.type_name} is declared in YAML; leave out --format python")
        file = request.target_path if request.append else request.target_path / "defs.yaml"
        text = filled(request.type_name.rsplit(".", 1)[-1], file.parent.name, *_existing(request.project_root, file))
        if request.append:
            file.write_text(f"{file.read_text(encoding='utf-8').rstrip()}\n---\n{text}", encoding="utf-8")
        else:
            file.write_text(schema_line(file, request.project_root) + text, encoding="utf-8")


def filled(component: str, name: str, dataset: str, destination: str) -> str:
    """The template of a component with its blanks filled; what no name may contain becomes `_`."""
    identifier = re.sub(r"[^A-Za-z0-9_]", "_", name)
    identifier = identifier if identifier[:1].isalpha() else f"x{identifier}"
    text = (TEMPLATES / f"{component.lower()}.yaml").read_text(encoding="utf-8")
    for blank, value in {"NAME": identifier, "DATASET": dataset, "DESTINATION": destination}.items():
        text = text.replace(f"<{blank}>", value)
    return text


def _existing(project_root: Path | None, file: Path) -> tuple[str, str]:
    """A dataset and a destination that are declared in the same project, so that what is written is valid at once."""
    from dataset_export.components.catalog import load_catalog

    defs = next((folder for folder in file.parents if folder.name == "defs"), file.parent.parent)
    try:
        catalog = load_catalog(project_root, defs)
    except ExportError:
        # The project has a mistake already; it will say so itself, and must not keep anyone from writing more.
        return "my_dataset", "my_destination"
    return next(iter(catalog.datasets), "my_dataset"), next(iter(catalog.destinations), "my_destination")


def schema_line(file: Path, project_root: Path | None) -> str:
    """The first line of a file of declarations, by which editors find the schema; "" in a project that has none."""
    if project_root is None or not (project_root / SCHEMA).is_file():
        return ""
    return f"# yaml-language-server: $schema={os.path.relpath(project_root / SCHEMA, file.parent)}\n"
