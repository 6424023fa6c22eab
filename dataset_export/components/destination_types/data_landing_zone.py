"""The type `data_landing_zone`."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from dataset_export.components.destination_types.attributes import AnyDestinationAttributes
from dataset_export.components.secret import SecretField
from dataset_export.components.source import Source
from dataset_export.destinations.data_landing_zone import DataLandingZoneDestination


class DataLandingZoneAttributes(AnyDestinationAttributes):
    """A folder of a data landing zone: a provisioned container whose files live seven days."""

    type: Literal["data_landing_zone"] = Field(
        description="data_landing_zone: a provisioned Azure container, given by a SAS URI."
    )
    sas_uri: SecretField | None = Field(
        default=None,
        description="SAS URI of the container, by reference: {env: NAME} or {file: PATH}. A file is read again when the "
        "SAS is about to expire.",
    )
    refresh_command: list[str] = Field(
        default_factory=list,
        description="Program and arguments that print a new SAS URI, as a list. Run when the SAS is about to expire or "
        "is refused, and at first when there is no sas_uri.",
    )
    folder: str = Field(default="", description="Folder of the container to deliver to. Default: all of it.")
    allow_insecure: bool = Field(default=False, description="Allow a SAS URI without TLS (http://).")

    def io_manager(self, source: Source, secrets: Mapping[str, str]) -> DataLandingZoneDestination:
        """See `AnyDestinationAttributes.io_manager`."""
        return DataLandingZoneDestination(
            sas_uri=secrets.get("sas_uri"),
            refresh_command=self.refresh_command,
            folder=self.folder,
            allow_insecure=self.allow_insecure,
        )
