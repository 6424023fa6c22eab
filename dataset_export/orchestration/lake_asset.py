"""The lake dataset as an external asset, upstream of its exports: lineage, and an observation of version and rows."""

import dagster as dg

from dataset_export.export.dataflow import Dataset
from dataset_export.lake.open import open_table
from dataset_export.orchestration.failures import reported
from dataset_export.orchestration.names import lake_key


def lake_asset(dataset: Dataset) -> dg.AssetsDefinition:
    """Build the observable asset `[lake, dataset]`. Observing it reads the table's log and nothing else."""

    @dg.multi_observable_source_asset(
        name=f"observe_lake_{lake_key(dataset).to_python_identifier()}",
        specs=[
            dg.AssetSpec(
                lake_key(dataset),
                group_name="lake",
                kinds={dataset.format, str(dataset.behavior)},
                owners=list(dataset.owners),
                description=dataset.description or dataset.name,
                metadata={"dagster/uri": dataset.uri},
            )
        ],
    )
    def observe(context: dg.AssetExecutionContext) -> dg.ObserveResult:
        with reported(context.retry_number):
            table = open_table(dataset.location())
            newest = next(iter(table.versions(limit=1)), None)
            if newest is None:
                return dg.ObserveResult(asset_key=lake_key(dataset), metadata={"version": "none yet"})
            rows = table.row_count(newest.number)
        return dg.ObserveResult(
            asset_key=lake_key(dataset),
            data_version=dg.DataVersion(str(newest.number)),
            metadata={
                "version": newest.number,
                "committed_at": dg.MetadataValue.timestamp(newest.committed_at),
                **({"dagster/row_count": rows} if rows is not None else {}),
            },
        )

    return observe
