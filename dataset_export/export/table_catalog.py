"""Where an Iceberg table is registered, with secrets as references."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from dataset_export.lake.location import IcebergCatalog
from dataset_export.secret_refs import SecretRef


@dataclass(frozen=True)
class TableCatalog:
    """The catalog of an Iceberg table.

    Attributes:
        type: `sql` or `rest`.
        name: of the catalog.
        table: the table's identifier in it.
        uri: of the database or the service; a reference when a password is in it.
        options: further properties; values are plain or secret references.
    """

    type: Literal["sql", "rest"]
    name: str
    table: str
    uri: str | SecretRef
    options: Mapping[str, str | SecretRef] = field(default_factory=dict[str, "str | SecretRef"])

    @property
    def address(self) -> str:
        """What errors, the UI and `review` call the table."""
        return f"iceberg://{self.name}/{self.table}"

    def revealed(self) -> IcebergCatalog:
        """With secrets revealed; made just before use and never stored.

        Raises:
            ConfigError: when a secret cannot be read.
        """
        return IcebergCatalog(
            type=self.type,
            name=self.name,
            table=self.table,
            uri=revealed(self.uri),
            options={key: revealed(value) for key, value in self.options.items()},
        )


def revealed(value: str | SecretRef) -> str:
    """The text, or what a reference refers to. Raises ConfigError when that cannot be read."""
    return value.reveal() if isinstance(value, SecretRef) else value
