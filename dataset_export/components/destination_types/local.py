"""The type `local`."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from dataset_export.components.destination_types.attributes import AnyDestinationAttributes
from dataset_export.components.source import Source
from dataset_export.destinations.local import LocalDestination


class LocalAttributes(AnyDestinationAttributes):
    """A folder of this machine, or of a share that is mounted on it."""

    type: Literal["local"] = Field(description="local: a folder of this machine or of a mounted share.")
    folder: str = Field(
        description="The folder to deliver to, made at the first delivery. Relative ones start at the project root."
    )

    def io_manager(self, source: Source, secrets: Mapping[str, str]) -> LocalDestination:
        """See `AnyDestinationAttributes.io_manager`."""
        if "://" in self.folder:
            raise source.error("a local destination takes a path, no URL", "folder")
        return LocalDestination(folder=source.path(self.folder, "folder"))
