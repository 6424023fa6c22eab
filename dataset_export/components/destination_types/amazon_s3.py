"""The type `amazon_s3`."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from dataset_export.components.destination_types.attributes import AnyDestinationAttributes
from dataset_export.components.secret import SecretField
from dataset_export.components.source import Source
from dataset_export.destinations.s3 import S3Destination


class S3Attributes(AnyDestinationAttributes):
    """A folder of a bucket of Amazon S3, or of a server that speaks its protocol."""

    type: Literal["amazon_s3"] = Field(description="amazon_s3: Amazon S3, or a server that speaks its protocol.")
    bucket: str = Field(min_length=1, description="Name of the bucket; it must exist.")
    folder: str = Field(default="", description="Folder of the bucket to deliver to. Default: the whole bucket.")
    region: str | None = Field(default=None, description="AWS region of the bucket.")
    endpoint_url: str | None = Field(default=None, description="URL of an S3 server that is not Amazon's.")
    access_key_id: SecretField | None = Field(
        default=None,
        description="Access key id, by reference: {env: NAME} or {file: PATH}. Without keys and profile, credentials "
        "come from where AWS clients look for them.",
    )
    secret_access_key: SecretField | None = Field(default=None, description="Secret access key, by reference.")
    session_token: SecretField | None = Field(default=None, description="Session token, by reference.")
    profile: str | None = Field(
        default=None, description="Profile of the AWS configuration files, instead of keys; it may assume a role."
    )
    allow_insecure: bool = Field(default=False, description="Allow an endpoint_url without TLS (http://).")

    def io_manager(self, source: Source, secrets: Mapping[str, str]) -> S3Destination:
        """See `AnyDestinationAttributes.io_manager`."""
        if secrets and not {"access_key_id", "secret_access_key"} <= set(secrets):
            raise source.error(
                "access_key_id and secret_access_key belong together; give both or none", next(iter(secrets))
            )
        if secrets and self.profile is not None:
            raise source.error("give either a profile or keys, not both", "profile")
        source.refuse_password(self.endpoint_url or "", "endpoint_url")
        return S3Destination(
            bucket=self.bucket,
            folder=self.folder,
            region_name=self.region,
            endpoint_url=self.endpoint_url,
            profile_name=self.profile,
            allow_insecure=self.allow_insecure,
            aws_access_key_id=secrets.get("access_key_id"),
            aws_secret_access_key=secrets.get("secret_access_key"),
            aws_session_token=secrets.get("session_token"),
        )
