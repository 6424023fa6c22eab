"""Whatever a server or a library says of a failure, neither the error nor its chain nor a line of a log repeats a secret."""

import logging
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import pytest

from dataset_export.components.catalog import Catalog, load_catalog
from dataset_export.components.destination import DestinationAttributes
from dataset_export.components.findings import variants
from dataset_export.destinations import retry
from dataset_export.destinations.contract import Store
from dataset_export.destinations.sftp import SFTPStore
from dataset_export.errors import ExportError
from dataset_export.lake import objects
from dataset_export.lake.open import open_table
from dataset_export.secret_refs import SecretRef
from dataset_export_tests.faults.delivery import also
from dataset_export_tests.secrets.failures import ECHOES, FAILURES, failing
from dataset_export_tests.secrets.project import Reference, write_project
from dataset_export_tests.secrets.search import Written, leaks, summary
from dataset_export_tests.secrets.ways import Servers
from dataset_export_tests.servers.echo import SSH_THREAD

REST = ("missing", "unreachable", "echo of a gateway")


@pytest.fixture(autouse=True)
def few_and_short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setattr(objects, "TRIES", 1)


@pytest.mark.parametrize("what", [also(what) if what in REST else what for what in FAILURES])
def test_no_secret_in_an_error_its_chain_or_a_log(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    with failing(what, servers, tmp_path) as failures:
        project = write_project(tmp_path / "project", failures.datasets, failures.destinations, alternately)
        for name, value in {**failures.environment, **project.environment}.items():
            monkeypatch.setenv(name, value)
        caplog.set_level(logging.DEBUG)
        # The server that repeats passwords is of the same library, and runs in this process.
        caplog.handler.addFilter(lambda record: record.threadName != SSH_THREAD)
        catalog = load_catalog(defs_folder=project.defs)
        said = list(of_destinations(catalog, [way.id for way in failures.destinations]))
        said += of_datasets(catalog, [way.id for way in failures.datasets])
        written = [*said, Written("log", caplog.text.encode())]
        # What is broken may still be read as what it was: a decoder of base64 skips the letters that it does not know.
        assert what == "malformed" or all(one.data for one in said), [one.where for one in said if not one.data]
        assert bool(failures.seen) == (what in ECHOES)
        found = leaks(written, project.marks | failures.seen)
    assert "\n".join(summary(found)) == ""


def test_every_secret_field_is_planted(servers: Servers) -> None:
    """A new type of destination, or a new secret of one, has to be planted too."""
    planted = {(way.type, name) for way in (*servers.destinations(), *servers.failing()) for name in way.secrets}
    declared = {
        (type_, name)
        for type_, attributes in variants(DestinationAttributes).items()
        for name, field in attributes.model_fields.items()
        if SecretRef in {getattr(one, "__origin__", one) for one in (field.annotation, *get_args(field.annotation))}
    }
    assert planted == declared
    assert {"sftp", "amazon_s3"} < {type_ for type_, _ in declared}


def of_destinations(catalog: Catalog, ids: list[str]) -> Iterator[Written]:
    """What every call to a store says, and how its resource shows itself."""
    for id_ in ids:
        with catalog.io_manager(id_).process_config_and_initialize_cm() as resource:
            yield Written(f"repr of {id_}", repr(resource).encode())
            store: Store = resource.build_store()

        def stage(store: Store = store) -> None:
            with store.stage("file") as upload:
                upload.write(b"rows")

        calls: dict[str, Callable[[], object]] = {
            "check": store.check,
            "put": lambda store=store: store.put("m.json", b"{}"),
            "list": lambda store=store: list(store.list("")),
            "open": lambda store=store: store.open("m.json"),
            "delete": lambda store=store: store.delete("m.json"),
            "stage": stage,
            "leftovers": lambda store=store: list(store.leftovers()),
        }
        # An SFTP server takes its time with every login that it refuses, and that is all that can fail here.
        asked = ["check"] if isinstance(store, SFTPStore) else list(calls)
        for name, call in ((name, calls[name]) for name in asked):
            yield failure(f"{name} at {id_}", call)


def of_datasets(catalog: Catalog, ids: list[str]) -> Iterator[Written]:
    """The same for reading a table."""
    for id_ in ids:
        location = catalog.datasets[id_].location()
        yield Written(f"repr of {id_}", repr((location, catalog.datasets[id_])).encode())
        table = open_table(location)
        yield failure(f"versions of {id_}", lambda table=table: list(table.versions()))
        yield failure(f"slice of {id_}", lambda table=table: table.slice(None, 1))


def failure(where: str, call: Callable[[], object]) -> Written:
    """What `call` raises, with its chain, as Dagster and terminals write it."""
    try:
        call()
    except ExportError as error:
        return Written(where, "".join(traceback.format_exception(error)).encode())
    return Written(where, b"")


def alternately(number: int) -> Reference:
    return "env" if number % 2 else "file"
