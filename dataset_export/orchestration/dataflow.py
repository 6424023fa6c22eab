"""From the plain value of a dataflow to everything Dagster shows of it."""

import dagster as dg

from dataset_export.export.dataflow import Dataflow
from dataset_export.governance.licenses import Licenses
from dataset_export.orchestration.checks import export_checks
from dataset_export.orchestration.export_asset import export_asset
from dataset_export.orchestration.names import DATAFLOW_TAG, export_key, job_name
from dataset_export.orchestration.partitions import partitions_of
from dataset_export.orchestration.schedule import dataflow_schedule


def build_dataflow(
    dataflow: Dataflow,
    partitions: dg.PartitionsDefinition[str] | None = None,
    *,
    licenses: Licenses | None = None,
) -> dg.Definitions:
    """The assets of a dataflow with their checks, its job and its schedule.

    Its datasets' lake assets and its destination's resource are not among them: other dataflows share those.

    Args:
        dataflow: what to build.
        partitions: other ones than the export times of its schedule.
        licenses: of the organization; what they entitle to may keep its exports from starting.
    """
    partitions = partitions or partitions_of(dataflow.schedule)
    assets = [export_asset(dataflow, dataset, partitions, licenses) for dataset in dataflow.datasets]
    checks = [export_checks(dataflow, dataset, partitions) for dataset in dataflow.datasets]
    job = dg.define_asset_job(
        name=job_name(dataflow),
        selection=dg.AssetSelection.assets(*(export_key(dataflow, dataset) for dataset in dataflow.datasets)),
        description=dataflow.description or f"Exports to {dataflow.destination.name}.",
        tags={DATAFLOW_TAG: dataflow.name},
        # A step of its own process costs seconds and reloads every definition; the heavy work releases the GIL.
        executor_def=dg.in_process_executor,
    )
    return dg.Definitions(
        assets=assets, asset_checks=checks, jobs=[job], schedules=[dataflow_schedule(dataflow, licenses)]
    )
