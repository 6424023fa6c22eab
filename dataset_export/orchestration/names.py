"""Keys, names and tags under which things appear in Dagster."""

import hashlib
import re

import dagster as dg

from dataset_export.export.dataflow import Dataflow, Dataset

DATAFLOW_TAG = "dataset_export/dataflow"
"""On every run of a dataflow's job; `dagster.yaml` lets one run of each value go on at a time."""

SCHEDULED_TAG = "dataset_export/scheduled"
"""`true` on runs that the schedule or the sensor asked for: they deliver what is missing when they begin, and count as
attempts when they fail."""

PARTITION_TAG = "dagster/partition"
"""Dagster's own: the export time of a run."""

RESEND_TAG = "dataset_export/resend"
"""`true` on runs that have to deliver again what may be complete already."""

REPAIR_TAG = "dataset_export/repair"
"""`listing` or `deep` on runs that deliver again only the files that are found, in this depth, to be missing or different."""

LIFE_SENSOR = "life_of_dataflows"
"""The sensor of the whole project that attends to dataflows between the ticks of their schedules."""

SWEEP_JOB = "sweep_leftovers"
"""The job of the whole project that removes what dead runs left."""

LICENSE_USAGE = dg.AssetKey(["license_usage"])
"""What was delivered in the licence year."""

USAGE_JOB = "count_license_usage"
"""The job of the whole project that materializes `license_usage`."""

JOBS_OF_THE_PROJECT = {SWEEP_JOB: "the daily sweep", USAGE_JOB: "the daily count of bytes delivered"}
"""Jobs that belong to no dataflow, and what they do: no dataflow may be called so."""


LAKE = "lake"
"""What the keys of the tables in the lake begin with; keys of exports begin with their dataflow's name."""


def lake_key(dataset: Dataset) -> dg.AssetKey:
    """The dataset in the lake, upstream of its exports."""
    return dg.AssetKey([LAKE, dataset.id])


def export_key(dataflow: Dataflow, dataset: Dataset) -> dg.AssetKey:
    """The export of a dataset by a dataflow."""
    return dg.AssetKey([dataflow.name, dataset.id])


def job_name(dataflow: Dataflow) -> str:
    """The job of a dataflow: its name."""
    return dataflow.name


def schedule_name(dataflow: Dataflow) -> str:
    """The schedule of a dataflow."""
    return f"{dataflow.name}_schedule"


def op_name(dataflow: Dataflow, dataset: Dataset, step: str) -> str:
    """The name of an op, unique in the code location; ops take letters, digits and `_` only."""
    plain = f"{dataflow.name}__{re.sub(r'[^A-Za-z0-9_]', '_', dataset.id)}"
    if plain != f"{dataflow.name}__{dataset.id}":
        plain += "_" + hashlib.sha256(dataset.id.encode()).hexdigest()[:6]
    return f"{plain}__{step}"
