"""A data landing zone: a container that somebody else provisioned, given by one SAS URI.

Files go there as to any container of Azure Blob Storage. Two things differ: the SAS URI is short-lived, so it may have
to be read anew during an export, and the zone deletes every file some days after it was delivered (spec S3).
"""

from datetime import timedelta
from typing import ClassVar
from urllib.parse import urlsplit

from pydantic import Field

from dataset_export.destinations.azure_blob import AzureBlobStore
from dataset_export.destinations.azure_blob_policy import SAS_PERMISSIONS, azure_blob_policy
from dataset_export.destinations.contract import Store
from dataset_export.destinations.data_landing_zone_sas import SasClient, printed_by
from dataset_export.destinations.io_manager import DestinationIOManager, secret_field
from dataset_export.destinations.policy import Policy
from dataset_export.errors import ConfigError
from dataset_export.secret_refs import revealed

LIFETIME = timedelta(days=7)


class DataLandingZoneDestination(DestinationIOManager):
    """Deliver to a folder of a data landing zone."""

    files_expire_after: ClassVar[timedelta | None] = LIFETIME

    sas_uri: str | None = secret_field("SAS URI of the container, read again near expiry")
    refresh_command: list[str] = Field(
        default_factory=list,
        description="Program and arguments that print a new SAS URI; run near expiry, and at first without sas_uri.",
    )
    folder: str = Field(default="", description="Folder of the container to deliver to; empty for all of it.")
    allow_insecure: bool = Field(default=False, description="Allow a SAS URI without TLS (http://).")

    def build_store(self) -> Store:
        """An `AzureBlobStore`. Raises ConfigError when there is neither a SAS URI nor a command that prints one."""
        if self.sas_uri is None and not self.refresh_command:
            raise ConfigError("a data landing zone needs sas_uri or a refresh_command that prints it")
        client = SasClient(self._read, self._refresh if self.refresh_command else None, self._check_tls)
        return AzureBlobStore(
            client, "the container of the data landing zone", client.url, self.folder, kind="data_landing_zone"
        )

    def policy(self) -> Policy:
        """What the SAS has to allow. Who provisioned the zone decides on it."""
        blob = azure_blob_policy("ACCOUNT", "CONTAINER", "")
        sas_only = {
            operation: tuple(one for one in needed if one.startswith("SAS"))
            for operation, needed in blob.permissions.items()
        }
        return Policy(
            sas_only,
            f"sp={SAS_PERMISSIONS}&sr=c",
            (
                "The SAS URI comes from who provisioned the zone; these are the permissions (sp) it has to show.",
                f"The zone deletes files {LIFETIME.days} days after their delivery.",
            ),
        )

    def _read(self) -> str:
        return self._refresh() if self.sas_uri is None else revealed(self.sas_uri) or ""

    def _refresh(self) -> str:
        return printed_by(self.refresh_command)

    def _check_tls(self, url: str) -> None:
        if url.startswith("http:") and not self.allow_insecure:
            raise ConfigError(
                f"the SAS URI of {urlsplit(url).hostname} has no TLS: use https, or write out allow_insecure: true"
            )
