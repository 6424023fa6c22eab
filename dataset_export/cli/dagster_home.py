"""The Dagster instance that the command records in."""

import os
import shutil
from pathlib import Path

import dagster as dg

import dataset_export
from dataset_export.cli.terminal import note
from dataset_export.errors import ConfigError

HOME_VARIABLE = "DAGSTER_HOME"


def open_instance() -> dg.DagsterInstance:
    """Open the instance of DAGSTER_HOME, or of `.dagster_home` in the project when that is not set.

    A home that does not exist is created with a copy of the project's dagster.yaml, so that the UI and the daemon find
    the same limits and see the same runs.

    Raises:
        ConfigError: when the home cannot be used.
    """
    given = os.environ.get(HOME_VARIABLE)
    home = Path(given).expanduser().absolute() if given else project_root() / ".dagster_home"
    try:
        if not home.exists():
            _create(home)
    except OSError as error:
        raise ConfigError(f"cannot create the Dagster home {home}: {error.strerror}; set {HOME_VARIABLE}") from error
    os.environ[HOME_VARIABLE] = str(home)
    try:
        return dg.DagsterInstance.get()
    except dg.DagsterError as error:
        raise ConfigError(f"the Dagster home {home} cannot be used: {error}; set {HOME_VARIABLE}") from error


def project_root() -> Path:
    """The folder of the project's pyproject.toml; the working directory for an installed package without one."""
    root = Path(dataset_export.__file__).parents[1]
    return root if (root / "pyproject.toml").exists() else Path.cwd()


def where_to_look(run_id: str) -> str:
    """How to see a run in the UI."""
    return f"in the UI (make ui): http://127.0.0.1:3000/runs/{run_id}"


def _create(home: Path) -> None:
    home.mkdir(parents=True)
    settings = project_root() / "dagster.yaml"
    if settings.exists():
        shutil.copyfile(settings, home / "dagster.yaml")
    note(f"note: created the Dagster home {home}")
