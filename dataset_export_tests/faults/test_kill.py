"""An export that is killed with SIGKILL at any step keeps P1 to P6, and its retry or `sweep` leaves nothing behind.

Every execution is a process of its own, and a real Dagster run: an instance on SQLite, the job of a dataflow. A killed one
is reported as failed, as Dagster's run monitoring does, and then executed again from where it failed, run anew, or
swept away.
"""

import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dataset_export.destinations.contract import Store
from dataset_export.export.file_names import name_mark
from dataset_export.export.ledger import Delivered
from dataset_export.export.manifest import Manifest
from dataset_export.export.sweep import sweep
from dataset_export.export.verify import require_whole
from dataset_export.orchestration.ledger import MaterializationLedger
from dataset_export_tests.conftest import KINDS
from dataset_export_tests.export.exporter import START, live_manifests, rows_by_manifest
from dataset_export_tests.faults.mortal import Death
from dataset_export_tests.faults.promises import Watch
from dataset_export_tests.faults.victim import COMMAND, Job
from dataset_export_tests.lake.delta_tables import DeltaBuilder
from dataset_export_tests.places.contract import Place

FILES = ([1, 2, 3], [4], [5, 6])
LAKE = Counter(row for file in FILES for row in file)
FOLDER = "orders/exportTime=202611010800"

FIRST = {"put-journal": 1, "stage": 3, "publish": 3, "put-manifest": 1, "record": 1}
RESEND = FIRST | {"delete-journal": 1, "delete-file": 3, "delete-manifest": 1}
ON_LOCAL = {"link": 5}
"""How often a first export and a resend of a table of three files take each step; a file is linked in the journal's put,
in every publish and in the manifest's put."""

SPLIT_ROWS = 2
SPLIT_FIRST = FIRST | {"stage": 4, "publish": 4}
"""With so many rows to a file, the first source file becomes two."""

RECOVERIES = ("re-execution", "new run", "sweep")


@dataclass(frozen=True)
class Case:
    """One kill, and what is done about it."""

    kind: str
    resend: bool
    death: Death
    recovery: str
    max_rows: int | None = None

    def __str__(self) -> str:
        what = "resend" if self.resend else "first" if self.max_rows is None else "split"
        return f"{self.kind}-{what}-{self.death}-{self.recovery.replace(' ', '-')}"


def steps_of(kind: str, *, resend: bool) -> dict[str, int]:
    return (RESEND if resend else FIRST) | (ON_LOCAL if kind == "local" else {})


def deaths(kind: str, *, resend: bool) -> Iterator[Death]:
    for what, times in steps_of(kind, resend=resend).items():
        for nth in range(1, times + 1):
            for when in ("before", "after", *(["inside"] if what == "stage" else [])):
                yield Death(what, nth, when)


def matrix(kind: str, *, resend: bool) -> Iterator[Case]:
    """Every death with every recovery for a folder and a bucket. What a run does after its death is the same code for
    all: the others have every death once, with one recovery after the other."""
    for number, death in enumerate(deaths(kind, resend=resend)):
        for recovery in RECOVERIES if kind in WHOLE else [RECOVERIES[number % len(RECOVERIES)]]:
            yield Case(kind, resend, death, recovery)


def split_matrix(kind: str) -> Iterator[Case]:
    """Every death between the first byte of a source file that becomes two and the manifest of both."""
    number = 0
    for what in ("stage", "publish", "put-manifest"):
        for nth in range(1, SPLIT_FIRST[what] + 1):
            for when in ("before", "after", *(["inside"] if what == "stage" else [])):
                yield Case(kind, False, Death(what, nth, when), RECOVERIES[number % len(RECOVERIES)], SPLIT_ROWS)
                number += 1


WHOLE = ("local", "amazon_s3")
SPLIT = [case for kind in WHOLE for case in split_matrix(kind)]
EVERY = [case for kind in KINDS for resend in (False, True) for case in matrix(kind, resend=resend)]

SAMPLE = [
    (False, Death("stage", 2, "inside"), "re-execution"),
    (False, Death("publish", 2, "after"), "re-execution"),
]
"""What the default suite runs: all of it for a folder and a bucket, one after the other for the others; `CHOSEN` besides."""

CHOSEN = [
    *(Case(kind, *sample) for kind in WHOLE for sample in SAMPLE),
    *(
        Case(kind, *SAMPLE[number % len(SAMPLE)])
        for number, kind in enumerate(kind for kind in KINDS if kind not in WHOLE)
    ),
    *(Case(kind, False, Death("put-manifest", 1, "after"), "new run") for kind in WHOLE),
    Case("local", False, Death("link", 3, "after"), "re-execution"),
    Case("local", True, Death("delete-file", 2, "after"), "new run"),
    Case("amazon_s3", False, Death("stage", 3, "inside"), "sweep"),
    Case("amazon_s3", True, Death("publish", 2, "after"), "new run"),
    Case("local", False, Death("stage", 2, "inside"), "re-execution", SPLIT_ROWS),
    Case("amazon_s3", False, Death("publish", 1, "after"), "re-execution", SPLIT_ROWS),
]

REST = [case for case in (*EVERY, *SPLIT) if case not in CHOSEN]


def of_cases(cases: list[Case]) -> pytest.MarkDecorator:
    named = [pytest.param(case.kind, case, id=str(case)) for case in cases]
    return pytest.mark.parametrize(("place", "case"), named, indirect=["place"])


class Executions:
    """The process that forks one child for every job, and the Dagster instance of them all."""

    def __init__(self, folder: Path, process: "subprocess.Popen[str]") -> None:
        self.folder = folder
        self.home = folder / "home"
        self.instance = dg.DagsterInstance.from_config(str(self.home))
        self.delta = DeltaBuilder(str(folder / "lake"))
        self._process = process
        self._numbers = count()
        for ids in FILES:
            self.delta.commit_time(self.delta.append(*ids), datetime(2026, 10, 31, 12, tzinfo=UTC))

    def case(self, place: Place, *, max_rows: int | None = None) -> "Stage":
        kind = type(place.destination)
        job = Job(
            home=str(self.home),
            lake=self.delta.uri,
            dataflow=f"case_{next(self._numbers)}",
            destination=f"{kind.__module__}:{kind.__name__}",
            fields=place.destination.model_dump(),
            max_rows=max_rows,
        )
        return Stage(self, job, place)

    def execute(self, job: Job) -> int:
        """The exit status of the child (negative: the signal); what it printed is shown when a test fails."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(job.to_json() + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        print(answer["error"])
        return os.waitstatus_to_exitcode(answer["status"])


class Stage:
    """One dataflow in its own folder, and what can be seen of it."""

    def __init__(self, executions: Executions, job: Job, place: Place) -> None:
        self._executions = executions
        self._numbers = count()
        self.job = job
        self.instance = executions.instance
        self.store: Store = place.store
        self.ledger = MaterializationLedger(self.instance, dg.AssetKey([job.dataflow, "orders"]))
        self.watch = Watch(place, FOLDER)

    def run(self, **changes: Any) -> tuple[int, list[str]]:
        """Execute in a process; its exit status and the log of its steps."""
        log = self._executions.folder / f"{self.job.dataflow}-{next(self._numbers)}.log"
        status = self._executions.execute(replace(self.job, log=str(log), **changes))
        return status, log.read_text().splitlines()

    def newest_run(self) -> dg.DagsterRun:
        return self.instance.get_runs(dg.RunsFilter(job_name=self.job.dataflow), limit=1)[0]

    def recorded(self) -> Delivered | None:
        return self.ledger.at(START)

    def recover(self, case: Case, killed: dg.DagsterRun) -> None:
        self.instance.report_run_failed(killed, "its process is gone")
        if case.recovery == "re-execution":
            status, _ = self.run(resend=case.resend, reexecute=killed.run_id)
            assert status == 0
            return
        if case.recovery == "sweep":
            sweep(self.store, self.job.dataflow, "orders", self.ledger, dry_run=False)
            self.watch.assert_swept()
        status, _ = self.run(resend=case.resend)
        assert status == 0

    def assert_delivered(self) -> Manifest:
        return self.watch.assert_delivered(LAKE, self.recorded())


@pytest.fixture(scope="module")
def executions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executions]:
    folder = tmp_path_factory.mktemp("kill")
    (folder / "home").mkdir()
    (folder / "home" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        ready = Executions(folder, process)
        with ready.instance:
            yield ready
        assert process.stdin is not None
        process.stdin.close()


@pytest.mark.parametrize(
    "resend", [pytest.param(False, id="first"), pytest.param(True, id="resend", marks=pytest.mark.slow)]
)
def test_the_matrix_has_every_step(executions: Executions, place: Place, resend: bool) -> None:
    """A step that an export takes and that no case dies at would be a hole in what follows."""
    stage = executions.case(place)
    status, log = stage.run()
    if resend:
        assert status == 0
        status, log = stage.run(resend=True)
    assert status == 0
    taken = Counter(line.split()[1] for line in log if line.startswith("begin "))
    assert dict(taken) == steps_of(place.kind, resend=resend)
    stage.assert_delivered()


@of_cases(CHOSEN)
def test_p1_to_p6_hold_when_killed_and_after_recovery(executions: Executions, place: Place, case: Case) -> None:
    check(executions, place, case)


@pytest.mark.slow
@of_cases(REST)
def test_p1_to_p6_hold_when_killed_anywhere(executions: Executions, place: Place, case: Case) -> None:
    check(executions, place, case)


def check(executions: Executions, place: Place, case: Case) -> None:
    stage = executions.case(place, max_rows=case.max_rows)
    before: set[str] = set()
    if case.resend:
        assert stage.run()[0] == 0
        before = stage.watch.data_files()
    death = (case.death.what, case.death.nth, case.death.when)
    status, log = stage.run(resend=case.resend, death=death)
    assert status == -signal.SIGKILL
    killed = stage.newest_run()
    assert killed.status is dg.DagsterRunStatus.STARTED
    new = stage.watch.data_files() - before

    files = len(FILES) if case.max_rows is None else SPLIT_FIRST["stage"]
    _p1_all_or_nothing_was_staged(log, new, files)
    for manifest in live_manifests(stage.store):
        require_whole(stage.store, manifest)  # P2
    _p3_recorded_is_complete(stage)
    rows = rows_by_manifest(stage.store)
    assert rows == LAKE if case.resend else rows in (Counter(), LAKE)  # P5: all of the old or all of the new

    stage.recover(case, killed)
    manifest = stage.assert_delivered()
    if case.recovery == "re-execution":  # P4
        mark = name_mark(stage.job.dataflow, "orders", START, killed.run_id)
        assert manifest.run_id == killed.run_id
        assert all(mark in file.name for file in manifest.files)
        assert new <= {file.path for file in manifest.files}
    sweep(stage.store, stage.job.dataflow, "orders", stage.ledger, dry_run=False)
    stage.assert_delivered()
    stage.watch.assert_swept()
    stage.watch.assert_foreign_untouched()


def _p1_all_or_nothing_was_staged(log: list[str], visible: set[str], files: int) -> None:
    confirmed = {line.split()[2] for line in log if line.startswith("end confirm ")}
    begun = {line.split()[2] for line in log if line.startswith("begin publish ")}
    ended = {line.split()[2] for line in log if line.startswith("end publish ")}
    assert ended <= visible <= begun
    if begun:
        first = next(number for number, line in enumerate(log) if line.startswith("begin publish "))
        assert len(confirmed) == files
        assert not any(line.startswith(("end confirm", "end stage")) for line in log[first:])


def _p3_recorded_is_complete(stage: Stage) -> None:
    recorded = stage.recorded()
    if recorded is None:
        return
    live = {manifest.export_time: manifest for manifest in live_manifests(stage.store)}
    # What is recorded, or the resend that has just replaced it and was killed before it was recorded.
    assert START in live
    superseded = {ref.path for ref in live[START].supersedes}
    assert recorded.manifest_path in {live[START].path, *superseded}
