"""The component `Dataset`."""

from typing import ClassVar, Literal, Self

import dagster as dg
from pydantic import Field

from dataset_export.components.declaration import Attributes, Declaration, Owner
from dataset_export.components.iceberg_catalog import IcebergCatalogAttributes
from dataset_export.components.scaffold import TemplateScaffolder
from dataset_export.components.secret import StorageOption, checked_option
from dataset_export.components.source import Source
from dataset_export.export.dataflow import DEFAULT_LOOKBACK_DAYS, Behavior, Kind, Origin, check_id
from dataset_export.export.dataflow import Dataset as DatasetValue
from dataset_export.lake.location import DEFAULT_SETTLE_MINUTES
from dataset_export.orchestration.lake_asset import lake_asset


class DatasetAttributes(Attributes):
    """Attributes of a dataset."""

    id: str = Field(description="Unique id: dataflows name it, and it fills %DATASET_ID% in folders.")
    name: str | None = Field(default=None, min_length=1, description="What people call it. Default: the id.")
    behavior: Behavior = Field(
        description="How it grows. time_series: events with a timestamp_column, only ever added; record: anything else."
    )
    format: Literal["delta", "iceberg", "parquet"] = Field(
        default="delta", description="Format of the table in the lake. parquet: a plain folder of parquet files."
    )
    location: str | None = Field(
        default=None,
        description="Where the table is: a local path (relative ones start at the project root) or s3://bucket/folder. Of an Iceberg table "
        "without a catalog, its newest metadata file (….metadata.json).",
    )
    catalog: IcebergCatalogAttributes | None = Field(
        default=None, description="Of format iceberg: the catalog that has the table, instead of a location."
    )
    storage_options: dict[str, StorageOption] = Field(
        default_factory=dict,
        description="Settings of the object store, such as AWS_REGION, AWS_ENDPOINT_URL, AWS_ALLOW_HTTP. Secrets "
        "(AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN) are references: {env: NAME} or {file: PATH}.",
    )
    settle_minutes: int | None = Field(
        default=None,
        ge=0,
        le=1440,
        description="Of format parquet: a file is taken once it has not been modified for so long. Default: 10.",
    )
    retention_days: int | None = Field(
        default=None,
        ge=1,
        le=36_500,
        description="Of format parquet: files that were last modified longer ago may be removed once they were delivered, as by a lifecycle "
        "rule. Default: none may.",
    )
    timestamp_column: str | None = Field(
        default=None, description="Column with the time of the event, dotted when nested. Required for time_series."
    )
    lookback_days: int = Field(
        default=DEFAULT_LOOKBACK_DAYS,
        ge=1,
        description="Rows of a time_series dataset that are older than this, counted back from the export time, are "
        "left out and counted.",
    )
    description: str = Field(default="", description="Shown in the UI; Markdown.")
    owners: tuple[Owner, ...] = Field(default=(), description="Owners in the UI: team:NAME or e-mail addresses.")
    kind: Kind | None = Field(
        default=None,
        description="What it holds. Only needed when the organization declares licenses, which cover kinds.",
    )
    origin: Origin | None = Field(
        default=None,
        description="How its rows came into the lake. Only needed when the organization declares licenses: profile and "
        "event datasets of origin other are covered by none.",
    )
    profile_enabled: bool = Field(
        default=False,
        description="Whether it is enabled for profile. Licences cover profile datasets only when they are.",
    )


@dg.scaffold_with(TemplateScaffolder)
class Dataset(Declaration):
    """A table of the lake that can be exported. It shows as the asset `lake/<id>`, upstream of its exports."""

    kind: ClassVar[str] = "dataset"
    attributes_model = DatasetAttributes

    def __init__(self, value: DatasetValue, source: Source) -> None:
        self.value = value
        self.source = source
        self.key = value.id

    @classmethod
    def from_attributes(cls, attributes: DatasetAttributes, source: Source) -> Self:
        """See `Declaration.from_attributes`."""
        options = {
            option: checked_option(option, value, source, "storage_options")
            for option, value in attributes.storage_options.items()
        }
        catalog = attributes.catalog.value(source) if attributes.catalog is not None else None
        uri = _place(attributes, source) if catalog is None else catalog.address
        with source.blaming("id"):
            check_id(attributes.id, "the dataset id")
        for name in ("settle_minutes", "retention_days"):
            if getattr(attributes, name) is not None and attributes.format != "parquet":
                raise source.error(
                    f"{name} is for folders of parquet files, and a table of format {attributes.format} has a log that says "
                    "what was committed; take it out",
                    name,
                )
        if catalog is not None and attributes.format != "iceberg":
            raise source.error(
                "a catalog is for tables of format iceberg; write format: iceberg, or take it out", "catalog"
            )
        if catalog is not None and attributes.location is not None:
            raise source.error("the catalog says where the table is; take the location out", "location")
        with source.blaming("behavior"):
            return cls(
                DatasetValue(
                    id=attributes.id,
                    name=attributes.name or attributes.id,
                    behavior=attributes.behavior,
                    uri=uri,
                    format=attributes.format,
                    storage_options=options,
                    catalog=catalog,
                    timestamp_column=attributes.timestamp_column,
                    lookback_days=attributes.lookback_days,
                    settle_minutes=DEFAULT_SETTLE_MINUTES
                    if attributes.settle_minutes is None
                    else attributes.settle_minutes,
                    retention_days=attributes.retention_days,
                    description=attributes.description,
                    owners=attributes.owners,
                    kind=attributes.kind,
                    origin=attributes.origin,
                    profile_enabled=attributes.profile_enabled,
                ),
                source,
            )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The asset of the table in the lake."""
        return dg.Definitions(assets=[lake_asset(self.value)])


def _place(attributes: DatasetAttributes, source: Source) -> str:
    if attributes.location is None:
        also = ", or the catalog that has the table" if attributes.format == "iceberg" else ""
        raise source.error(f"'location' is missing; add it, a local path or an s3:// URL{also}")
    return source.path(attributes.location, "location")
