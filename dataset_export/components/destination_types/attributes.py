"""Attributes that every type of destination has."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Literal

import dagster as dg
from pydantic import Field

from dataset_export.components.declaration import Attributes
from dataset_export.components.source import Source
from dataset_export.destinations.io_manager import DestinationIOManager
from dataset_export.encoding.contract import Compression, Format
from dataset_export.secret_refs import SecretRef


class AnyDestinationAttributes(Attributes):
    """Attributes of every destination. A type adds a `type`, its own fields and `io_manager`."""

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
    manifest: bool | Literal["encrypted"] = Field(
        default=True,
        description="Whether the manifest of each export is written where readers look; if not, it is kept in a hidden "
        "folder. encrypted: it is kept there, and readers see a copy that is encrypted as the data files are.",
    )
    manifest_folder: str | None = Field(
        default=None,
        description="Template of another folder for manifests, with the macros of a dataflow's folder. Default: the "
        "folder of the data.",
    )

    pgp_public_key: str | Annotated[list[str], Field(min_length=1)] | None = Field(
        default=None,
        description="OpenPGP public key that the data files are encrypted for: an armored block, or the path of a file "
        "(relative ones start at the project root). A list for several recipients, each of whom can decrypt. Names end "
        "in .gpg then. Default: not encrypted.",
    )
    max_concurrent_exports: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="How many runs may deliver to it at once; the others wait in the daemon's queue. Default: any number.",
    )

    @abstractmethod
    def io_manager(self, source: Source, secrets: Mapping[str, str]) -> DestinationIOManager:
        """The IO manager of these attributes.

        Args:
            source: for refusals that name the line of a field.
            secrets: for each secret field that is given, what the IO manager's field of it takes.

        Raises:
            ConfigError: with file and line, for fields that do not go together.
        """

    def secrets(self, source: Source) -> Mapping[str, SecretRef]:
        """The references to secrets among the fields that are given, by field."""
        given = ((field, getattr(self, field)) for field in type(self).model_fields)
        return {field: source.secret(value) for field, value in given if isinstance(value, SecretRef)}


def resource_field(secret: SecretRef) -> str:
    """What a resource's field holds, so that the UI shows the name of the variable or of the file."""
    return dg.EnvVar(secret.env) if secret.env is not None else secret.as_text()
