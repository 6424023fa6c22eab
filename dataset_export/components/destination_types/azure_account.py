"""What a person writes of a storage account of Azure and of how to sign in to it."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from dataset_export.components.destination_types.attributes import AnyDestinationAttributes
from dataset_export.components.secret import SecretField
from dataset_export.components.source import Source


class AzureAccountAttributes(AnyDestinationAttributes):
    """Attributes of destinations in a storage account of Azure. A type adds a `type`, its container and `io_manager`."""

    account: str | None = Field(
        default=None,
        min_length=1,
        description="Name of the storage account, or its URL where that is not Azure's public cloud. Left out with a "
        "connection string, which names it.",
    )
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

    def account_fields(self, source: Source, secrets: Mapping[str, str]) -> dict[str, Any]:
        """These attributes as fields of `AzureAccountDestination`; `source` and `secrets` as for `io_manager`.

        Raises:
            ConfigError: with file and line, for a URL that has a password in it.
        """
        for field in ("account", "endpoint_url"):
            source.refuse_password(getattr(self, field) or "", field)
        return {field: secrets.get(field, getattr(self, field)) for field in AzureAccountAttributes.__annotations__}
