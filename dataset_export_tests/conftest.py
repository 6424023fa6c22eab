"""Fixtures that several folders share: a real S3 server, a bucket of it, and a store of each kind."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dataset_export.destinations.contract import Store
from dataset_export.destinations.local import LocalStore
from dataset_export.destinations.s3 import S3Store
from dataset_export.destinations.s3_upload import MIN_PART_BYTES
from dataset_export_tests.servers.weed import Weed, running_weed


@pytest.fixture(scope="session")
def weed() -> Iterator[Weed]:
    """A SeaweedFS S3 server, started by the first test that asks for it."""
    with running_weed() as server:
        yield server


@pytest.fixture
def bucket(weed: Weed) -> str:
    """The name of a new, empty bucket."""
    return weed.create_bucket()


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store of each kind. The one on S3 sends parts of 8 MiB."""
    if request.param == "local":
        return LocalStore(tmp_path / "delivered")
    weed: Weed = request.getfixturevalue("weed")
    return S3Store(weed.client, request.getfixturevalue("bucket"), "team/exports", part_size=MIN_PART_BYTES)
