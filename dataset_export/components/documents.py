"""What is wrong with a YAML document before any component sees it: asked only after Dagster failed to read the files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import yaml
from dagster.components.core.defs_module import ComponentFileModel
from dagster_shared.seven import load_module_object
from dagster_shared.yaml_utils import parse_yamls_with_source_position
from dagster_shared.yaml_utils.source_position import SourcePositionTree

from dataset_export.components.source import short

KEYS = tuple(ComponentFileModel.model_fields)


def first_fault(folder: Path) -> str | None:
    """One sentence with file and line on the first document that is no declaration; None when all are."""
    return next((fault for file in sorted(folder.rglob("defs.y*ml")) for fault in _faults(file)), None)


def _faults(file: Path) -> Iterator[str]:
    try:
        documents = parse_yamls_with_source_position(file.read_text(encoding="utf-8"), str(file))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        yield f"{short(file)}:{mark.line + 1 if mark else 1}: this is not YAML: {error.problem or error.context}"
        return
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        yield f"{short(file)}: this is not YAML: {error}"
        return
    if not documents:
        yield f"{short(file)}:1: the file is empty; declare something or delete it"
    for document in documents:
        if (fault := _fault(document.value, document.source_position_tree)) is not None:
            yield fault


def _fault(document: Any, positions: SourcePositionTree) -> str | None:
    def at(*path: str) -> str:
        position, _ = positions.lookup_closest_and_path(path, None)
        return f"{short(Path(position.filename))}:{position.start.line}"

    if not isinstance(document, dict):
        return f"{at()}: a declaration has the keys type and attributes; this document has none"
    written = cast("dict[str, Any]", document)
    if "type" not in written:
        return f"{at()}: 'type' is missing; add for example type: dataset_export.components.Dataflow"
    unknown = [key for key in written if key not in KEYS]
    if unknown:
        return f"{at(unknown[0])}: the key {unknown[0]!r} is not known; keys next to type are {', '.join(KEYS[1:])}"
    if not isinstance(written.get("attributes", {}), dict | None):
        return f"{at('attributes')}: attributes are written as keys with values"
    if not _exists(str(written["type"])):
        from dataset_export.components import __all__ as ours

        known = ", ".join(f"dataset_export.components.{name}" for name in ours)
        return f"{at('type')}: there is no component {written['type']!r}; ours are {known}"
    return None


def _exists(type_name: str) -> bool:
    module, _, name = type_name.rpartition(".")
    if type_name.startswith("."):
        return True  # relative to the folder, which only Dagster can tell
    try:
        load_module_object(module, name)
    except Exception:  # noqa: BLE001 - whatever importing it raises, it cannot be loaded
        return False
    return True
