"""Servers that let the planted secrets in, with a table of the lake behind them."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from dataset_export_tests.lake.delta_tables import DeltaBuilder
from dataset_export_tests.secrets.project import START
from dataset_export_tests.secrets.ways import Servers, running_servers


@pytest.fixture(scope="package")
def servers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """With the same table at each dataset's location."""
    folder = tmp_path_factory.mktemp("planted")
    table = DeltaBuilder(str(folder / "table"))
    for ids in ([1, 2, 3], [4]):
        table.commit_time(table.append(*ids), START - timedelta(hours=1))
    with running_servers(request, folder) as servers:
        for client, dataset in zip((servers.weed.client(), servers.moto.client("s3")), servers.datasets(), strict=True):
            bucket, _, prefix = dataset.fields["location"].removeprefix("s3://").partition("/")
            for file in sorted((folder / "table").rglob("*")):
                if file.is_file():
                    key = f"{prefix}/{file.relative_to(folder / 'table')}"
                    client.put_object(Bucket=bucket, Key=key, Body=file.read_bytes())
        yield servers
