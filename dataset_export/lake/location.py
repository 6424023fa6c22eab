"""Where a table of the lake is, and how to reach it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class TableLocation:
    """A table's place. JSON-able; secrets in it have been resolved, so it is made just before use and never stored.

    Attributes:
        format: the table format.
        uri: an absolute local path, `file://…` or `s3://bucket/folder`.
        storage_options: object store settings (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, `AWS_ALLOW_HTTP`, …), for the
            log and for the data files. Hidden from `repr`.
        timestamp_column: the time_series column (dotted when nested), so that files carry its lower bound.
    """

    format: Literal["delta"]
    uri: str
    storage_options: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    timestamp_column: str | None = None
