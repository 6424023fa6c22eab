"""`make check-assets` passes on what was delivered whole, and exits 1 on a file that is damaged after its delivery."""

from pathlib import Path

import dagster as dg
import pytest

from dataset_export.destinations.local import LocalStore
from dataset_export_tests.check_assets import demo_catalog, export_and_check, report


def test_a_whole_delivery_exits_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with dg.instance_for_test() as instance:
        assert report(export_and_check(demo_catalog(tmp_path), instance)) == 0
    # Two checks; three datasets of one dataflow and one of the other; three export times each.
    assert "asset checks: 24 passed, 0 failed" in capsys.readouterr().out


def test_a_damaged_file_exits_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put = LocalStore.put

    def put_then_damage(store: LocalStore, path: str, data: bytes, *, replace: bool = False) -> None:
        """Somebody flips one byte of a delivered file as soon as the manifest is there."""
        put(store, path, data, replace=replace)
        folder, _, name = path.rpartition("/")
        if name.startswith("manifest-") and folder == "weather/exportTime=202611020200":
            file = next((store.folder / folder).glob("*.parquet"))
            whole = file.read_bytes()
            file.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])

    monkeypatch.setattr(LocalStore, "put", put_then_damage)
    with dg.instance_for_test() as instance:
        assert report(export_and_check(demo_catalog(tmp_path), instance)) == 1
    failed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAILED")]
    assert len(failed) == 2
    assert all("flights_to_partner/weather 202611020200" in line for line in failed)
    assert any("files_match_manifest" in line for line in failed)


def test_nothing_checked_is_no_success() -> None:
    assert report(iter([])) == 1
