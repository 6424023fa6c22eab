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

from dataset_export.destinations.contract import HIDDEN_FOLDER, Store
from dataset_export.export.file_names import name_mark
from dataset_export.export.ledger import Delivered
from dataset_export.export.manifest import Manifest
from dataset_export.export.sweep import sweep
from dataset_export.export.verify import require_whole
from dataset_export.orchestration.ledger import MaterializationLedger
from dataset_export_tests.export.exporter import (
    START,
    live_manifests,
    named_files,
    rows_by_manifest,
    staged_files,
    visible_data_files,
)
from dataset_export_tests.faults.mortal import Death
from dataset_export_tests.faults.victim import COMMAND, Job
from dataset_export_tests.lake.delta_tables import DeltaBuilder
from dataset_export_tests.servers.weed import Weed

FILES = ([1, 2, 3], [4], [5, 6])
LAKE = Counter(row for file in FILES for row in file)
FOLDER = "orders/exportTime=202611010800"
FOREIGN = {
    f"{FOLDER}/part-00000-tid-1234567890123456789-6ba7b810-9dad-41d1-80b4-00c04fd430c8-123456-1-c000.gz.parquet": b"theirs",
    f"{FOLDER}/readme.txt": b"theirs too",
}
FOREIGN_UPLOAD = f"{FOLDER}/their-unfinished-upload.parquet"

FIRST = {"put-journal": 1, "stage": 3, "publish": 3, "put-manifest": 1, "record": 1}
RESEND = FIRST | {"delete-journal": 1, "delete-file": 3, "delete-manifest": 1}
ON_LOCAL = {"link": 5}
"""How often a first export and a resend of a table of three files take each step; a file is linked in the journal's put,
in every publish and in the manifest's put."""

RECOVERIES = ("re-execution", "new run", "sweep")


@dataclass(frozen=True)
class Case:
    """One kill, and what is done about it."""

    place: str
    resend: bool
    death: Death
    recovery: str

    def __str__(self) -> str:
        return f"{self.place}-{'resend' if self.resend else 'first'}-{self.death}-{self.recovery.replace(' ', '-')}"


def steps_of(place: str, *, resend: bool) -> dict[str, int]:
    return (RESEND if resend else FIRST) | (ON_LOCAL if place == "local" else {})


def matrix(place: str, *, resend: bool) -> Iterator[Case]:
    for what, times in steps_of(place, resend=resend).items():
        for nth in range(1, times + 1):
            for when in ("before", "after", *(["inside"] if what == "stage" else [])):
                for recovery in RECOVERIES:
                    yield Case(place, resend, Death(what, nth, when), recovery)


EVERY = [case for place in ("local", "s3") for resend in (False, True) for case in matrix(place, resend=resend)]

CHOSEN = [
    Case("local", False, Death("put-journal", 1, "after"), "new run"),
    Case("local", False, Death("link", 1, "before"), "sweep"),
    Case("local", False, Death("stage", 2, "inside"), "re-execution"),
    Case("local", False, Death("stage", 3, "after"), "sweep"),
    Case("local", False, Death("publish", 1, "before"), "re-execution"),
    Case("local", False, Death("publish", 2, "after"), "new run"),
    Case("local", False, Death("link", 3, "after"), "re-execution"),
    Case("local", False, Death("link", 5, "before"), "new run"),
    Case("local", False, Death("put-manifest", 1, "after"), "new run"),
    Case("local", False, Death("record", 1, "after"), "re-execution"),
    Case("local", True, Death("stage", 2, "inside"), "sweep"),
    Case("local", True, Death("publish", 2, "after"), "new run"),
    Case("local", True, Death("put-manifest", 1, "after"), "sweep"),
    Case("local", True, Death("delete-file", 2, "after"), "new run"),
    Case("local", True, Death("delete-manifest", 1, "before"), "re-execution"),
    Case("s3", False, Death("put-journal", 1, "after"), "re-execution"),
    Case("s3", False, Death("stage", 2, "inside"), "new run"),
    Case("s3", False, Death("stage", 3, "inside"), "sweep"),
    Case("s3", False, Death("publish", 2, "after"), "re-execution"),
    Case("s3", False, Death("publish", 3, "after"), "sweep"),
    Case("s3", False, Death("put-manifest", 1, "after"), "new run"),
    Case("s3", False, Death("record", 1, "before"), "re-execution"),
    Case("s3", True, Death("publish", 2, "after"), "new run"),
    Case("s3", True, Death("delete-file", 2, "after"), "re-execution"),
]
"""Each step of the protocol on each store: what the default suite runs."""

REST = [case for case in EVERY if case not in CHOSEN]


class Executions:
    """The process that forks one child for every job, and the Dagster instance of them all."""

    def __init__(self, folder: Path, process: "subprocess.Popen[str]", endpoint: str, bucket: str) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.instance = dg.DagsterInstance.from_config(str(self.home))
        self.delta = DeltaBuilder(str(folder / "lake"))
        self._process = process
        self._s3 = {"endpoint": endpoint, "bucket": bucket}
        self._numbers = count()
        for ids in FILES:
            self.delta.commit_time(self.delta.append(*ids), datetime(2026, 10, 31, 12, tzinfo=UTC))

    def case(self, place: str) -> "Stage":
        name = f"case_{next(self._numbers)}"
        folder = str(self.folder / "delivered" / name) if place == "local" else f"delivered/{name}"
        job = Job(
            home=str(self.home),
            lake=self.delta.uri,
            dataflow=name,
            folder=folder,
            log="",
            **(self._s3 if place == "s3" else {}),
        )
        return Stage(self, job)

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

    def __init__(self, executions: Executions, job: Job) -> None:
        self._executions = executions
        self._numbers = count()
        self.job = job
        self.instance = executions.instance
        self.store: Store = job.store
        self.ledger = MaterializationLedger(self.instance, dg.AssetKey([job.dataflow, "orders"]))
        for path, data in FOREIGN.items():
            self.store.put(path, data)
        _begin_foreign_upload(job)

    def run(self, **changes: Any) -> tuple[int, list[str]]:
        """Execute in a process; its exit status and the log of its steps."""
        log = self._executions.folder / f"{self.job.dataflow}-{next(self._numbers)}.log"
        status = self._executions.execute(replace(self.job, log=str(log), **changes))
        return status, log.read_text().splitlines()

    def newest_run(self) -> dg.DagsterRun:
        return self.instance.get_runs(dg.RunsFilter(job_name=self.job.dataflow), limit=1)[0]

    def data_files(self) -> set[str]:
        return visible_data_files(self.store) - set(FOREIGN)

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
            assert self.data_files() == named_files(self.store)  # P6
            self.assert_no_leftovers()
        status, _ = self.run(resend=case.resend)
        assert status == 0

    def assert_delivered(self) -> Manifest:
        """Exactly the lake's rows, by one manifest, with its files and nothing else of ours."""
        manifests = live_manifests(self.store)
        assert len(manifests) == 1
        assert [e.path for e in self.store.list(FOLDER) if "manifest-" in e.path] == [manifests[0].path]
        assert rows_by_manifest(self.store) == LAKE
        assert self.data_files() == named_files(self.store)
        recorded = self.recorded()
        assert recorded is not None
        assert (recorded.manifest_path, recorded.manifest_sha256) == (manifests[0].path, manifests[0].sha256)
        return manifests[0]

    def assert_no_leftovers(self) -> None:
        assert staged_files(self.store) == [FOREIGN_UPLOAD]

    def assert_foreign_untouched(self) -> None:
        for path, data in FOREIGN.items():
            with self.store.open(path) as stream:
                assert stream.read() == data


@pytest.fixture(scope="module")
def executions(weed: Weed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executions]:
    folder = tmp_path_factory.mktemp("kill")
    (folder / "home").mkdir()
    (folder / "home" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        ready = Executions(folder, process, weed.endpoint, weed.create_bucket())
        with ready.instance:
            yield ready
        assert process.stdin is not None
        process.stdin.close()


@pytest.mark.parametrize("place", ["local", "s3"])
@pytest.mark.parametrize("resend", [False, True], ids=["first", "resend"])
def test_the_matrix_has_every_step(executions: Executions, place: str, resend: bool) -> None:
    """A step that an export takes and that no case dies at would be a hole in what follows."""
    stage = executions.case(place)
    status, log = stage.run()
    if resend:
        assert status == 0
        status, log = stage.run(resend=True)
    assert status == 0
    taken = Counter(line.split()[1] for line in log if line.startswith("begin "))
    assert dict(taken) == steps_of(place, resend=resend)
    stage.assert_delivered()


@pytest.mark.parametrize("case", CHOSEN, ids=str)
def test_p1_to_p6_hold_when_killed_and_after_recovery(executions: Executions, case: Case) -> None:
    check(executions, case)


@pytest.mark.slow
@pytest.mark.parametrize("case", REST, ids=str)
def test_p1_to_p6_hold_when_killed_anywhere(executions: Executions, case: Case) -> None:
    check(executions, case)


def check(executions: Executions, case: Case) -> None:
    stage = executions.case(case.place)
    before: set[str] = set()
    if case.resend:
        assert stage.run()[0] == 0
        before = stage.data_files()
    death = (case.death.what, case.death.nth, case.death.when)
    status, log = stage.run(resend=case.resend, death=death)
    assert status == -signal.SIGKILL
    killed = stage.newest_run()
    assert killed.status is dg.DagsterRunStatus.STARTED
    new = stage.data_files() - before

    _p1_all_or_nothing_was_staged(log, new)
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
    stage.assert_no_leftovers()
    stage.assert_delivered()
    stage.assert_foreign_untouched()  # P6


def _p1_all_or_nothing_was_staged(log: list[str], visible: set[str]) -> None:
    confirmed = {line.split()[2] for line in log if line.startswith("end confirm ")}
    begun = {line.split()[2] for line in log if line.startswith("begin publish ")}
    ended = {line.split()[2] for line in log if line.startswith("end publish ")}
    assert ended <= visible <= begun
    if begun:
        first = next(number for number, line in enumerate(log) if line.startswith("begin publish "))
        assert len(confirmed) == len(FILES)
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


def _begin_foreign_upload(job: Job) -> None:
    """Bytes that somebody else is still sending to the same folder."""
    if job.endpoint:
        key = f"{job.folder}/{FOREIGN_UPLOAD}"
        Weed(job.endpoint).client().create_multipart_upload(Bucket=job.bucket, Key=key)
    else:
        staged = Path(job.folder) / HIDDEN_FOLDER / "staging" / f"{FOREIGN_UPLOAD}.staged"
        staged.parent.mkdir(parents=True)
        staged.write_bytes(b"theirs")
