"""The type `azure_blob`."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from dataset_export.components.destination_types.azure_account import AzureAccountAttributes
from dataset_export.components.source import Source
from dataset_export.destinations.azure_blob import AzureBlobDestination


class AzureBlobAttributes(AzureAccountAttributes):
    """A folder of a container of Azure Blob Storage."""

    type: Literal["azure_blob"] = Field(description="azure_blob: a container of Azure Blob Storage.")
    container: str = Field(min_length=1, description="Name of the container; it must exist.")
    folder: str = Field(default="", description="Folder of the container to deliver to. Default: all of it.")

    def io_manager(self, source: Source, secrets: Mapping[str, str]) -> AzureBlobDestination:
        """See `AnyDestinationAttributes.io_manager`."""
        account = self.account_fields(source, secrets)
        return AzureBlobDestination(container=self.container, folder=self.folder, **account)
