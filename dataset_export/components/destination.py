"""The component `Destination`."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

import dagster as dg
from pydantic import Field, RootModel

from dataset_export.components.declaration import Attributes, Declaration
from dataset_export.components.scaffold import TemplateScaffolder
from dataset_export.components.secret import SecretField
from dataset_export.components.source import Source
from dataset_export.destinations.contract import Store
from dataset_export.destinations.io_manager import DestinationIOManager
from dataset_export.destinations.local import LocalDestination
from dataset_export.destinations.s3 import S3Destination
from dataset_export.encoding.contract import Compression, Encoding, Format
from dataset_export.encoding.encode import check_encoding
from dataset_export.export.dataflow import DestinationInfo
from dataset_export.export.folder import FolderTemplate
from dataset_export.secret_refs import SecretRef


class AnyDestinationAttributes(Attributes):
    """Attributes of every destination."""

    id: str = Field(description="Unique id: dataflows name it, and so is its resource called. Letters, digits and _.")
    name: str | None = Field(default=None, min_length=1, description="What people call it. Default: the id.")
    description: str = Field(default="", description="What it is for.")
    format: Format = Field(
        default=Format.PARQUET, description="Format of the files, for dataflows that name none: parquet or json."
    )
    compression: Compression = Field(
        default=Compression.GZIP,
        description="Compression of the files: parquet takes none, gzip, zstd, snappy or source (as it is in the lake); "
        "json (one object a line) takes gzip only.",
    )
    manifest: bool = Field(
        default=True,
        description="Whether the manifest of each export is written where readers look; if not, it is kept in a hidden "
        "folder.",
    )
    manifest_folder: str | None = Field(
        default=None,
        description="Template of another folder for manifests, with the macros of a dataflow's folder. Default: the "
        "folder of the data.",
    )


class LocalAttributes(AnyDestinationAttributes):
    """A folder of this machine, or of a share that is mounted on it."""

    type: Literal["local"] = Field(description="local: a folder of this machine or of a mounted share.")
    folder: str = Field(
        description="The folder to deliver to, made at the first delivery. Relative ones start at the project root."
    )


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


class DestinationAttributes(RootModel[Annotated[LocalAttributes | S3Attributes, Field(discriminator="type")]]):
    """Attributes of a destination; `type` says which."""


@dg.scaffold_with(TemplateScaffolder)
class Destination(Declaration):
    """A place that files are delivered to. It shows as the resource `<id>`, which is also the IO manager of exports."""

    kind: ClassVar[str] = "destination"
    attributes_model = DestinationAttributes

    def __init__(
        self,
        value: DestinationInfo,
        io_manager: DestinationIOManager,
        source: Source,
        secrets: Mapping[str, SecretRef] | None = None,
    ) -> None:
        self.value = value
        self.io_manager = io_manager
        self.source = source
        self.key = value.id
        self._secrets = secrets or {}

    @classmethod
    def from_attributes(cls, attributes: LocalAttributes | S3Attributes, source: Source) -> Self:
        """See `Declaration.from_attributes`."""
        encoding = Encoding(format=attributes.format, compression=attributes.compression)
        with source.blaming("compression"):
            check_encoding(encoding)
        with source.blaming("manifest_folder"):
            manifest_folder = FolderTemplate(attributes.manifest_folder) if attributes.manifest_folder else None
        with source.blaming("id"):
            value = DestinationInfo(
                id=attributes.id,
                name=attributes.name or attributes.id,
                type=attributes.type,
                encoding=encoding,
                manifest=attributes.manifest,
                manifest_folder=manifest_folder,
                description=attributes.description,
            )
        if isinstance(attributes, LocalAttributes):
            return cls(value, LocalDestination(folder=_local_folder(attributes, source)), source)
        secrets = _secrets(attributes, source)
        io_manager = _s3_destination(attributes, secrets)
        source.refuse_password(attributes.endpoint_url or "", "endpoint_url")
        # Reaches nothing and reveals no secret: it only checks the endpoint and the folder.
        with source.blaming("endpoint_url" if attributes.endpoint_url else "folder"):
            io_manager.build_store()
        return cls(value, io_manager, source, secrets)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The resource."""
        return dg.Definitions(resources={self.key: self.io_manager})

    def store(self) -> Store:
        """The store, for use outside a run; its secrets are read now.

        Raises:
            ConfigError: when a secret is not there, naming the field, its variable or its file.
        """
        for field, secret in self._secrets.items():
            with self.source.blaming(field):
                secret.reveal()
        initialized: DestinationIOManager = self.io_manager.process_config_and_initialize()
        return initialized.store()


def _local_folder(attributes: LocalAttributes, source: Source) -> str:
    if "://" in attributes.folder:
        raise source.error("a local destination takes a path, no URL", "folder")
    return source.path(attributes.folder, "folder")


def _secrets(attributes: S3Attributes, source: Source) -> Mapping[str, SecretRef]:
    fields = ("access_key_id", "secret_access_key", "session_token")
    secrets = {field: source.secret(ref) for field in fields if (ref := getattr(attributes, field)) is not None}
    if secrets and not {"access_key_id", "secret_access_key"} <= set(secrets):
        raise source.error(
            "access_key_id and secret_access_key belong together; give both or none", next(iter(secrets))
        )
    if secrets and attributes.profile is not None:
        raise source.error("give either a profile or keys, not both", "profile")
    return secrets


def _s3_destination(attributes: S3Attributes, secrets: Mapping[str, SecretRef]) -> S3Destination:
    fields = {f"aws_{field}": _resource_field(secret) for field, secret in secrets.items()}
    return S3Destination(
        bucket=attributes.bucket,
        folder=attributes.folder,
        region_name=attributes.region,
        endpoint_url=attributes.endpoint_url,
        profile_name=attributes.profile,
        allow_insecure=attributes.allow_insecure,
        **fields,  # pyright: ignore[reportArgumentType]
    )


def _resource_field(secret: SecretRef) -> str:
    """What a resource's field holds, so that the UI shows the name of the variable or of the file."""
    return dg.EnvVar(secret.env) if secret.env is not None else secret.as_text()
