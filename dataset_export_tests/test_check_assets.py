"""`make check-assets` passes over what was delivered, and fails when a delivered file is damaged or gone."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from dataset_export.components.catalog import Catalog
from dataset_export_tests.check_assets import check, deliver, demo_catalog, report


@dataclass(frozen=True)
class Delivery:
    """The running example, delivered."""

    folder: Path
    catalog: Catalog
    instance: dg.DagsterInstance
    exit_code: int

    def a_file(self) -> Path:
        return min((self.folder / ".demo" / "delivery").rglob("part-*"))


@pytest.fixture(scope="module")
def delivery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Delivery]:
    folder = tmp_path_factory.mktemp("check-assets")
    catalog = demo_catalog(folder)
    with dg.DagsterInstance.ephemeral() as instance:
        yield Delivery(folder, catalog, instance, report(deliver(catalog, instance)))


def test_all_checks_of_the_running_example_pass(delivery: Delivery) -> None:
    assert delivery.exit_code == 0


def test_the_checks_alone_pass_over_what_is_delivered(delivery: Delivery, capsys: pytest.CaptureFixture[str]) -> None:
    assert report(check(delivery.catalog, delivery.instance)) == 0
    lines = capsys.readouterr().out.splitlines()
    exports = sum(1 for line in lines if "  files_match_manifest  " in line)
    assert exports == len({path.parent for path in delivery.folder.rglob("manifest-*.json")})
    # The example's events get a column on the third day.
    [warning] = [line for line in lines if line.startswith("warns")]
    assert warning.split()[1] == "events_to_archive/web_events"
    assert warning.endswith("schema_unchanged  added: consent (string)")
    assert lines[-1] == f"{3 * exports - 1} passed, 1 warned, 0 failed"


def test_a_damaged_file_is_found(delivery: Delivery, capsys: pytest.CaptureFixture[str]) -> None:
    file = delivery.a_file()
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        assert report(check(delivery.catalog, delivery.instance)) == 1
    finally:
        file.write_bytes(whole)
    failed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAILED")]
    assert [line.split()[3] for line in failed] == ["files_match_manifest", "records_reconcile"]


def test_nothing_checked_is_a_failure() -> None:
    assert report(iter([])) == 1
