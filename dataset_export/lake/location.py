"""Where a table of the lake is, and how to reach it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

DEFAULT_SETTLE_MINUTES = 10
"""Longer than the upload of a large file takes: object stores date a file by the beginning of its upload."""


@dataclass(frozen=True)
class IcebergCatalog:
    """Where an Iceberg table is registered; secrets have been resolved.

    Attributes:
        type: `sql` (a database) or `rest` (the REST protocol).
        name: of the catalog; a database may hold several.
        table: the table's identifier, namespaces first: `sales.orders`.
        uri: of the database (SQLAlchemy's form) or of the service. Hidden from `repr`: it may hold a password.
        options: further properties, as pyiceberg names them (`warehouse`, `token`, `credential`, …). Hidden from `repr`.
    """

    type: Literal["sql", "rest"]
    name: str
    table: str
    uri: str = field(repr=False)
    options: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)


@dataclass(frozen=True)
class TableLocation:
    """A table's place. JSON-able; secrets in it have been resolved, so it is made just before use and never stored.

    Attributes:
        format: the table format.
        uri: an absolute local path, `file://…` or `s3://bucket/folder`; of an Iceberg table its metadata file, or what errors
            call it when it has a catalog.
        storage_options: object store settings (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, `AWS_ALLOW_HTTP`, …), for the
            log and for the data files. Hidden from `repr`.
        timestamp_column: the time_series column (dotted when nested), so that files carry its lower bound.
        settle_minutes: of a folder of parquet files, how long a file must not have been modified to be taken.
        retention_days: of a folder of parquet files, how long files are kept at least; None: for ever.
        catalog: of an Iceberg table that has one.
    """

    format: Literal["delta", "iceberg", "parquet"]
    uri: str
    storage_options: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    timestamp_column: str | None = None
    settle_minutes: int = DEFAULT_SETTLE_MINUTES
    retention_days: int | None = None
    catalog: IcebergCatalog | None = None
