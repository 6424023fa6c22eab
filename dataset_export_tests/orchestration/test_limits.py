"""Exports that are larger than most: a warning in the log of the run, and the export goes on (spec S10)."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dataset_export.governance import limits
from dataset_export.orchestration import export_asset
from dataset_export_tests.instances import new_instance
from dataset_export_tests.orchestration.test_export_asset import World, metadata_of


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with new_instance() as instance:
        yield World(tmp_path, instance)


def test_s10_the_limit_is_five_billion_records() -> None:
    assert limits.too_many_records(5_000_000_000) is None
    assert limits.too_many_records(5_000_000_001) == (
        "5,000,000,001 records in one export, more than 5,000,000,000; it goes on, and may take long"
    )


@pytest.mark.parametrize("counted", [True, False])
def test_s10_an_export_of_too_many_records_is_warned_of_and_delivered(
    world: World, monkeypatch: pytest.MonkeyPatch, counted: bool
) -> None:
    monkeypatch.setattr(limits, "MAX_RECORDS", 5)
    if not counted:
        plan = export_asset.plan_export

        def plan_without_counts(*args: Any, **options: Any) -> Any:
            return replace(plan(*args, **options), source_rows=None)

        monkeypatch.setattr(export_asset, "plan_export", plan_without_counts)
    result = world.run()
    assert result.success
    assert metadata_of(result)["records"] == 6
    warned = [entry.user_message for entry in world.instance.all_logs(result.run_id) if entry.level == logging.WARNING]
    assert warned == [
        "hourly/orders at 202611010800: 6 records in one export, more than 5; it goes on, and may take long"
    ]


def test_s10_no_warning_below(world: World) -> None:
    result = world.run()
    assert not [entry for entry in world.instance.all_logs(result.run_id) if entry.level == logging.WARNING]
