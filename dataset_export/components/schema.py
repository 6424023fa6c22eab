"""The JSON Schema of a `defs.yaml`, for editors: completion, descriptions and errors while typing.

`python -m dataset_export.components.schema > docs/schema/defs.schema.json` writes it; a test sees that it is current.
An editor with yaml-language-server (VS Code's YAML extension, Neovim, Helix, JetBrains IDEs) uses it when the file begins with
`# yaml-language-server: $schema=<relative path of the schema>`, a line that `dg scaffold` writes.
"""

import json
from typing import Any

import click
from pydantic.json_schema import models_json_schema

from dataset_export.components import AlertChannel, Dataflow, Dataset, Destination, Organization

COMPONENTS = (Organization, Dataset, Destination, AlertChannel, Dataflow)


def defs_schema() -> dict[str, Any]:
    """The schema of one document of a `defs.yaml`; every document of a file is checked against it."""
    models = [component.attributes_model for component in COMPONENTS]
    references, definitions = models_json_schema([(model, "validation") for model in models])
    # pydantic lists the type behind a secret although the field has a schema of its own.
    used = json.dumps([definitions, *references.values()])
    kept = {name: model for name, model in definitions["$defs"].items() if f'"#/$defs/{name}"' in used}
    names = [f"dataset_export.components.{component.__name__}" for component in COMPONENTS]
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "dataset_export declarations",
        "type": "object",
        "required": ["type"],
        "properties": {
            # Components of other packages may stand in the same files.
            "type": {"anyOf": [{"enum": names}, {"type": "string"}], "description": "What is declared."},
            "attributes": {"type": "object"},
        },
        "allOf": [
            {
                "if": {"properties": {"type": {"const": name}}, "required": ["type"]},
                "then": {"properties": {"attributes": references[model, "validation"]}, "required": ["attributes"]},
            }
            for name, model in zip(names, models, strict=True)
        ],
        "$defs": kept,
    }


def schema_text() -> str:
    """The schema as it is kept in docs."""
    return json.dumps(defs_schema(), indent=2) + "\n"


if __name__ == "__main__":
    click.echo(schema_text(), nl=False)
