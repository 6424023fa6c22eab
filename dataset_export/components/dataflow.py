"""The component `Dataflow`."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, ClassVar, Self

import dagster as dg
from dagster.components.core.component_tree import ComponentTree
from pydantic import BeforeValidator, Field

from dataset_export.alerts.alert import AlertRules
from dataset_export.components.access import DataflowOwner
from dataset_export.components.alert_channel import AlertChannel
from dataset_export.components.alerts import AlertsAttributes, alert_rules
from dataset_export.components.allowed import require_eligible, require_permitted
from dataset_export.components.columns import AllColumnsAttributes, columns_by_dataset
from dataset_export.components.dataset import Dataset
from dataset_export.components.declaration import AnyDeclaration, Attributes, Declaration, Owner, declared
from dataset_export.components.destination import Destination
from dataset_export.components.organization import Organization
from dataset_export.components.scaffold import TemplateScaffolder
from dataset_export.components.source import Source
from dataset_export.components.volumes import Volume
from dataset_export.encoding.contract import Compression, Encoding, Format
from dataset_export.encoding.encode import check_encoding
from dataset_export.errors import ConfigError
from dataset_export.export.columns import Columns
from dataset_export.export.dataflow import Dataflow as DataflowValue
from dataset_export.export.dataflow import ExportMode, check_name
from dataset_export.export.dataflow import Organization as OrganizationValue
from dataset_export.export.file_names import FileNameTemplate
from dataset_export.export.file_shape import FileShape
from dataset_export.export.folder import DEFAULT_TEMPLATE, FolderTemplate
from dataset_export.export.schedule import Frequency, Schedule, make_schedule
from dataset_export.export.schema_change import OnSchemaChange
from dataset_export.orchestration.dataflow import build_dataflow
from dataset_export.orchestration.names import JOBS_OF_THE_PROJECT, LAKE
from dataset_export.suggestion import did_you_mean

LOG = logging.getLogger("dataset_export")


def _moment(written: object) -> object:
    try:
        datetime.fromisoformat(str(written))
    except ValueError:
        said = "nothing stands here" if written is None else f"{written!r} is no time"
        raise ValueError(f"{said}; write 2026-11-02 or 2026-11-02T08:00 (UTC)") from None
    return written


Moment = Annotated[str, BeforeValidator(_moment)]


def _end(written: object) -> object:
    if not isinstance(written, str):
        raise ValueError("this is no time; write 2026-11-02 (the end of that day), 2026-11-02T08:00 or never (UTC)")
    return written


End = Annotated[str, BeforeValidator(_end)]


def _time_of_day(written: object) -> object:
    if isinstance(written, int | float):
        raise ValueError("YAML read this as a number; put it in quotes, for example at: '12:00'")
    return written


TimeOfDay = Annotated[str, BeforeValidator(_time_of_day)]


FileBytes = Annotated[Volume, Field(ge=100_000)]


class ScheduleAttributes(Attributes):
    """When a dataflow exports. All times are UTC."""

    frequency: Frequency = Field(description="once, daily, hourly (every 3, 6, 8 or 12 hours) or cron.")
    start: Moment = Field(description="No export is earlier: a date or a time, for example 2026-11-02T08:00. UTC.")
    at: TimeOfDay | None = Field(
        default=None,
        description="HH:MM in quotes: when daily exports run, or a time of day that the hourly ones fall on. Default: "
        "the start's time of day.",
    )
    every_hours: int | None = Field(default=None, description="3, 6, 8 or 12; for hourly.")
    cron: str | None = Field(default=None, description="Minute, hour, day, month, weekday in UTC; for cron.")
    end: End | None = Field(
        default=None,
        description="No export is at or after it: a time, a date (the end of that day) or never. Default: six months "
        "after start.",
    )
    created: Moment | None = Field(
        default=None,
        description="When the dataflow was first declared. Only matters without an end: before 2024-11-01, the end is "
        "2025-09-01.",
    )


class DataflowAttributes(Attributes):
    """Attributes of a dataflow."""

    name: str = Field(description="Unique name, of its job too. Letters, digits and _.")
    datasets: tuple[str, ...] = Field(min_length=1, description="Ids of the datasets to export.")
    destination: str = Field(description="Id of the destination to deliver to.")
    schedule: ScheduleAttributes = Field(description="When to export; the same for all datasets.")
    mode: ExportMode = Field(
        default=ExportMode.INCREMENTAL,
        description="incremental: everything first, then what was added since; full: everything each time.",
    )
    folder: str = Field(
        default=DEFAULT_TEMPLATE,
        description="Template of the folder of one export, below the destination's folder. Macros: %DATASET_ID%, "
        "%DATASET_NAME%, %EXPORT_TIME%, %DATETIME(YYYYMMdd_HHmmss)%, %DESTINATION%, %DESTINATION_INSTANCE_ID%, "
        "%DESTINATION_INSTANCE_NAME%, %ORGANIZATION_NAME%, %SANDBOX_NAME%.",
    )
    file_name: str = Field(
        default=FileNameTemplate().text,
        description="Template of what the names of data files begin with, with the macros of folder; a number and what "
        "makes the name unique follow.",
    )
    format: Format | None = Field(
        default=None, description="Format of the files: parquet or json. Default: the destination's."
    )
    compression: Compression | None = Field(
        default=None,
        description="Compression of the files; json takes gzip only. Default: the destination's, or gzip when the "
        "dataflow has a format of its own.",
    )
    max_rows_per_file: int | None = Field(
        default=None,
        gt=0,
        description="No file has more rows: a larger source file becomes several. Default: no limit.",
    )
    max_bytes_per_file: FileBytes | None = Field(
        default=None,
        description="No delivered file is larger, whatever its format and compression, but for one whose only row is: a "
        "number of bytes, or 500 MB in powers of 1000; 100 KB at least. Default: no limit.",
    )
    target_bytes_per_file: FileBytes | None = Field(
        default=None,
        description="Source files are merged, in the order of their names, as long as they have together no more bytes in "
        "the lake. At most max_bytes_per_file. Default: each source file is a file of its own.",
    )
    on_schema_change: OnSchemaChange = Field(
        default=OnSchemaChange.EVOLVE,
        description="When a dataset's columns have changed since its last export. evolve: deliver, and record the change; "
        "notify: the same, and send the alert schema_drift; fail: deliver nothing until somebody decides.",
    )
    columns: AllColumnsAttributes = Field(
        default_factory=AllColumnsAttributes,
        description="Which columns are delivered, of every dataset alike or by dataset. Default: all of them.",
    )
    owner: DataflowOwner | None = Field(
        default=None,
        description="Who answers for it: the name of a role, team:NAME or an e-mail address. When the organization "
        "declares access, this one's permissions decide whether it may export.",
    )
    owners: tuple[Owner, ...] = Field(
        default=(),
        description="Who else the UI names as owners: team:NAME or e-mail addresses. Permissions do not depend on them.",
    )
    alerts: AlertsAttributes | None = Field(
        default=None, description="Who hears what of it. Default: what the organization says."
    )
    description: str = Field(default="", description="Shown in the UI.")
    enabled: bool = Field(default=True, description="Whether its schedule runs. Its history stays when it does not.")


def _schedule(written: ScheduleAttributes, source: Source) -> Schedule:
    try:
        return make_schedule(
            written.frequency,
            datetime.fromisoformat(written.start),
            at=written.at,
            every_hours=written.every_hours,
            cron=written.cron,
            end=written.end,
            created=datetime.fromisoformat(written.created) if written.created else None,
        )
    except ConfigError as error:
        # Its sentences begin with the field that they are about.
        field = str(error).partition(" ")[0]
        raise source.error(str(error), "schedule", *([field] if field in written.model_fields_set else [])) from None


@dataclass(frozen=True)
class _Checked:
    """What can be checked of a dataflow without knowing the other declarations."""

    schedule: Schedule
    folder: FolderTemplate
    file_name: FileNameTemplate
    shape: FileShape
    columns: Mapping[str, Columns]


@dg.scaffold_with(TemplateScaffolder)
class Dataflow(Declaration):
    """Datasets that are delivered to one destination on one schedule: an asset for each dataset, a job and a schedule."""

    kind: ClassVar[str] = "dataflow"
    key_attribute: ClassVar[str] = "name"
    attributes_model = DataflowAttributes

    def __init__(self, attributes: DataflowAttributes, checked: _Checked, source: Source) -> None:
        self.attributes = attributes
        self.source = source
        self.key = attributes.name
        self._checked = checked

    @classmethod
    def from_attributes(cls, attributes: DataflowAttributes, source: Source) -> Self:
        """See `Declaration.from_attributes`."""
        with source.blaming("name"):
            check_name(attributes.name, "the dataflow name")
            if attributes.name == LAKE:
                raise ConfigError(f"the dataflow name {LAKE!r} is that of the tables in the lake; take another one")
            if attributes.name in JOBS_OF_THE_PROJECT:
                what = JOBS_OF_THE_PROJECT[attributes.name]
                raise ConfigError(f"the dataflow name {attributes.name!r} is that of {what}; take another one")
        schedule = _schedule(attributes.schedule, source)
        with source.blaming("folder"):
            folder = FolderTemplate(attributes.folder)
        with source.blaming("file_name"):
            file_name = FileNameTemplate(attributes.file_name)
        with source.blaming("target_bytes_per_file"):
            shape = FileShape(
                max_rows_per_file=attributes.max_rows_per_file,
                max_bytes_per_file=attributes.max_bytes_per_file,
                target_bytes_per_file=attributes.target_bytes_per_file,
            )
        columns = columns_by_dataset(attributes.columns, attributes.datasets, source)
        return cls(attributes, _Checked(schedule, folder, file_name, shape, columns), source)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The exports with their checks, the job and the schedule."""
        tree = context.component_tree
        organization = declared(tree, Organization).get("organization")
        licenses = organization.licenses if organization is not None else None
        return build_dataflow(self.value(tree), licenses=licenses)

    def value(self, tree: ComponentTree) -> DataflowValue:
        """The dataflow with the datasets and the destination that it names.

        Raises:
            ConfigError: with file and line, for one that is not declared or may not be exported, or not by its owner.
        """
        destination = self._named(tree, Destination, self.attributes.destination).value
        organization = declared(tree, Organization).get("organization")
        named = [self._named(tree, Dataset, name).value for name in self.attributes.datasets]
        require_eligible(self.source, named, organization)
        require_permitted(self.source, self.attributes.owner, destination.id, named, organization)
        with self.source.blaming("compression" if self.attributes.compression else "format"):
            encoding = self._encoding(destination.encoding)
        with self.source.blaming("datasets"):
            value = DataflowValue(
                name=self.attributes.name,
                datasets=tuple(named),
                destination=destination,
                schedule=self._checked.schedule,
                folder=self._checked.folder,
                file_name=self._checked.file_name,
                encoding=encoding,
                shape=self._checked.shape,
                mode=self.attributes.mode,
                on_schema_change=self.attributes.on_schema_change,
                columns=self._checked.columns,
                organization=organization.value if organization is not None else OrganizationValue(),
                owner=self.attributes.owner,
                owners=self.attributes.owners,
                description=self.attributes.description,
                enabled=self.attributes.enabled,
            )
        self._warn_of_shared_folders(value)
        return value

    def alert_rules(self, tree: ComponentTree) -> AlertRules:
        """Who hears what of it: as it says, else as the organization says, else nobody.

        Raises:
            ConfigError: with file and line, for a channel that is not declared.
        """
        if self.attributes.alerts is not None:
            return alert_rules(self.attributes.alerts, declared(tree, AlertChannel), self.source)
        organization = declared(tree, Organization).get("organization")
        return organization.alert_rules(tree) if organization is not None else AlertRules()

    def place_of(self, of_type: type[Declaration], key: str) -> str | None:
        """`file:line` at which it names a dataset or a destination; None when it does not."""
        if of_type is Destination:
            return self.source.at("destination") if key == self.attributes.destination else None
        if key not in self.attributes.datasets:
            return None
        return self.source.at("datasets", self.attributes.datasets.index(key))

    def _named(self, tree: ComponentTree, of_type: type[AnyDeclaration], key: str) -> AnyDeclaration:
        """What this dataflow names. Raises ConfigError with all dataflows that name it, when it is not there (spec S4)."""
        known = declared(tree, of_type)
        if key not in known:
            there_are = f"there are {', '.join(sorted(known))}" if known else "none is declared"
            places = {
                flow.key: place for flow in declared(tree, Dataflow).values() if (place := flow.place_of(of_type, key))
            }
            others = [f"{name} ({place})" for name, place in places.items() if name != self.key]
            way_out = (
                f"the dataflows {', '.join([self.key, *others])} name it: declare it again, or take it out of all of them"
                if others
                else "declare it, or name another"
            )
            raise ConfigError(
                f"{places[self.key]}: there is no {of_type.kind} {key!r}; {there_are}; {way_out}{did_you_mean(key, known)}"
            )
        return known[key]

    def _encoding(self, inherited: Encoding) -> Encoding:
        encoding = Encoding(
            format=self.attributes.format or inherited.format,
            compression=self.attributes.compression
            or (Encoding().compression if self.attributes.format else inherited.compression),
        )
        check_encoding(encoding)
        return encoding

    def _warn_of_shared_folders(self, value: DataflowValue) -> None:
        shared: dict[str, list[str]] = {}
        for dataset in value.datasets:
            shared.setdefault(value.render_folder(dataset, value.schedule.start), []).append(dataset.id)
        for ids in shared.values():
            if len(ids) > 1:
                LOG.warning(
                    "%s: the datasets %s of dataflow %s share a folder; put %%DATASET_ID%% into its template %r to give "
                    "each its own",
                    self.source.at("folder"),
                    ", ".join(ids),
                    value.name,
                    value.folder.text,
                )
