"""Open a table of the lake by its location."""

from dataset_export.errors import ConfigError
from dataset_export.lake.delta import DeltaLakeTable
from dataset_export.lake.iceberg import IcebergTable
from dataset_export.lake.location import TableLocation
from dataset_export.lake.parquet_folder import ParquetFolder
from dataset_export.lake.table import Table

__all__ = ["TableLocation", "open_table"]


def open_table(location: TableLocation) -> Table:
    """Return the table at `location`. Touches nothing yet: a table that is missing shows at the first question.

    Raises:
        ConfigError: for a table format that is not known.
    """
    if location.format == "delta":
        return DeltaLakeTable(location)
    if location.format == "iceberg":
        return IcebergTable(location)
    if location.format == "parquet":
        return ParquetFolder(location)
    raise ConfigError(
        f"the table {location.uri} has the unknown format {location.format!r}: use 'delta', 'iceberg' or 'parquet'"
    )
