"""Dagster instances whose databases are there already: to make them takes longer than most tests that need one."""

import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg


def prepare_home(home: Path) -> None:
    """Put empty databases into a Dagster home, which is made if need be; its settings are as they are."""
    shutil.copytree(_made().name, home, dirs_exist_ok=True, ignore=shutil.ignore_patterns("dagster.yaml"))


@contextmanager
def new_instance(overrides: Mapping[str, Any] | None = None) -> Generator[dg.DagsterInstance]:
    """As `dg.instance_for_test`: an instance of its own, and `DAGSTER_HOME` set to it."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as home:
        prepare_home(Path(home))
        with dg.instance_for_test(overrides=dict(overrides or {}), temp_dir=home) as instance:
            yield instance


@cache
def _made() -> "TemporaryDirectory[str]":
    """Made once in a process, and removed when it ends."""
    folder = TemporaryDirectory()
    with dg.instance_for_test(temp_dir=folder.name) as instance:
        instance.get_asset_keys()
        instance.all_instigator_state()
    return folder
