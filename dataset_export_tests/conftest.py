"""Fixtures that several folders share: real servers, and an empty place at each kind of destination."""

import os
import shutil
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from hypothesis import settings

from dataset_export import redaction
from dataset_export.destinations.contract import Store
from dataset_export.lake.footer_cache import CACHE_VARIABLE
from dataset_export_tests.places.contract import Place
from dataset_export_tests.servers.azurite import Azurite, running_azurite
from dataset_export_tests.servers.dfs import DataLake, running_data_lake
from dataset_export_tests.servers.gcs import CloudStorage, running_cloud_storage
from dataset_export_tests.servers.gnupg import GnuPG, running_gnupg
from dataset_export_tests.servers.openssh import OpenSSH, running_openssh
from dataset_export_tests.servers.weed import Weed, running_weed

# How long an example takes says nothing on a machine that does other work too.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

KINDS = ("local", "amazon_s3", "google_cloud_storage", "azure_blob", "data_landing_zone", "adls_gen2", "sftp")
"""Types of destination; `places` has a module of each, which opens one."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that wait for long come first."""
    items.sort(key=lambda item: item.get_closest_marker("waits") is None)


@pytest.fixture(autouse=True, scope="session")
def cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is left in a person's own cache, nor taken from it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def secrets_of_its_own() -> Iterator[None]:
    """What one test takes for a secret may be a word in the next."""
    yield
    redaction._known.clear()


@pytest.fixture(scope="session")
def weed() -> Iterator[Weed]:
    """A SeaweedFS S3 server, started by the first test that asks for it."""
    with running_weed() as server:
        yield server


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """An Azurite server, started by the first test that asks for it."""
    with running_azurite() as server:
        yield server


@pytest.fixture(scope="session")
def data_lake() -> Iterator[DataLake]:
    """A Data Lake server, started by the first test that asks for it."""
    with running_data_lake() as server:
        yield server


@pytest.fixture(scope="session")
def cloud_storage() -> Iterator[CloudStorage]:
    """A Google Cloud Storage server, started by the first test that asks for it."""
    with running_cloud_storage() as server:
        yield server


@pytest.fixture(scope="session")
def openssh() -> Iterator[OpenSSH]:
    """An OpenSSH server, started by the first test that asks for it."""
    with running_openssh() as server:
        yield server


@pytest.fixture(scope="session")
def gnupg() -> Iterator[GnuPG]:
    """A keyring of GnuPG, without keys, made by the first test that asks for it."""
    with running_gnupg() as keyring:
        yield keyring


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    """A Spark session in two threads, started by the first test that asks for it."""
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java and there is none on the PATH (CI has it)")
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", "2")
        .getOrCreate()
    )
    yield session
    session.stop()


@pytest.fixture
def bucket(weed: Weed) -> str:
    """The name of a new, empty bucket."""
    return weed.create_bucket()


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest) -> Place:
    """An empty folder at a destination of each kind."""
    return import_module(f"dataset_export_tests.places.{request.param}").open_place(request)


@pytest.fixture
def store(place: Place) -> Store:
    """The store of `place`."""
    return place.store
