"""A corpus of bad configurations: what a person writes, the line to be named, and what has to be said of it.

A case has `attributes` (of the file's component), a `text`, its bytes as `hex`, or several `files`. The line is the one that
`# here` stands in, or `line`. `says` are parts of the message: what is wrong, and the way out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dataset_export.components.yaml_text import fault_in
from dataset_export_tests.components.projects import document

FOLDER = Path(__file__).parent
HERE = "# here"


@dataclass(frozen=True)
class Case:
    """One bad configuration: its files below the folder of declarations, and the refusal."""

    name: str
    files: dict[str, bytes]
    at: str
    line: int
    says: tuple[str, ...]

    def write(self, folder: Path) -> None:
        for path, data in self.files.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)


def cases() -> list[Case]:
    """All of them, by file and name."""
    return [case for file in sorted(FOLDER.glob("*.yaml")) for case in _cases_in(file)]


def _cases_in(file: Path) -> Iterator[Case]:
    text = file.read_text(encoding="utf-8")
    assert fault_in(text) is None, "a name that is given twice would hide a case"
    corpus = yaml.safe_load(text)
    for name, written in corpus["cases"].items():
        files, at = _files(written, corpus.get("component"))
        lines = [number for number, line in enumerate(files[at].split(b"\n"), 1) if HERE.encode() in line]
        # What is missing is missed at the beginning of what it is missing in.
        line = written.get("line") or (lines[0] if lines else 2)
        says = written.get("says", [])
        yield Case(f"{file.stem}: {name}", files, at, line, tuple([says] if isinstance(says, str) else says))


def _files(written: dict[str, Any], component: str | None) -> tuple[dict[str, bytes], str]:
    if "files" in written:
        return {path: text.encode() for path, text in written["files"].items()}, written["at"]
    if "attributes" in written:
        assert component is not None
        text = document(component, written["attributes"]).encode()
    else:
        text = written["text"].encode() if "text" in written else bytes.fromhex(written["hex"])
    return {"wrong/defs.yaml": text}, "wrong/defs.yaml"
