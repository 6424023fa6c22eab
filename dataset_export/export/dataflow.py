"""What is exported where and when: the plain values that the YAML components build and everything else reads."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from dataset_export.destinations.contract import HIDDEN_FOLDER
from dataset_export.encoding.contract import Encoding
from dataset_export.encoding.encode import extension
from dataset_export.encoding.openpgp import ENCRYPTED_ENDING
from dataset_export.encoding.openpgp_keys import Recipients
from dataset_export.errors import ConfigError, UsageError
from dataset_export.export.columns import Columns
from dataset_export.export.file_names import FileNameTemplate
from dataset_export.export.file_shape import FileShape
from dataset_export.export.folder import FolderTemplate
from dataset_export.export.schedule import Schedule, format_export_time
from dataset_export.export.schema_change import OnSchemaChange
from dataset_export.export.table_catalog import TableCatalog, revealed
from dataset_export.lake.location import DEFAULT_SETTLE_MINUTES
from dataset_export.lake.open import TableLocation
from dataset_export.secret_refs import SecretRef

HIDDEN_MANIFESTS = f"{HIDDEN_FOLDER}/manifests"
"""Where the records of deliveries are kept whose destination shows readers no manifest, or an encrypted copy."""

DEFAULT_LOOKBACK_DAYS = 365
"""Rows of a time_series dataset with an older timestamp, counted back from the export time, are left out (spec S10)."""


class Behavior(StrEnum):
    """How a dataset grows (spec S1): events with a timestamp, append-only; or records."""

    TIME_SERIES = "time_series"
    RECORD = "record"


class Kind(StrEnum):
    """What a dataset holds, as licences tell datasets apart (spec S1)."""

    PROFILE = "profile"
    EXPERIENCE_EVENT = "experience_event"
    PROFILE_SNAPSHOT = "profile_snapshot"
    SYSTEM = "system"
    DERIVED = "derived"


class Origin(StrEnum):
    """How the rows of a dataset came into the lake (spec S1)."""

    SOURCES = "sources"
    WEB_SDK = "web_sdk"
    MOBILE_SDK = "mobile_sdk"
    ANALYTICS_DATA_CONNECTOR = "analytics_data_connector"
    AUDIENCE_MANAGER = "audience_manager"
    OTHER = "other"


class ExportMode(StrEnum):
    """First everything and then what was added since, or everything each time (spec S4)."""

    INCREMENTAL = "incremental"
    FULL = "full"


def check_id(value: str, what: str) -> str:
    """Return an id that is safe as an asset key, an op name's seed and a path segment.

    Raises:
        ConfigError: otherwise.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", value):
        raise ConfigError(
            f"{what} {value!r}: an id starts with a letter or digit and goes on with letters, digits, '_', '-' and '.', "
            "at most 100 in all"
        )
    return value


def check_name(value: str, what: str) -> str:
    """Return a name that Dagster takes for a job or a resource.

    Raises:
        ConfigError: otherwise.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,99}", value):
        raise ConfigError(
            f"{what} {value!r}: it starts with a letter and goes on with letters, digits and '_', at most 100 in all"
        )
    return value


@dataclass(frozen=True)
class Organization:
    """Whose data this is: `name` and `sandbox` fill macros of the folder template (spec S6)."""

    name: str = "organization"
    sandbox: str = "prod"


@dataclass(frozen=True)
class Dataset:
    """A lake table that can be exported (spec S1).

    Attributes:
        id: the dataset's id, a segment of the default folder.
        name: what people call it.
        behavior: `time_series` needs `timestamp_column`.
        format: the table format.
        uri: where the table is: an absolute path or a URL of an object store.
        storage_options: options of the object store; values are plain or secret references.
        catalog: of an Iceberg table that has one; `uri` is its `address` then.
        timestamp_column: the event time, dotted for a nested one.
        lookback_days: how far back, before the export time, rows of a time_series dataset are delivered (spec S10).
        settle_minutes: of a folder of parquet files, how long a file must not have been modified to be taken.
        retention_days: of a folder of parquet files, how long files are kept at least; None: for ever.
        description: shown in the UI.
        owners: Dagster owners (`team:name` or an e-mail address).
        kind: what it holds; only licences ask for it, as for the next two.
        origin: how its rows came into the lake.
        profile_enabled: whether it is enabled for profile.
    """

    id: str
    name: str
    behavior: Behavior
    uri: str
    format: Literal["delta", "iceberg", "parquet"] = "delta"
    storage_options: Mapping[str, str | SecretRef] = field(default_factory=dict[str, "str | SecretRef"])
    catalog: TableCatalog | None = None
    timestamp_column: str | None = None
    lookback_days: int = DEFAULT_LOOKBACK_DAYS
    settle_minutes: int = DEFAULT_SETTLE_MINUTES
    retention_days: int | None = None
    description: str = ""
    owners: tuple[str, ...] = ()
    kind: Kind | None = None
    origin: Origin | None = None
    profile_enabled: bool = False

    def __post_init__(self) -> None:
        check_id(self.id, "the dataset id")
        if (self.behavior is Behavior.TIME_SERIES) != (self.timestamp_column is not None):
            raise ConfigError(
                f"dataset {self.id}: a time_series dataset names its timestamp_column, and only a time_series dataset does"
            )
        if self.lookback_days < 1:
            raise ConfigError(f"dataset {self.id}: lookback_days is {self.lookback_days}, it has to be at least 1")

    def location(self) -> TableLocation:
        """Where the table is, with secrets revealed; made just before use and never stored.

        Raises:
            ConfigError: when a secret cannot be read.
        """
        options = {key: revealed(value) for key, value in self.storage_options.items()}
        return TableLocation(
            format=self.format,
            uri=self.uri,
            storage_options=options,
            timestamp_column=self.timestamp_column,
            settle_minutes=self.settle_minutes,
            retention_days=self.retention_days,
            catalog=self.catalog.revealed() if self.catalog is not None else None,
        )


@dataclass(frozen=True)
class DestinationInfo:
    """What the pipeline has to know of a destination; the connection itself is its IO manager.

    Attributes:
        id: names the IO manager's resource, the manifest and the `%DESTINATION_INSTANCE_ID%` macro.
        name: what people call it.
        type: as written in YAML (`amazon_s3`, `local`).
        encoding: what dataflows use that name no format of their own (spec S3).
        manifest: whether a manifest is written where readers look (spec S3).
        manifest_folder: another folder for manifests (spec S7); None is the folder of the data.
        recipients: who can read the data files, which are encrypted for them; None when they are not encrypted.
        encrypted_manifest: whether readers see an encrypted copy of the manifest; `manifest` is False then.
        files_expire_after: how long after its delivery the destination deletes a file by itself; None for never.
        max_concurrent_exports: how many runs may deliver to it at once; None is any number.
    """

    id: str
    name: str
    type: str
    encoding: Encoding = field(default_factory=Encoding)
    manifest: bool = True
    manifest_folder: FolderTemplate | None = None
    description: str = ""
    recipients: Recipients | None = None
    encrypted_manifest: bool = False
    files_expire_after: timedelta | None = None
    max_concurrent_exports: int | None = None

    @property
    def encrypted_for(self) -> tuple[str, ...]:
        """Fingerprints of the keys that the data files are encrypted for; none when they are not."""
        return self.recipients.fingerprints if self.recipients is not None else ()

    def __post_init__(self) -> None:
        check_name(self.id, "the destination id")
        if self.encrypted_manifest and (self.recipients is None or self.manifest):
            raise ConfigError(
                "an encrypted manifest takes the place of the plain one and needs a public key to encrypt for"
            )


@dataclass(frozen=True)
class Dataflow:
    """Datasets, one destination, one schedule, one mode and one encoding for all of them (spec S4).

    `owner` answers for it (spec S2): a role, a team or a person; `owners` are whom the UI names besides. `columns` are by
    the id of a dataset; one that is not there delivers all of its columns. `shape` is how large its files are, `file_name` what their names
    begin with.
    """

    name: str
    datasets: tuple[Dataset, ...]
    destination: DestinationInfo
    schedule: Schedule
    folder: FolderTemplate
    encoding: Encoding
    mode: ExportMode = ExportMode.INCREMENTAL
    on_schema_change: OnSchemaChange = OnSchemaChange.EVOLVE
    columns: Mapping[str, Columns] = field(default_factory=dict[str, Columns])
    shape: FileShape = field(default_factory=FileShape)
    file_name: FileNameTemplate = field(default_factory=FileNameTemplate)
    organization: Organization = field(default_factory=Organization)
    owner: str | None = None
    owners: tuple[str, ...] = ()
    description: str = ""
    enabled: bool = True

    def __post_init__(self) -> None:
        check_name(self.name, "the dataflow name")
        if not self.datasets:
            raise ConfigError(f"dataflow {self.name} names no dataset")
        ids = [dataset.id for dataset in self.datasets]
        if len(set(ids)) != len(ids):
            raise ConfigError(f"dataflow {self.name} names a dataset twice: {', '.join(ids)}")
        for dataset in self.datasets:
            self.render_folder(dataset, self.schedule.start)
            self.render_file_name(dataset, self.schedule.start)

    @property
    def shown_owners(self) -> tuple[str, ...]:
        """Its owner and the others, as Dagster takes owners: a role is none."""
        first = (self.owner,) if self.owner is not None and (":" in self.owner or "@" in self.owner) else ()
        return tuple(dict.fromkeys((*first, *self.owners)))

    @property
    def ending(self) -> str:
        """What the names of its data files end in, with the leading dot."""
        return extension(self.encoding) + (ENCRYPTED_ENDING if self.destination.recipients is not None else "")

    def columns_of(self, dataset: Dataset) -> Columns:
        """Which columns of a dataset are delivered."""
        return self.columns.get(dataset.id, Columns())

    def dataset(self, dataset_id: str) -> Dataset:
        """The dataset of this id.

        Raises:
            UsageError: when the dataflow does not export it.
        """
        for dataset in self.datasets:
            if dataset.id == dataset_id:
                return dataset
        known = ", ".join(dataset.id for dataset in self.datasets)
        raise UsageError(f"dataflow {self.name} does not export a dataset {dataset_id!r}; it exports {known}")

    def render_folder(self, dataset: Dataset, export_time: datetime) -> str:
        """The folder of one export of one dataset, relative to the destination's folder ("" is that folder itself).

        Raises:
            ConfigError: when a macro's value cannot be a folder name.
        """
        return self.folder.render(self._macro_values(dataset), export_time)

    def render_file_name(self, dataset: Dataset, export_time: datetime) -> str:
        """What the names of the data files of one export of one dataset begin with.

        Raises:
            ConfigError: when a macro's value cannot be part of a name.
        """
        return self.file_name.render(self._macro_values(dataset), export_time)

    def render_manifest_folder(self, dataset: Dataset, export_time: datetime) -> str:
        """The folder of the manifest: that of the data, unless the destination routes manifests elsewhere (spec S7).

        Without manifests at the destination the record of what was delivered is kept in the hidden folder, since
        resends and checks need it.
        """
        if not self.destination.manifest:
            return f"{HIDDEN_MANIFESTS}/{self.name}/{dataset.id}/{format_export_time(export_time)}"
        return self.render_visible_manifest_folder(dataset, export_time)

    def render_visible_manifest_folder(self, dataset: Dataset, export_time: datetime) -> str:
        """The folder where readers look for the manifest, or for its encrypted copy."""
        if self.destination.manifest_folder is not None:
            return self.destination.manifest_folder.render(self._macro_values(dataset), export_time)
        return self.render_folder(dataset, export_time)

    def _macro_values(self, dataset: Dataset) -> dict[str, str]:
        return {
            "DESTINATION": self.destination.type,
            "DESTINATION_INSTANCE_ID": self.destination.id,
            "DESTINATION_INSTANCE_NAME": self.destination.name,
            "DATASET_ID": dataset.id,
            "DATASET_NAME": dataset.name,
            "ORGANIZATION_NAME": self.organization.name,
            "SANDBOX_NAME": self.organization.sandbox,
        }
