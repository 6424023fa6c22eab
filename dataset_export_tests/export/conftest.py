"""The table that the tests of exports share, where they say no other."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from dataset_export_tests.lake.delta_tables import DeltaBuilder


@pytest.fixture
def delta(tmp_path: Path) -> DeltaBuilder:
    """Four files of rows 1 to 7, committed long before every export time."""
    table = DeltaBuilder(str(tmp_path / "lake"))
    for ids in ([1, 2, 3], [4], [5, 6], [7]):
        table.commit_time(table.append(*ids), datetime(2026, 10, 31, 12, tzinfo=UTC))
    return table
