"""The world that the command is called on, new for each test."""

from pathlib import Path

import pytest

from dataset_export_tests.cli.world import World, small_world


@pytest.fixture
def world(tmp_path: Path) -> World:
    return small_world(tmp_path)
