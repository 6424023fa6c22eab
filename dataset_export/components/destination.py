"""The component `Destination`."""

import re
from collections.abc import Collection, Mapping
from typing import Annotated, ClassVar, Self

import dagster as dg
from pydantic import Field, RootModel

from dataset_export.components.declaration import Declaration
from dataset_export.components.destination_types.adls_gen2 import ADLSGen2Attributes
from dataset_export.components.destination_types.amazon_s3 import S3Attributes
from dataset_export.components.destination_types.attributes import resource_field
from dataset_export.components.destination_types.azure_blob import AzureBlobAttributes
from dataset_export.components.destination_types.data_landing_zone import DataLandingZoneAttributes
from dataset_export.components.destination_types.google_cloud_storage import GCSAttributes
from dataset_export.components.destination_types.local import LocalAttributes
from dataset_export.components.destination_types.sftp import SFTPAttributes
from dataset_export.components.pgp_key import recipients_of
from dataset_export.components.scaffold import TemplateScaffolder
from dataset_export.components.source import Source
from dataset_export.destinations.contract import Store
from dataset_export.destinations.io_manager import DestinationIOManager
from dataset_export.encoding.contract import Encoding
from dataset_export.encoding.encode import check_encoding
from dataset_export.errors import ConfigError
from dataset_export.export.dataflow import DestinationInfo
from dataset_export.export.folder import FolderTemplate
from dataset_export.secret_refs import SecretRef

DEFAULT_IO_MANAGER = "io_manager"
"""The resource that Dagster keeps with what a step hands on to the next."""

AnyType = (
    LocalAttributes
    | S3Attributes
    | GCSAttributes
    | AzureBlobAttributes
    | DataLandingZoneAttributes
    | ADLSGen2Attributes
    | SFTPAttributes
)


class DestinationAttributes(RootModel[Annotated[AnyType, Field(discriminator="type")]]):
    """Attributes of a destination; `type` says which."""


def _named_in(message: str, fields: Collection[str]) -> str:
    """The field that a check is about which knows no YAML: the one of those written that its sentence names."""
    if "TLS" in message:
        return "endpoint_url"
    text = message.replace("_", " ")
    longest_first = sorted(set(fields) - {"id", "name", "type"}, key=len, reverse=True)
    return next((field for field in longest_first if re.search(rf"\b{field.replace('_', ' ')}\b", text)), "folder")


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
    def from_attributes(cls, attributes: AnyType, source: Source) -> Self:
        """See `Declaration.from_attributes`."""
        encoding = Encoding(format=attributes.format, compression=attributes.compression)
        with source.blaming("compression"):
            check_encoding(encoding)
        with source.blaming("manifest_folder"):
            manifest_folder = FolderTemplate(attributes.manifest_folder) if attributes.manifest_folder else None
        key = attributes.pgp_public_key
        recipients = recipients_of(key, source) if key is not None else None
        if attributes.manifest == "encrypted" and recipients is None:
            raise source.error("an encrypted manifest needs a pgp_public_key; add it", "manifest")
        secrets = attributes.secrets(source)
        io_manager = attributes.io_manager(source, {field: resource_field(ref) for field, ref in secrets.items()})
        with source.blaming("id"):
            if attributes.id == DEFAULT_IO_MANAGER:
                raise ConfigError(
                    f"the destination id {attributes.id!r} is that of Dagster's own storage; take another one"
                )
            value = DestinationInfo(
                id=attributes.id,
                name=attributes.name or attributes.id,
                type=attributes.type,
                encoding=encoding,
                manifest=attributes.manifest is True,
                manifest_folder=manifest_folder,
                description=attributes.description,
                recipients=recipients,
                encrypted_manifest=attributes.manifest == "encrypted",
                max_concurrent_exports=attributes.max_concurrent_exports,
                files_expire_after=io_manager.files_expire_after,
            )
        try:
            io_manager.build_store()  # reaches nothing and reads no secret: it only checks the fields
        except ConfigError as error:
            raise source.error(str(error), _named_in(str(error), attributes.model_fields_set)) from None
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
