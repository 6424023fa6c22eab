"""The code location: `workspace.yaml` and `[tool.dg.project]` name this module."""

import dagster as dg

from dataset_export.components.project import load_definitions


@dg.definitions
def defs() -> dg.Definitions:
    """What is declared below `dataset_export/defs`, or below the folder that `DATASET_EXPORT_DEFS` names."""
    return load_definitions()
