"""No secret in anything that runs write: events, logs, metadata, captured output, terminals, destinations, the UI.

Marked secrets are planted in every field that takes one, real exports run with them to real servers, succeed and fail, and
everything that was written is searched. Beside them runs something that gives secrets away in every way there is, and
all of those have to be found.
"""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dataset_export_tests.secrets import leaky
from dataset_export_tests.secrets.failures import FAILURES, environment_of, failing
from dataset_export_tests.secrets.project import CHANNEL, EXPORT_TIME, SHELF, Project, Reference, write_project
from dataset_export_tests.secrets.search import Written, files, leaks, summary
from dataset_export_tests.secrets.ui import running_webserver
from dataset_export_tests.secrets.ways import FOLDER, Servers, Way

ROOT = Path(__file__).parents[2]
SAMPLE = ("orders", "s3_session", "zone")
"""A table of the lake, and the two ways whose secrets travel with every request."""
SETTINGS = """
telemetry: {enabled: false}
nux: {enabled: false}
run_coordinator: {module: dagster.core.run_coordinator, class: DefaultRunCoordinator}
"""
"""Runs begin when they are launched: there is no daemon."""
ALL_LOGS = """
python_logs: {managed_python_loggers: [root], python_log_level: DEBUG}
"""
"""Every line that a library logs becomes an event of the run."""

LOCATION = """
from pathlib import Path
import dagster as dg
from dataset_export.components.project import load_definitions
from dataset_export_tests.secrets import leaky
defs = dg.Definitions.merge(load_definitions(defs_folder=Path({defs!r})), leaky.definitions())
"""
"""With what gives secrets away beside what does not: it takes one process to show both."""


@dataclass
class Home:
    """A Dagster home, and all that was said by programs that wrote to it."""

    folder: Path
    said: list[Written] = field(default_factory=list[Written])
    marks: set[str] = field(default_factory=set[str])
    environment: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def dagster_home(self) -> Path:
        return self.folder / "home"

    def prepare(self, settings: str) -> None:
        self.dagster_home.mkdir()
        (self.dagster_home / "dagster.yaml").write_text(settings)

    def add(self, project: Project, environment: Mapping[str, str]) -> None:
        """Make the secrets of a project ones to look for, and let programs have them."""
        self.environment |= {**project.environment, **environment}
        self.marks |= project.marks

    def command(self, project: Project, *calls: list[str]) -> list[str]:
        """Call the command, once for each list of arguments; the exit codes."""
        file = project.folder / "calls.json"
        file.write_text(json.dumps(calls))
        done = subprocess.run(
            [sys.executable, "-m", "dataset_export_tests.secrets.driver", str(file)],
            capture_output=True, check=False, cwd=project.folder, timeout=900,
            env={
                **os.environ, **self.environment, "PYTHONPATH": str(ROOT), "DAGSTER_HOME": str(self.dagster_home),
                "DATASET_EXPORT_DEFS": str(project.defs),
            },
        )  # fmt: skip
        self.said += [
            Written(f"stdout of {project.name}", done.stdout),
            Written(f"stderr of {project.name}", done.stderr),
        ]
        codes = [line.removeprefix("exit code ") for line in done.stdout.decode().splitlines() if "exit code " in line]
        assert len(codes) == len(calls), done.stderr[-3000:].decode()
        return codes


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.mark.timeout(280)
def test_no_secret_is_written_and_what_is_given_away_is_found(
    home: Home, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.prepare(SETTINGS)
    check(home, servers, monkeypatch, only=SAMPLE, failures=("echo",), by=lambda number: ("env", "file")[number % 2])


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("by", "failures"), [("file", FAILURES), ("env", ("malformed", "echo"))])
def test_no_secret_is_written_whichever_way_it_is_given(
    home: Home, servers: Servers, monkeypatch: pytest.MonkeyPatch, by: Reference, failures: tuple[str, ...]
) -> None:
    home.prepare(SETTINGS + ALL_LOGS)
    check(home, servers, monkeypatch, only=None, failures=failures, by=lambda _: by)


def check(
    home: Home,
    servers: Servers,
    monkeypatch: pytest.MonkeyPatch,
    *,
    only: tuple[str, ...] | None,
    failures: tuple[str, ...],
    by: Any,
) -> None:
    def chosen(ways: list[Way]) -> list[Way]:
        return [way for way in ways if only is None or way.id in only]

    given_away = {kind: f"{kind}{secrets.token_urlsafe(24)}" for kind in (*leaky.KINDS, "argument", "delivered")}
    trusted = environment_of(servers.tls_lake.port, servers.tls_lake.ca_bundle, folder=home.folder)
    good = write_project(home.folder / "good", chosen(servers.datasets()), chosen(servers.destinations()), by)
    home.add(good, trusted)
    deliver(home, good, given_away["argument"])
    seen: set[str] = set()
    for number, what in enumerate(failures):
        folder = home.folder / f"failing{number}"
        folder.mkdir()
        with failing(what, servers, folder) as broken:
            datasets = broken.datasets or servers.datasets()
            project = write_project(folder / f"bad{number}", chosen(datasets), chosen(broken.destinations), by)
            home.add(project, broken.environment)
            fail(home, project)
            seen |= broken.seen
    home.environment |= trusted

    monkeypatch.setenv(leaky.LEAKS, json.dumps(given_away))
    with dg.DagsterInstance.from_config(str(home.dagster_home)) as instance:
        leaky.run(instance)
    leak = f"{FOLDER}/leak"
    servers.weed.client().put_object(Bucket=servers.places["weed"], Key=leak, Body=given_away["delivered"].encode())
    # The others refer to their secrets in the same ways; what came of their runs is in the instance.
    workspace = {"load_from": [code_location(good)]}
    environment = {**home.environment, "PYTHONPATH": str(ROOT)}
    log = home.folder / "webserver.log"
    with running_webserver(home.dagster_home, workspace, environment, log) as browser:
        assert browser.launch(good.name, good.dataflows[SHELF], EXPORT_TIME) == "SUCCESS"
        shown = browser.look_everywhere()
    everything = [*home.said, *files(home.dagster_home), Written("stderr of the webserver", log.read_bytes()), *shown]
    everything += servers.delivered()
    servers.weed.client().delete_object(Bucket=servers.places["weed"], Key=leak)
    marks = home.marks | seen
    found = leaks(everything, marks | set(given_away.values()))
    assert "\n".join(summary(one for one in found if one.mark in marks)) == ""
    places = {kind: {place_of(one.where) for one in found if one.mark == mark} for kind, mark in given_away.items()}
    assert places == {
        "printed": {"home", "UI"},
        "logged": {"home", "UI"},
        "metadata": {"home", "UI"},
        "cause": {"home", "UI"},
        "config": {"home", "UI"},
        "resource": {"home", "UI"},
        "argument": {"terminal"},
        "delivered": {"destination"},
    }


def code_location(project: Project) -> dict[str, Any]:
    """The project as a workspace names it."""
    file = project.folder / "location.py"
    file.write_text(LOCATION.format(defs=str(project.defs)))
    return {"python_file": {"relative_path": str(file), "location_name": project.name}}


def deliver(home: Home, project: Project, argument: str) -> None:
    """Deliver to each destination, and ask everything about it."""
    when = ("--export-time", EXPORT_TIME)
    first, *_ = project.dataflows
    calls = [["--debug", "run", flow, *when] for flow in project.dataflows.values()]
    calls += [["policy", id_, "--json"] for id_ in project.dataflows]
    flow = project.dataflows[first]
    calls += [
        ["verify", flow, *when, "--deep", "--json"],
        ["plan", flow, *when, "--json"],
        ["manifest", flow, *when, "--dataset", "orders", "--json"],
        ["resend", flow, *when, "--json"],
        ["sweep", flow, "--dry-run"],
        ["doctor"],
    ]
    assert set(home.command(project, *calls)) == {"0"}
    assert home.command(project, ["plan", argument, *when], ["alerts", "test", CHANNEL]) == ["2", "1"]


def fail(home: Home, project: Project) -> None:
    """Try the same where nothing can be delivered, but to a local folder of a table that can be read."""
    when = ("--export-time", EXPORT_TIME)
    calls = [["--debug", "run", flow, *when] for flow in project.dataflows.values()]
    codes = home.command(project, *calls, ["--debug", "doctor", next(iter(project.dataflows)), "--json"])
    assert "1" in codes


def place_of(where: str) -> str:
    if where.startswith("UI"):
        return "UI"
    if where.startswith(("stdout", "stderr")):
        return "terminal"
    return "home" if "/home/" in where else "destination"
