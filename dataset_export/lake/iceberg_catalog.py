"""Find an Iceberg table: by a catalog (SQL or REST), or by its metadata file alone."""

import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataset_export.errors import (
    AccessDenied,
    ConfigError,
    CorruptFile,
    ExportError,
    LakeError,
    NotFound,
    TransientError,
    UnsupportedTable,
)
from dataset_export.lake.iceberg_files import IcebergFiles, properties_for
from dataset_export.lake.iceberg_rest import rest_catalog
from dataset_export.lake.location import IcebergCatalog, TableLocation
from dataset_export.redaction import quoted

if TYPE_CHECKING:
    from pyiceberg.table.metadata import TableMetadata

_SQLITE = re.compile(r"sqlite(\+\w+)?:///(?P<path>[^?]+)")


@dataclass(frozen=True)
class Found:
    """A table as it is now: its metadata, and how its files are read."""

    metadata: "TableMetadata"
    files: IcebergFiles


def find(location: TableLocation) -> Found:
    """Ask the catalog for the table, or read its metadata file.

    Raises:
        NotFound: there is no such table, or no such catalog.
        AccessDenied: the catalog or the storage refused the credentials.
        UnsupportedTable: its metadata has something that is not known.
        TransientError: the catalog or the storage did not answer.
    """
    with _translated(location.uri):
        if location.catalog is None:
            files = IcebergFiles(properties_for(location))
            return Found(_read_metadata(files, location.uri), files)
        return _in_catalog(location, location.catalog)


def _read_metadata(files: IcebergFiles, location: str) -> "TableMetadata":
    from pyiceberg.serializers import FromInputFile

    try:
        return FromInputFile.table_metadata(files.new_input(location))  # pyright: ignore[reportArgumentType]
    except FileNotFoundError as error:
        raise NotFound(
            f"there is no Iceberg table at {location}: give the path of its newest …metadata.json, or its catalog"
        ) from error


def _in_catalog(location: TableLocation, catalog: IcebergCatalog) -> Found:
    from pyiceberg.catalog.sql import SqlCatalog

    properties = {**catalog.options, **properties_for(location), "uri": catalog.uri}
    if catalog.type == "sql":
        sqlite = _SQLITE.fullmatch(catalog.uri)
        if sqlite is not None and not Path(sqlite["path"]).is_file():  # opening it would make one
            raise NotFound(f"there is no catalog for the table {location.uri}: the SQLite file does not exist")
        # An export reads: a database without the catalog's tables is the wrong one.
        opened: Any = SqlCatalog(catalog.name, **{**properties, "init_catalog_tables": "false"})
    else:
        opened = rest_catalog(catalog.name, properties)
    try:
        table = opened.load_table(catalog.table)
        # The table's own properties may name another way to its files; it is not taken.
        return Found(table.metadata, IcebergFiles({**table.io.properties, **properties_for(location)}))
    finally:
        opened.close()


@contextmanager
def _translated(uri: str) -> Generator[None]:
    """Turn what pyiceberg, its database and its HTTP client raise into our errors."""
    from pydantic import ValidationError
    from pyiceberg import exceptions as iceberg
    from requests.exceptions import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except ExportError:
        raise
    except (iceberg.NoSuchTableError, iceberg.NoSuchNamespaceError, iceberg.NoSuchIdentifierError) as error:
        raise NotFound(f"there is no table {uri} in its catalog: check its name ({quoted(error)})") from None
    except (iceberg.UnauthorizedError, iceberg.ForbiddenError, iceberg.OAuthError, iceberg.SignError) as error:
        raise AccessDenied(
            f"the catalog of the table {uri} refused access: check the catalog's credentials ({quoted(error)})"
        ) from None
    except (
        iceberg.ServiceUnavailableError,
        iceberg.ServerError,
        iceberg.TooManyRequestsError,
        RequestException,
    ) as error:
        raise TransientError(
            f"the catalog of the table {uri} did not answer: see whether it runs and its uri is right ({quoted(error)})"
        ) from None
    except FileNotFoundError as error:
        raise CorruptFile(
            f"the catalog's metadata file of the table {uri} is missing: restore it, or register the table anew"
        ) from error
    except SQLAlchemyError as error:
        raise _of_database(uri, error) from None
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:3])
        raise UnsupportedTable(
            f"the metadata of the table {uri} is not understood, so wrong rows might be delivered: {quoted(found)}"
        ) from None
    except (iceberg.RESTError, iceberg.NoSuchPropertyException, ModuleNotFoundError) as error:
        raise ConfigError(f"the catalog of the table {uri} cannot be used: {quoted(error)}") from None
    except (ValueError, NotImplementedError, KeyError, OSError) as error:
        raise LakeError(f"the table {uri} cannot be read: {quoted(error)}") from None


def _of_database(uri: str, error: Exception) -> ExportError:
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError

    text = quoted(getattr(error, "orig", None) or error)
    if "no such table" in text or "does not exist" in text:
        return NotFound(f"there is no catalog for the table {uri}: the database has no table iceberg_tables")
    if isinstance(error, NoSuchModuleError | ArgumentError):
        return ConfigError(f"the catalog's uri of the table {uri} is none of a database that can be used: {text}")
    if re.search(r"password|authentication|denied", text):
        return AccessDenied(f"the catalog's database of the table {uri} refused access: {text}")
    if isinstance(error, OperationalError):
        return TransientError(
            f"the catalog's database of the table {uri} did not answer: see whether it runs and its uri is right ({text})"
        )
    return LakeError(f"the catalog's database of the table {uri} cannot be read: {text}")
