"""The type `google_cloud_storage`."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from dataset_export.components.destination_types.attributes import AnyDestinationAttributes
from dataset_export.components.secret import SecretField
from dataset_export.components.source import Source
from dataset_export.destinations.gcs import GCSDestination


class GCSAttributes(AnyDestinationAttributes):
    """A folder of a bucket of Google Cloud Storage."""

    type: Literal["google_cloud_storage"] = Field(description="google_cloud_storage: a bucket of Google Cloud Storage.")
    bucket: str = Field(min_length=1, description="Name of the bucket; it must exist.")
    folder: str = Field(default="", description="Folder of the bucket to deliver to. Default: the whole bucket.")
    hmac_access_id: SecretField | None = Field(
        default=None,
        description="Access id of an HMAC key, by reference: {env: NAME} or {file: PATH}. Without any way to sign in, "
        "application default credentials are taken.",
    )
    hmac_secret: SecretField | None = Field(default=None, description="Secret of the HMAC key, by reference.")
    service_account_key: SecretField | None = Field(
        default=None, description="JSON key of a service account, by reference."
    )
    endpoint_url: str | None = Field(
        default=None, description="URL of the service, where it is not Google's public one."
    )
    allow_insecure: bool = Field(default=False, description="Allow an endpoint_url without TLS (http://).")

    def io_manager(self, source: Source, secrets: Mapping[str, str]) -> GCSDestination:
        """See `AnyDestinationAttributes.io_manager`."""
        given = {"hmac_access_id", "hmac_secret"} & set(secrets)
        if len(given) == 1:
            raise source.error("hmac_access_id and hmac_secret belong together; give both or none", given.pop())
        if given and "service_account_key" in secrets:
            raise source.error("give one way to sign in: an HMAC key or a service account's", "service_account_key")
        source.refuse_password(self.endpoint_url or "", "endpoint_url")
        return GCSDestination(
            bucket=self.bucket,
            folder=self.folder,
            endpoint_url=self.endpoint_url,
            allow_insecure=self.allow_insecure,
            hmac_access_id=secrets.get("hmac_access_id"),
            hmac_secret=secrets.get("hmac_secret"),
            service_account_key=secrets.get("service_account_key"),
        )
