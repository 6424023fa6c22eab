"""Small projects in YAML, to load."""

from pathlib import Path
from textwrap import dedent, indent

BASE = """
    type: dataset_export.components.Dataset
    attributes: {id: flights, behavior: record, location: lake/flights}
    ---
    type: dataset_export.components.Dataset
    attributes: {id: events, behavior: time_series, timestamp_column: at, location: s3://lake/events}
    ---
    type: dataset_export.components.Destination
    attributes: {id: partner, type: local, folder: out}
"""


def write_project(root: Path, **files: str) -> Path:
    """Write each text to `root/defs/<name>/defs.yaml`; return the folder of declarations."""
    for name, text in files.items():
        file = root / "defs" / name / "defs.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(dedent(text).lstrip("\n"), encoding="utf-8")
    return root / "defs"


def document(component: str, attributes: str) -> str:
    """One declaration; its attributes begin in line 3."""
    return f"type: dataset_export.components.{component}\nattributes:\n{indent(dedent(attributes).strip(), '  ')}\n"
