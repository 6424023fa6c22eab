"""The type `azure_blob`."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from dataset_export.components.destination_types.attributes import AnyDestinationAttributes
from dataset_export.components.secret import SecretField
from dataset_export.components.source import Source
from dataset_export.destinations.azure_blob import AzureBlobDestination


class AzureBlobAttributes(AnyDestinationAttributes):
    """A folder of a container of Azure Blob Storage."""

    type: Literal["azure_blob"] = Field(description="azure_blob: a container of Azure Blob Storage.")
    account: str | None = Field(
        default=None,
        min_length=1,
        description="Name of the storage account, or its URL where that is not Azure's public cloud. Left out with a "
        "connection string, which names it.",
    )
    container: str = Field(min_length=1, description="Name of the container; it must exist.")
    folder: str = Field(default="", description="Folder of the container to deliver to. Default: all of it.")
    endpoint_url: str | None = Field(default=None, description="URL of an emulator, with the account in its path.")
    connection_string: SecretField | None = Field(
        default=None,
        description="Connection string of the account, by reference: {env: NAME} or {file: PATH}. Without any way to "
        "sign in, the default credential of Azure is taken.",
    )
    account_key: SecretField | None = Field(default=None, description="Key of the account, by reference.")
    sas_token: SecretField | None = Field(
        default=None, description="Shared access signature of the account or container, by reference."
    )
    tenant_id: str | None = Field(default=None, description="Tenant (directory) id of a service principal.")
    client_id: str | None = Field(default=None, description="Application (client) id of a service principal.")
    client_secret: SecretField | None = Field(
        default=None, description="Secret of the service principal, by reference."
    )
    allow_insecure: bool = Field(default=False, description="Allow an endpoint_url without TLS (http://).")

    def io_manager(self, source: Source, secrets: Mapping[str, str]) -> AzureBlobDestination:
        """See `AnyDestinationAttributes.io_manager`."""
        for field in ("account", "endpoint_url"):
            source.refuse_password(getattr(self, field) or "", field)
        return AzureBlobDestination(
            account=self.account,
            container=self.container,
            folder=self.folder,
            endpoint_url=self.endpoint_url,
            connection_string=secrets.get("connection_string"),
            account_key=secrets.get("account_key"),
            sas_token=secrets.get("sas_token"),
            tenant_id=self.tenant_id,
            client_id=self.client_id,
            client_secret=secrets.get("client_secret"),
            allow_insecure=self.allow_insecure,
        )
