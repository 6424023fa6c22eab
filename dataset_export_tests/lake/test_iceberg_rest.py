"""Iceberg tables of a REST catalog, in buckets of a real S3 server."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from pyiceberg.catalog.rest import RestCatalog

from dataset_export.destinations.local import LocalStore
from dataset_export.errors import AccessDenied, NotFound, TransientError
from dataset_export.export.table_catalog import TableCatalog
from dataset_export.lake.location import IcebergCatalog
from dataset_export.lake.open import TableLocation, open_table
from dataset_export_tests.export.exporter import Exporter, rows_by_manifest
from dataset_export_tests.lake.iceberg_tables import NAME, IcebergBuilder, net_new
from dataset_export_tests.lake.test_delta_s3 import options
from dataset_export_tests.lake.test_iceberg import check
from dataset_export_tests.servers.weed import ADMIN, REGION, Weed


def catalog_options(weed: Weed, bucket: str, secret: str = ADMIN.secret_key) -> dict[str, str]:
    return {
        "warehouse": f"s3://{bucket}",
        "credential": f"{ADMIN.access_key}:{secret}",
        "oauth2-server-uri": f"{weed.iceberg_endpoint}/v1/oauth/tokens",
    }


@pytest.fixture
def iceberg(weed: Weed, tmp_path: Path) -> Iterator[IcebergBuilder]:
    bucket = f"b{secrets.token_hex(8)}"
    boto3.session.Session().client(
        "s3tables", endpoint_url=weed.endpoint, region_name=REGION, aws_access_key_id=ADMIN.access_key,
        aws_secret_access_key=ADMIN.secret_key,
    ).create_table_bucket(name=bucket)  # fmt: skip
    settings = catalog_options(weed, bucket)
    writing = {
        "s3.endpoint": weed.endpoint, "s3.access-key-id": ADMIN.access_key, "s3.secret-access-key": ADMIN.secret_key,
        "s3.region": REGION,
    }  # fmt: skip
    catalog = RestCatalog("lake", uri=weed.iceberg_endpoint, **settings, **writing)
    location = IcebergCatalog("rest", "lake", NAME, weed.iceberg_endpoint, settings)
    builder = IcebergBuilder(tmp_path, catalog=catalog, location=location, options=options(weed))
    yield builder
    builder.close()


def test_appends_overwrites_and_slices(iceberg: IcebergBuilder) -> None:
    iceberg.append(1, 2)
    iceberg.append(3)
    iceberg.overwrite(2, 3, 4)
    iceberg.append(5)
    check(iceberg)
    table = iceberg.table()
    assert net_new(table, table.slice(None, iceberg.version)) == iceberg.scanned(iceberg.version)


def test_an_export_from_end_to_end(iceberg: IcebergBuilder, tmp_path: Path) -> None:
    iceberg.append(1, 2)
    where = iceberg.location
    catalog = TableCatalog("rest", where.name, where.table, where.uri, where.options)
    exporter = Exporter(
        LocalStore(tmp_path / "delivered"), catalog.address, options=iceberg.options, format="iceberg", catalog=catalog
    )
    exporter.export(900000)
    iceberg.append(3)
    iceberg.overwrite(1, 4)
    exporter.export(900001)
    assert dict(rows_by_manifest(exporter.store)) == {1: 1, 2: 1, 4: 1}


def test_what_the_catalog_refuses(iceberg: IcebergBuilder, weed: Weed) -> None:
    iceberg.append(1)

    def opened(table: str = NAME, uri: str = iceberg.location.uri, **changes: str) -> list[object]:
        catalog = IcebergCatalog("rest", "lake", table, uri, {**iceberg.location.options, **changes})
        return list(
            open_table(TableLocation("iceberg", "iceberg://lake/x", iceberg.options, catalog=catalog)).versions()
        )

    assert len(opened()) == 1
    with pytest.raises(NotFound, match="there is no table"):
        opened(table="shop.nothing")
    with pytest.raises(AccessDenied, match="refused access: check the catalog's credentials") as caught:
        opened(credential=f"{ADMIN.access_key}:planted-secret")
    assert "planted" not in str(caught.value)
    with pytest.raises(TransientError, match="did not answer"):
        opened(uri="http://127.0.0.1:9", **{"oauth2-server-uri": "http://127.0.0.1:9/token"})
