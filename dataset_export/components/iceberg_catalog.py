"""The catalog of an Iceberg table, as it is written in YAML."""

import re
from typing import Literal

from pydantic import Field

from dataset_export.components.declaration import Attributes
from dataset_export.components.secret import StorageOption, checked_option
from dataset_export.components.source import Source
from dataset_export.export.table_catalog import TableCatalog
from dataset_export.secret_refs import SecretRef

_SQLITE = re.compile(r"(sqlite(?:\+\w+)?:///)(.*)")
_CODE = ("py-", "type", "uri", "dataset-export.")
"""Beginnings of options that say which code is run, or what other attributes say."""


class IcebergCatalogAttributes(Attributes):
    """Where an Iceberg table is registered."""

    type: Literal["sql", "rest"] = Field(
        description="sql: a database with the tables of Iceberg's JDBC catalog; rest: a service with Iceberg's REST protocol."
    )
    uri: StorageOption = Field(
        description="Of a database as SQLAlchemy writes it (sqlite:///lake/catalog.db, postgresql+psycopg2://host/db; its driver has to be "
        "installed), or the URL of the service. With a password in it, a reference: {env: NAME} or {file: PATH}."
    )
    table: str = Field(min_length=1, description="The table's identifier, namespaces first: sales.orders.")
    name: str = Field(
        default="default",
        min_length=1,
        description="Name of the catalog; in a database it is the column catalog_name. Default: default.",
    )
    options: dict[str, StorageOption] = Field(
        default_factory=dict,
        description="Further properties of the catalog, as pyiceberg names them: warehouse, scope, oauth2-server-uri, rest.sigv4-enabled. Secrets "
        "(token, credential) are references: {env: NAME} or {file: PATH}.",
    )

    def value(self, source: Source) -> TableCatalog:
        """The settings. Raises ConfigError for a secret that is written out and for options that are not to be set."""
        for option in self.options:
            if option.lower().startswith(_CODE):
                raise source.error(
                    f"the option {option} is not to be set here; take it out", "catalog", "options", option
                )
        if "." not in self.table.strip("."):
            raise source.error(
                f"the table {self.table!r} has no namespace; write it as namespace.table", "catalog", "table"
            )
        return TableCatalog(
            type=self.type,
            name=self.name,
            table=self.table,
            uri=self._uri(source),
            options={
                option: checked_option(option, value, source, "catalog", "options")
                for option, value in self.options.items()
            },
        )

    def _uri(self, source: Source) -> str | SecretRef:
        if isinstance(self.uri, SecretRef):
            return source.secret(self.uri)
        source.refuse_password(self.uri, "catalog", "uri")
        sqlite = _SQLITE.fullmatch(self.uri)
        if self.type == "rest" and not self.uri.startswith(("https://", "http://")):
            raise source.error("the uri of a REST catalog begins with https:// or http://", "catalog", "uri")
        if self.type == "sql" and self.uri.startswith(("https://", "http://")):
            raise source.error("this uri is that of a REST catalog; write type: rest", "catalog", "uri")
        if sqlite is None:
            return self.uri
        # As every local path: relative ones start at the project root.
        return sqlite[1] + str(source.project_root / sqlite[2])
