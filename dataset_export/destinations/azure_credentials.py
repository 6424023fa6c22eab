"""The fields by which a destination names an Azure storage account and signs in to it, and the clients made of them.

One way to sign in is given, or none: then the default credential of Azure is taken (environment, workload identity,
managed identity, Azure CLI). The resources of dagster-azure build their clients without any option, so their own
retries could not be turned off and Retry-After would be lost; the clients are built here instead.
"""

import re
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from pydantic import Field

from dataset_export.destinations.azure_calls import CLIENT_OPTIONS
from dataset_export.destinations.io_manager import DestinationIOManager, secret_field
from dataset_export.errors import ConfigError
from dataset_export.secret_refs import revealed

PUBLIC_CLOUD = "core.windows.net"


class SignIn(NamedTuple):
    """One way to sign in: its name in errors, and the fields that belong to it."""

    name: str
    fields: tuple[str, ...]


SIGN_INS = (
    SignIn("a connection string", ("connection_string",)),
    SignIn("an account key", ("account_key",)),
    SignIn("a SAS token", ("sas_token",)),
    SignIn("a service principal", ("tenant_id", "client_id", "client_secret")),
)


class AzureAccountDestination(DestinationIOManager):
    """Base of the destinations in a storage account. A subclass adds its container and builds its store."""

    account: str | None = Field(
        default=None, description="Name of the storage account, or its URL where that is not Azure's public cloud."
    )
    endpoint_url: str | None = Field(default=None, description="URL of an emulator, with the account in its path.")
    connection_string: str | None = secret_field("Connection string of the account")
    account_key: str | None = secret_field("Key of the account")
    sas_token: str | None = secret_field("Shared access signature of the account or container")
    tenant_id: str | None = Field(default=None, description="Tenant (directory) id of a service principal.")
    client_id: str | None = Field(default=None, description="Application (client) id of a service principal.")
    client_secret: str | None = secret_field("Secret of the service principal")
    allow_insecure: bool = Field(default=False, description="Allow an endpoint without TLS (http://).")

    def check_account(self) -> None:
        """Check the fields of this class, without reading a secret.

        Raises:
            ConfigError: for none or several accounts or ways to sign in, for half a service principal, and for an
                endpoint without TLS.
        """
        check_sign_in({field: getattr(self, field) for sign_in in SIGN_INS for field in sign_in.fields})
        if (self.account is None) == (self.connection_string is None):
            raise ConfigError("name the storage account by `account` or by a connection string, one of the two")
        if self.connection_string is not None and self.endpoint_url is not None:
            raise ConfigError("a connection string names its endpoint itself: leave endpoint_url out")
        account = self.account or ""
        if "://" not in account and not re.fullmatch(r"[a-z0-9]{3,24}|", account):
            raise ConfigError(f"{account!r} is no name of a storage account: 3 to 24 lower-case letters and digits")
        for url in (account, self.endpoint_url or ""):
            if "?" in url:
                raise ConfigError("a URL of a storage account has no query: give a SAS as sas_token, by reference")
            self._check_tls(url)

    def account_url(self, service: str) -> str:
        """URL of the account's `service` (`blob`, `dfs`), without credentials; a connection string is read for it."""
        if self.endpoint_url is not None:
            return self.endpoint_url.rstrip("/")
        if self.account is not None:
            is_url = "://" in self.account
            return (self.account if is_url else f"https://{self.account}.{service}.{PUBLIC_CLOUD}").rstrip("/")
        parts = dict(re.findall(r"(\w+)=([^;]*)", revealed(self.connection_string) or ""))
        if f"{service.capitalize()}Endpoint" in parts:
            return parts[f"{service.capitalize()}Endpoint"].partition("?")[0].rstrip("/")
        host = f"{parts.get('AccountName', 'account')}.{service}.{parts.get('EndpointSuffix', PUBLIC_CLOUD)}"
        return f"{parts.get('DefaultEndpointsProtocol', 'https')}://{host}"

    def service_client(self, client: Any, service: str) -> Any:
        """A client of the account: `client` is the SDK's class of it (BlobServiceClient, DataLakeServiceClient) and
        `service` the endpoint it speaks to. Secrets are read now.

        Raises:
            ConfigError: when a secret is not there, or a connection string names an endpoint without TLS.
            ValueError: what the SDK says of fields that it does not take (`azure_calls.made` translates it).
        """
        if self.connection_string is None:
            return client(self.account_url(service), credential=self.credential(), **CLIENT_OPTIONS)
        made = client.from_connection_string(revealed(self.connection_string), **CLIENT_OPTIONS)
        self._check_tls(f"{made.scheme}://")
        return made

    def credential(self) -> Any:
        """What the clients of the SDK take as `credential`, its secrets read now."""
        if self.account_key is not None:
            key = revealed(self.account_key)
            name = self.account or ""
            return key if "://" in name else {"account_name": name, "account_key": key}
        if self.sas_token is not None:
            from azure.core.credentials import AzureSasCredential

            return AzureSasCredential((revealed(self.sas_token) or "").removeprefix("?"))
        from azure.identity import ClientSecretCredential, DefaultAzureCredential

        if self.client_secret is not None:
            return ClientSecretCredential(
                self.tenant_id or "", self.client_id or "", revealed(self.client_secret) or ""
            )
        return DefaultAzureCredential()

    def _check_tls(self, url: str) -> None:
        if url.lower().startswith("http:") and not self.allow_insecure:
            host = urlsplit(url).hostname or "of the connection string"
            raise ConfigError(f"the endpoint {host} has no TLS: use https, or write out allow_insecure: true")


def check_sign_in(given: dict[str, object]) -> None:
    """Check that the fields `given` (None for one that is not) make up one way to sign in, or none.

    Raises:
        ConfigError: for two ways, and for half a service principal.
    """
    ways = [way for way in SIGN_INS if any(given.get(field) is not None for field in way.fields)]
    if len(ways) > 1:
        raise ConfigError(f"give one way to sign in, not {' and '.join(way.name for way in ways)}")
    for way in ways:
        if missing := [field for field in way.fields if given.get(field) is None]:
            raise ConfigError(f"{way.name} needs {', '.join(missing)} too")
