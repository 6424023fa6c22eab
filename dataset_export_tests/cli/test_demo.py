"""The demo, on the example's own declarations, in a folder of the test."""

from pathlib import Path

import click.testing
import dagster as dg
import pytest

from dataset_export.cli import dagster_home
from dataset_export.cli.main import cli
from dataset_export.cli.session import Session
from dataset_export.components.catalog import load_catalog


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.delenv("DATASET_EXPORT_DEFS", raising=False)
    monkeypatch.setattr(dagster_home, "project_root", lambda: tmp_path)
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    return Session(
        load_catalog=lambda: load_catalog(project_root=tmp_path),
        open_instance=lambda: dg.DagsterInstance.from_config(str(home)),
    )


def again(session: Session) -> click.testing.Result:
    fresh = Session(load_catalog=session.load_catalog, open_instance=session.open_instance)
    return click.testing.CliRunner().invoke(cli, ["demo"], obj=fresh)


def delivered(folder: Path) -> dict[str, int]:
    """Number of visible files by folder."""
    counts: dict[str, int] = {}
    for path in (folder / ".demo" / "delivery").rglob("*.*"):
        if path.is_file() and ".dataset_export" not in path.parts:
            key = str(path.parent.relative_to(folder))
            counts[key] = counts.get(key, 0) + 1
    return counts


def test_the_demo_delivers_and_verifies(session: Session, tmp_path: Path) -> None:
    first = again(session)
    assert first.exit_code == 0, first.output
    made = delivered(tmp_path)
    assert made[".demo/delivery/partner/flights/exportTime=202611020200"] == 2
    # Nothing new of planes on that day: a manifest without files.
    assert made[".demo/delivery/partner/planes/exportTime=202611030200"] == 1
    assert len(made) == 12
    assert "flights_to_partner: 359,732 records" in first.stdout
    assert "281,373 records" in first.stdout
    assert "table versions  1 → 2" in first.stdout
    assert "make ui" in first.stdout


@pytest.mark.slow
def test_the_demo_can_be_repeated(session: Session, tmp_path: Path) -> None:
    assert again(session).exit_code == 0
    made = delivered(tmp_path)
    theirs = tmp_path / ".demo" / "notes.txt"
    theirs.write_text("kept")
    for path in (tmp_path / ".demo" / "delivery").rglob("*.parquet"):
        path.unlink()
    second = again(session)
    assert second.exit_code == 0, second.output
    assert delivered(tmp_path) == made
    assert theirs.read_text() == "kept"


def test_the_demo_removes_nothing_outside_its_folder(session: Session, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    (precious / "partner").mkdir(parents=True)
    (precious / "partner" / "file").write_text("mine")
    (tmp_path / ".demo").mkdir()
    (tmp_path / ".demo" / "delivery").symlink_to(precious)
    result = again(session)
    assert result.exit_code == 1
    assert "the demo works in" in result.stderr
    assert (precious / "partner" / "file").read_text() == "mine"
