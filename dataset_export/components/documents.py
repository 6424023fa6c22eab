"""What is wrong with the files of declarations before any component sees them."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import dagster as dg
from dagster.components.core.defs_module import ComponentFileModel
from dagster_shared.seven import load_module_object
from dagster_shared.yaml_utils import parse_yamls_with_source_position
from dagster_shared.yaml_utils.source_position import SourcePositionTree

from dataset_export.components.source import short
from dataset_export.components.yaml_text import Fault, fault_in, syntax_fault, text_of
from dataset_export.suggestion import did_you_mean

KEYS = tuple(ComponentFileModel.model_fields)


DECLARING = ("defs.yaml", "defs.yml")
"""Names of the files that declarations are read from."""

OURS = re.compile(r"^(?:- )?\s*type:\s*[\"']?dataset_export\.components\.", re.MULTILINE)

FOLDER_COMPONENT = "DefsFolderComponent"
"""The one component that leaves the folders below its own to be read."""


def first_unreadable(folder: Path) -> str | None:
    """One sentence with file and line on the first file below `folder` that is not YAML, says a thing twice, or declares
    something and would not be read. Fast: it is asked at every load."""
    files = [file for file in sorted(folder.rglob("*.y*ml")) if not _is_hidden(file.relative_to(folder))]
    declaring = {file.parent: file for file in reversed(files) if file.name in DECLARING}
    for file in files:
        text = text_of(file)
        if isinstance(text, Fault):
            fault = text if file.name in DECLARING else None
        elif file.name in DECLARING:
            fault = _unread(file, folder, declaring) or fault_in(text)
        else:
            fault = _misnamed(text)
        if fault is not None:
            return f"{short(file)}:{fault.line}: {fault.what}"
    return None


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") or part == "__pycache__" for part in path.parts)


def _misnamed(text: str) -> Fault | None:
    found = OURS.search(text)
    if found is None:
        return None
    line = text.count("\n", 0, found.start()) + 1
    return Fault(line, "only files named defs.yaml are read; put this declaration into one, in a folder of its own")


def _unread(file: Path, folder: Path, declaring: Mapping[Path, Path]) -> Fault | None:
    """Dagster reads one file of a folder, and nothing below a folder that has one."""
    if (read := declaring[file.parent]) != file:
        return Fault(1, f"{short(read)} is read and this file is not; join the two, with --- between declarations")
    for above in file.parent.parents:
        if not above.is_relative_to(folder):
            return None
        if above in declaring and FOLDER_COMPONENT not in declaring[above].read_text(
            encoding="utf-8", errors="replace"
        ):
            return Fault(
                1,
                f"{short(declaring[above])} keeps this file from being read; move one of the two into a folder beside the "
                "other",
            )
    return None


def first_fault(folder: Path) -> str | None:
    """One sentence with file and line on the first document that is no declaration; None when all are."""
    return next((fault for file in sorted(folder.rglob("defs.y*ml")) for fault in _document_faults(file)), None)


def _document_faults(file: Path) -> Iterator[str]:
    text = text_of(file)
    fault = text if isinstance(text, Fault) else syntax_fault(text)
    if fault is not None or isinstance(text, Fault):
        if fault is not None:
            yield f"{short(file)}:{fault.line}: {fault.what}"
        return
    documents = parse_yamls_with_source_position(text, str(file))
    if not documents:
        yield f"{short(file)}:1: the file is empty; declare something or delete it"
    for document in documents:
        line = document.source_position_tree.position.start.line
        if document.value is None:
            yield f"{short(file)}:{_dashes(text, line)}: nothing is declared after this line; take it out"
        elif (found := _fault(document.value, document.source_position_tree)) is not None:
            yield found


def _dashes(text: str, line: int) -> int:
    """The line of the --- that a document which begins at `line` stands behind."""
    before = enumerate(text.splitlines()[:line], 1)
    return max((number for number, written in before if written.startswith("---")), default=line)


def _fault(document: Any, positions: SourcePositionTree) -> str | None:
    def at(*path: str) -> str:
        position, _ = positions.lookup_closest_and_path(path, None)
        return f"{short(Path(position.filename))}:{position.start.line}"

    if not isinstance(document, dict):
        return f"{at()}: a declaration has the keys type and attributes; this document has none"
    written = cast("dict[str, Any]", document)
    unknown = next((key for key in written if key not in KEYS), None)
    if unknown is not None:
        way_out = (
            did_you_mean(unknown, KEYS) or "; what a component takes stands below attributes, two spaces further in"
        )
        return f"{at(unknown)}: the key {unknown!r} is not known; keys next to type are {', '.join(KEYS[1:])}{way_out}"
    if "type" not in written:
        return f"{at()}: 'type' is missing; add for example type: dataset_export.components.Dataflow"
    if not isinstance(written.get("attributes", {}), dict | None):
        return f"{at('attributes')}: attributes are written as keys with values"
    return None if _exists(written["type"]) else f"{at('type')}: {_no_component(written['type'])}"


def _no_component(written: object) -> str:
    from dataset_export.components import __all__ as ours

    by_name = {name: f"dataset_export.components.{name}" for name in ours}
    # Who leaves the package out gets the name right, mostly.
    meant = did_you_mean(str(written).rpartition(".")[2], by_name, by_name)
    return f"there is no component {written!r}; ours are {', '.join(by_name.values())}{meant}"


def _exists(written: object) -> bool:
    if not isinstance(written, str):
        return False
    module, _, name = written.rpartition(".")
    if written.startswith("."):
        return True  # relative to the folder, which only Dagster can tell
    try:
        found = load_module_object(module, name)
    except Exception:  # noqa: BLE001 - whatever importing it raises, it cannot be loaded
        return False
    return isinstance(found, type) and issubclass(found, dg.Component)
