"""The type `amazon_s3`."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from dataset_export.components.destination_types.attributes import AnyDestinationAttributes
from dataset_export.components.secret import SecretField
from dataset_export.components.source import Source
from dataset_export.destinations.s3 import S3Destination
from dataset_export.destinations.s3_kept import KeptAs

Encryption = Literal["AES256", "aws:kms", "aws:kms:dsse"]


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
    role_arn: str | None = Field(
        default=None,
        description="ARN of a role to assume with these credentials. Its own are renewed for as long as an export takes.",
    )
    external_id: str | None = Field(default=None, description="External id that the owner of the role asks for.")
    role_session_name: str = Field(
        default="dataset_export",
        pattern=r"^[\w+=,.@-]{2,64}$",
        description="Name of the role's sessions, as the logs of AWS show it.",
    )
    server_side_encryption: Encryption | None = Field(
        default=None,
        description="How the server encrypts: AES256, aws:kms or aws:kms:dsse. Default: as the bucket says.",
    )
    kms_key_id: str | None = Field(
        default=None, description="Id, alias or ARN of the KMS key. Default: the key of the account for S3."
    )
    bucket_key: bool | None = Field(
        default=None, description="Whether a key of the bucket saves requests to KMS. Default: as the bucket says."
    )
    storage_class: str | None = Field(
        default=None,
        description="Storage class of the data files, one that can be read at once. Manifests stay in the default one.",
    )
    path_style: bool | None = Field(
        default=None,
        description="Whether the bucket stands in the path of URLs (true) or in the host name (false). Default: in "
        "the path where there is an endpoint_url, else in the host name.",
    )
    ca_bundle: str | None = Field(
        default=None, description="PEM file of the certificate authorities to trust, instead of those of the machine."
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
        if self.external_id is not None and self.role_arn is None:
            raise source.error("an external_id belongs to a role; give role_arn too", "external_id")
        source.refuse_password(self.endpoint_url or "", "endpoint_url")
        with source.blaming("storage_class" if self.storage_class is not None else "kms_key_id"):
            kept_as = KeptAs(
                self.server_side_encryption, self.kms_key_id, self.bucket_key, self.storage_class
            ).checked()
        return S3Destination(
            bucket=self.bucket,
            folder=self.folder,
            region_name=self.region,
            endpoint_url=self.endpoint_url,
            profile_name=self.profile,
            allow_insecure=self.allow_insecure,
            path_style=self.path_style,
            ca_bundle=source.path(self.ca_bundle, "ca_bundle") if self.ca_bundle is not None else None,
            role_arn=self.role_arn,
            external_id=self.external_id,
            role_session_name=self.role_session_name,
            **kept_as._asdict(),
            aws_access_key_id=secrets.get("access_key_id"),
            aws_secret_access_key=secrets.get("secret_access_key"),
            aws_session_token=secrets.get("session_token"),
        )
