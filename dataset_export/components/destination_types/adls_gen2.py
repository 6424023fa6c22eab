"""The type `adls_gen2`."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from dataset_export.components.destination_types.azure_account import AzureAccountAttributes
from dataset_export.components.source import Source
from dataset_export.destinations.adls_gen2 import ADLSGen2Destination


class ADLSGen2Attributes(AzureAccountAttributes):
    """A folder of a file system of Azure Data Lake Storage Gen2."""

    type: Literal["adls_gen2"] = Field(
        description="adls_gen2: Azure Data Lake Storage Gen2, an account with a hierarchical namespace."
    )
    filesystem: str = Field(min_length=1, description="Name of the file system (the container); it must exist.")
    folder: str = Field(default="", description="Folder of the file system to deliver to. Default: all of it.")

    def io_manager(self, source: Source, secrets: Mapping[str, str]) -> ADLSGen2Destination:
        """See `AnyDestinationAttributes.io_manager`."""
        account = self.account_fields(source, secrets)
        return ADLSGen2Destination(filesystem=self.filesystem, folder=self.folder, **account)
