"""The bars of a run on a terminal end full, whatever Dagster does to the process's logging and streams."""

import io

import pytest
from rich.console import Console

from dataset_export.cli import progress
from dataset_export_tests.cli.world import World, at


def test_each_dataset_has_a_bar_that_ends_full(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    terminal = Console(file=shown, force_terminal=True, color_system=None, width=140, markup=False)
    monkeypatch.setattr(progress, "progress_console", lambda: terminal)
    result = world.call("run", "flow", "--export-time", at(1), "--json")
    assert result.exit_code == 0, result.output
    *_, a, b = [line for line in shown.getvalue().splitlines() if "files" in line]
    assert " a " in a
    assert "2/2 files" in a
    assert "published" in a
    assert " b " in b
    assert "1/1 files" in b
    assert "published" in b
