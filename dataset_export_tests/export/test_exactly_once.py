"""P7: a reader who follows manifests sees every row exactly once, whatever the order of commits, exports and failures.

A state machine over a real Delta table and a real folder: appends, compactions, deletes and commits that become visible
late; exports in any order, killed at any call that changes the destination, retried as the same run or as a new one;
resends; ticks that are missed; two exports planned side by side.
"""

import shutil
import tempfile
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from unittest.mock import patch
from uuid import uuid4

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dataset_export.destinations.local import LocalStore
from dataset_export.errors import StalePlan, VersionGone
from dataset_export.export.plan import Request
from dataset_export.export.sweep import sweep
from dataset_export.lake import parquet_folder
from dataset_export.lake.folder_files import moment_of, version_at
from dataset_export_tests.export.exporter import (
    START,
    Exporter,
    Killed,
    MortalStore,
    live_manifests,
    named_files,
    rows_by_manifest,
    rows_of,
    staged_files,
    visible_data_files,
)
from dataset_export_tests.lake.delta_tables import DeltaBuilder
from dataset_export_tests.lake.delta_vectors import VectorDeletes
from dataset_export_tests.lake.parquet_folders import FolderBuilder, touch

KILL = st.one_of(st.none(), st.tuples(st.integers(1, 12), st.booleans()))


class ExactlyOnce(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="exactly-once-"))
        self.delta = DeltaBuilder(str(self.folder / "lake"))
        self.vectors = VectorDeletes(self.delta)
        self.exporter = Exporter(LocalStore(self.folder / "delivered"), self.delta.uri)
        self.now = START - timedelta(minutes=30)
        self.next_id = 0
        self.live: dict[int, set[int]] = {}
        self._append(3, self.now)

    # The lake

    @rule(rows=st.integers(1, 4), hours_late=st.sampled_from([0, 0, 0, 1, 2, 5]))
    def append(self, rows: int, hours_late: int) -> None:
        """A late commit is stamped before export times that may have been exported already."""
        self._append(rows, self.now - timedelta(hours=hours_late))

    @rule()
    def compact(self) -> None:
        before = self.delta.version
        if self.delta.compact() > before:
            self._committed(self.now)

    @rule(data=st.data(), by_vector=st.booleans())
    def delete(self, data: st.DataObject, by_vector: bool) -> None:
        ids = sorted(self.live[self.delta.version])
        if ids:
            gone = data.draw(st.sets(st.sampled_from(ids), min_size=1, max_size=3))
            if by_vector:
                self.vectors.delete(lambda row: row["id"] in gone)
            else:
                self.delta.delete(f"id in ({', '.join(map(str, sorted(gone)))})")
            self._committed(self.now)

    @rule(hours=st.integers(1, 3))
    def time_passes(self, hours: int) -> None:
        """More than one hour: ticks were missed."""
        self.now += timedelta(hours=hours)

    # The exports

    @precondition(lambda self: self._due())
    @rule(data=st.data(), kill=KILL, retry=st.sampled_from(["same run", "new run", "later"]))
    def export(self, data: st.DataObject, kill: tuple[int, bool] | None, retry: str) -> None:
        hour = data.draw(st.sampled_from(self._due()))
        self._run(hour, kill, retry, resend=False)

    @precondition(lambda self: self.exporter.ledger.records)
    @rule(data=st.data(), kill=KILL, retry=st.sampled_from(["same run", "new run", "later"]))
    def resend(self, data: st.DataObject, kill: tuple[int, bool] | None, retry: str) -> None:
        time = data.draw(st.sampled_from(sorted(self.exporter.ledger.records)))
        before = rows_of(self.exporter.store, self._manifest_at(time))
        self._run(int((time - START) / timedelta(hours=1)), kill, retry, resend=True)
        assert rows_of(self.exporter.store, self._manifest_at(time)) == before

    @precondition(lambda self: self._due())
    @rule(data=st.data())
    def export_dies_unrecorded(self, data: st.DataObject) -> None:
        """Between P2 and P3: the manifest is there, and Dagster does not know."""
        hour = data.draw(st.sampled_from(self._due()))
        try:
            self.exporter.export(hour, die_unrecorded=True)
        except Killed:
            note(f"hour {hour} delivered and not recorded")

    @precondition(lambda self: len(self._due()) > 1)
    @rule(data=st.data())
    def two_side_by_side(self, data: st.DataObject) -> None:
        hours = data.draw(st.lists(st.sampled_from(self._due()), min_size=2, max_size=2, unique=True))
        requests = [self.exporter.request(hour) for hour in hours]
        plans = [self.exporter.plan(request) for request in requests]
        staged = [self.exporter.stage(request, plan) for request, plan in zip(requests, plans, strict=True)]
        for request, plan, receipts in zip(requests, plans, staged, strict=True):
            try:
                self.exporter.record(self.exporter.publish(request, plan, receipts))
            except StalePlan:
                note(f"{request} was stale")

    @rule()
    def sweep(self) -> None:
        sweep(self.exporter.store, "hourly", "orders", self.exporter.ledger, dry_run=False)
        assert visible_data_files(self.exporter.store) == named_files(self.exporter.store)  # P6
        assert staged_files(self.exporter.store) == []

    # What has to hold

    @invariant()
    def no_row_twice_and_no_file_missing(self) -> None:
        rows = rows_by_manifest(self.exporter.store)
        assert not [row for row, count in rows.items() if count > 1]
        assert named_files(self.exporter.store) <= visible_data_files(self.exporter.store)

    @invariant()
    def materialized_is_complete(self) -> None:
        """P3."""
        live = {(m.export_time, m.path) for m in live_manifests(self.exporter.store)}
        recorded = {(d.export_time, d.manifest_path) for d in self.exporter.ledger.records.values()}
        # A resend that died before it was recorded has replaced what the ledger still names.
        times = {time for time, _ in live}
        assert {time for time, _ in recorded} <= times
        assert len(times) == len(live)  # P5: one live manifest for each export time

    def teardown(self) -> None:
        if not hasattr(self, "exporter"):
            return
        self.now += timedelta(hours=2)
        for hour in self._due():
            self.exporter.export(hour)
        self._exactly_once()
        sweep(self.exporter.store, "hourly", "orders", self.exporter.ledger, dry_run=False)
        assert visible_data_files(self.exporter.store) == named_files(self.exporter.store)
        shutil.rmtree(self.folder)

    def _exactly_once(self) -> None:
        """Every row was delivered by the one export whose versions it was added between, if it was still there."""
        delivered = rows_by_manifest(self.exporter.store)
        expected: Counter[int] = Counter()
        reached = -1
        for manifest in live_manifests(self.exporter.store):
            lower, upper = manifest.bounds.lower, manifest.bounds.upper
            if upper is None or upper == lower:
                continue
            assert reached == (-1 if lower is None else lower), "slices follow each other without gap or overlap"
            new = self._live_at(upper) - (self._live_at(lower) if lower is not None else set())
            assert rows_of(self.exporter.store, manifest) == Counter(new)
            expected += Counter(new)
            reached = upper
        assert delivered == expected
        assert reached == self._newest()
        assert self._live_at(reached) <= set(delivered)

    def _newest(self) -> int:
        return self.delta.version

    def _live_at(self, version: int) -> set[int]:
        return self.live[version]

    def _append(self, rows: int, moment: object) -> None:
        ids = range(self.next_id, self.next_id + rows)
        self.next_id += rows
        self.delta.write(pa.table({"id": pa.array(ids, pa.int64())}))
        self._committed(moment)

    def _committed(self, moment: object) -> None:
        version = self.delta.version
        self.delta.commit_time(version, moment)
        self.live[version] = set(pa.table(self.delta.raw().scan().read_all()).column("id").to_pylist())

    def _due(self) -> list[int]:
        hours = int((self.now - START) / timedelta(hours=1)) + 1 if self.now >= START else 0
        return [h for h in range(hours) if START + timedelta(hours=h) not in self.exporter.ledger.records]

    def _manifest_at(self, time: object):
        return next(m for m in live_manifests(self.exporter.store) if m.export_time == time)

    def _run(self, hour: int, kill: tuple[int, bool] | None, retry: str, *, resend: bool) -> None:
        run_id = str(uuid4())
        if kill is None:
            self.exporter.export(hour, run_id, resend=resend)
            self._nothing_left(hour)
            return
        mortal = MortalStore(self.exporter.store, kill[0], after=kill[1])
        try:
            self.exporter.export(hour, run_id, resend=resend, store=mortal)
        except Killed as death:
            note(f"hour {hour} killed {death}")
        else:
            return
        if retry != "later":
            self.exporter.export(hour, run_id if retry == "same run" else None, resend=resend)
            self._nothing_left(hour)

    def _nothing_left(self, hour: int) -> None:
        """P6: once an export is complete, its folder holds what its manifest names and nothing else."""
        folder = self.exporter.request(hour).folder
        assert {f for f in visible_data_files(self.exporter.store) if f.startswith(folder)} == {
            f for f in named_files(self.exporter.store) if f.startswith(folder)
        }


class FolderExactlyOnce(ExactlyOnce):
    """Over a folder of parquet files, in which they also turn up late, with a time that has been exported."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="exactly-once-"))
        self.files = FolderBuilder(str(self.folder / "lake"))
        self.exporter = Exporter(LocalStore(self.folder / "delivered"), self.files.uri, format="parquet")
        self.now = START - timedelta(minutes=30)
        self.next_id = 0
        self.came: dict[str, tuple[datetime, set[int]]] = {}
        self.clock = patch.object(parquet_folder, "now", lambda: self.now)
        self.clock.start()
        self._add(3, self.now)

    compact = delete = None  # type: ignore[assignment]

    @rule(rows=st.integers(1, 4))
    def append(self, rows: int) -> None:
        self._add(rows, self.now)

    @precondition(lambda self: any(done.upper for done in self.exporter.ledger.records.values()))
    @rule(rows=st.integers(1, 4), data=st.data(), seconds=st.sampled_from([0, 1, 4000]))
    def late(self, rows: int, data: st.DataObject, seconds: int) -> None:
        """A file with a time that was exported stops the exports that it would belong to, until it is touched."""
        done = {time: done.upper for time, done in self.exporter.ledger.records.items() if done.upper is not None}
        moment = moment_of(data.draw(st.sampled_from(sorted(done.values())))) - timedelta(seconds=seconds)
        name = self._add(rows, moment)
        for time in (time for time, upper in done.items() if upper >= version_at(moment)):
            with pytest.raises(VersionGone, match=f"{name} came afterwards"):
                self.exporter.plan(self._request(time, resend=True))
        with pytest.raises(VersionGone, match=f"{name} came afterwards"):
            self.exporter.plan(self._request(max([*done, self.now]) + timedelta(hours=1)))
        touch(self.files.path / name, self.now)
        self.came[name] = self.now, self.came[name][1]

    @rule()
    def files_that_are_still_written(self) -> None:
        """They move on."""
        for name, (moment, ids) in self.came.items():
            if moment > self.now - timedelta(minutes=10):
                touch(self.files.path / name, self.now)
                self.came[name] = self.now, ids

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "clock"):
            self.clock.stop()

    def _request(self, time: datetime, *, resend: bool = False) -> Request:
        return self.exporter.request(int((time - START) / timedelta(hours=1)), resend=resend)

    def _newest(self) -> int:
        return max(version_at(moment) for moment, _ in self.came.values())

    def _live_at(self, version: int) -> set[int]:
        return {one for moment, ids in self.came.values() if version_at(moment) <= version for one in ids}

    def _add(self, rows: int, moment: datetime) -> str:
        ids = range(self.next_id, self.next_id + rows)
        self.next_id += rows
        name = f"{ids[0]}.parquet"
        self.files.add(name, *ids, at=moment)
        self.came[name] = moment, set(ids)
        return name


FolderExactlyOnce.TestCase.settings = settings(
    max_examples=15, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
test_p7_every_row_of_a_folder_exactly_once = FolderExactlyOnce.TestCase

ExactlyOnce.TestCase.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
test_p7_every_row_exactly_once = ExactlyOnce.TestCase
