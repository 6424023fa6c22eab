"""A dataflow that is not declared yet: checked among the declarations there are, written, and loaded with them."""

from pathlib import Path
from typing import Any

from dagster.components.core.component_tree import ComponentTree
from dagster_shared.yaml_utils import parse_yamls_with_source_position
from pydantic import ValidationError

from dataset_export.components.catalog import Catalog, load_catalog
from dataset_export.components.dataflow import Dataflow, DataflowAttributes
from dataset_export.components.scaffold import schema_line
from dataset_export.components.source import Source, short
from dataset_export.errors import ConfigError
from dataset_export.export.dataflow import Dataflow as DataflowValue

FILE = "defs.yaml"


def checked(tree: ComponentTree, text: str, file: Path) -> DataflowValue:
    """The dataflow that a declaration makes, with the datasets and the destination that it names.

    Args:
        tree: the declarations there are.
        text: one YAML document.
        file: where it will stand: refusals name it.

    Raises:
        ConfigError: with file and line, as a load would.
    """
    (document,) = parse_yamls_with_source_position(text, str(file))
    source = Source(tree.project_root, document.source_position_tree)
    written: Any = document.value
    try:
        attributes = DataflowAttributes.model_validate(written["attributes"])
    except ValidationError as error:
        raise source.refusal(error, DataflowAttributes) from None
    return Dataflow.from_attributes(attributes, source).value(tree)


def place_for(tree: ComponentTree, name: str, folder: str | None) -> Path:
    """The file that a new dataflow will be declared in.

    Args:
        tree: the declarations there are.
        name: of the dataflow.
        folder: of the file, below the folder of declarations. Default: `dataflows/<name>`.

    Raises:
        ConfigError: when there is such a file, or when it would not be read.
    """
    root = tree.defs_module_path
    file = root / (folder if folder is not None else f"dataflows/{name}") / FILE
    if not file.resolve().is_relative_to(root.resolve()):
        raise ConfigError(
            f"{short(file.parent)} is not below {short(root)}, the folder of declarations; name one that is"
        )
    if file.parent.exists():
        raise ConfigError(f"the folder {short(file.parent)} is there already; name another one, nothing is overwritten")
    for above in file.parent.parents:
        if any((above / other).exists() for other in (FILE, "defs.yml")):
            raise ConfigError(
                f"the folder {short(above)} has a {FILE} of its own, which keeps folders below it from being read; name "
                "another one, or move that file into a folder of its own"
            )
        if above == root:
            break
    return file


def write(tree: ComponentTree, text: str, file: Path) -> Catalog:
    """Write a declaration, load it with all others, and return them. What cannot be loaded does not stay.

    Raises:
        ConfigError: when the declarations do not load with it.
    """
    made = [folder for folder in (file.parent, *file.parent.parents) if not folder.exists()]
    file.parent.mkdir(parents=True)
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(schema_line(file, tree.project_root) + text)
        return load_catalog(tree.project_root, tree.defs_module_path)
    except BaseException:
        file.unlink(missing_ok=True)
        for folder in made:
            folder.rmdir()
        raise
