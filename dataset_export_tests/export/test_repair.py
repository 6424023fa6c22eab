"""A repair sends again what is missing or differs and nothing else, and keeps every promise when it dies on the way."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from dataset_export.destinations.contract import Store
from dataset_export.destinations.local import LocalStore
from dataset_export.encoding.contract import Compression, Encoding
from dataset_export.errors import Conflict, IntegrityError, StalePlan, UsageError
from dataset_export.export.dataflow import ExportMode
from dataset_export.export.manifest import Manifest
from dataset_export.export.plan import repair_plan
from dataset_export.export.repair import Depth
from dataset_export.export.sweep import sweep
from dataset_export.export.verify import verify
from dataset_export.lake.open import open_table
from dataset_export_tests.export.exporter import (
    Exporter,
    Killed,
    MortalStore,
    live_manifests,
    named_files,
    rows_by_manifest,
    staged_files,
    visible_data_files,
)
from dataset_export_tests.lake.delta_tables import DeltaBuilder

ROWS = Counter(range(1, 8))


@pytest.fixture
def exporter(store: Store, delta: DeltaBuilder) -> Exporter:
    return Exporter(store, delta.uri)


@pytest.fixture
def local(tmp_path: Path, delta: DeltaBuilder) -> Exporter:
    return Exporter(LocalStore(tmp_path / "delivered"), delta.uri)


def paths(manifest: Manifest) -> set[str]:
    return {file.path for file in manifest.files}


def change(store: Store, path: str) -> None:
    """Other bytes of the same size."""
    with store.open(path) as stream:
        data = bytearray(stream.read())
    data[len(data) // 2] ^= 1
    store.put(path, bytes(data), replace=True)


def delete(store: Store, path: str) -> None:
    store.delete(path)


def empty(store: Store, path: str) -> None:
    store.put(path, b"{}", replace=True)


def require_whole_again(exporter: Exporter, first: Manifest, bad: set[str]) -> Manifest:
    (manifest,) = live_manifests(exporter.store)
    assert paths(first) - bad <= paths(manifest)
    assert paths(manifest).isdisjoint(bad)
    assert len(paths(manifest)) == len(paths(first))
    assert {finding.state for finding in verify(exporter.store, manifest, deep=True)} == {"="}
    assert rows_by_manifest(exporter.store) == ROWS
    assert visible_data_files(exporter.store) == named_files(exporter.store)
    assert staged_files(exporter.store) == []
    return manifest


def test_p7_only_what_is_missing_or_differs_is_sent_again(exporter: Exporter) -> None:
    first = exporter.export(0)
    gone, changed, *_ = sorted(paths(first))
    exporter.store.delete(gone)
    change(exporter.store, changed)
    mortal = MortalStore(exporter.store)
    second = exporter.export(0, repair=Depth.DEEP, store=mortal)
    assert mortal.calls.count("stage") == 2
    assert require_whole_again(exporter, first, {gone, changed}).path == second.path
    same = ("recordCount", "fileCount", "sourceRecordCount", "tableVersions", "schemaFingerprint", "excludedRecords")
    assert {key: first.document[key] for key in same} == {key: second.document[key] for key in same}
    assert [ref.path for ref in second.supersedes] == [first.path]
    assert exporter.export(1).document["recordCount"] == 0


def test_a_listing_does_not_see_bytes_of_the_same_size(local: Exporter) -> None:
    first = local.export(0)
    change(local.store, min(paths(first)))
    mortal = MortalStore(local.store)
    assert local.export(0, repair=Depth.LISTING, store=mortal).path == first.path
    assert mortal.calls == ["delete"]  # the journal's entry of the recorded run


def test_what_is_whole_is_left_alone(local: Exporter) -> None:
    first = local.export(0)
    before = {entry.path: entry.modified for entry in local.store.list("")}
    assert local.export(0, repair=Depth.DEEP).path == first.path
    assert {entry.path: entry.modified for entry in local.store.list("")} == before


def test_p6_files_of_somebody_else_stay(exporter: Exporter) -> None:
    first = exporter.export(0)
    foreign = f"{exporter.request(0).folder}/part-00000-tid-1234567890123456789-of-somebody-else.gz.parquet"
    exporter.store.put(foreign, b"theirs")
    exporter.store.delete(min(paths(first)))
    manifest = exporter.export(0, repair=Depth.LISTING)
    assert visible_data_files(exporter.store) == {foreign} | paths(manifest)


def test_p5_a_repair_of_a_repair_and_then_a_resend(local: Exporter) -> None:
    first = local.export(0)
    a, b, *_ = sorted(paths(first))
    local.store.delete(a)
    second = local.export(0, repair=Depth.LISTING)
    local.store.delete(b)
    third = local.export(0, repair=Depth.LISTING)
    assert len({file.name.split("-tid-")[1][:19] for file in third.files}) == 3
    require_whole_again(local, first, {a, b})
    (fresh,) = paths(second) - paths(first)
    local.store.delete(fresh)
    require_whole_again(local, local.export(0, repair=Depth.LISTING), {fresh})
    last = local.export(0, resend=True)
    assert paths(last).isdisjoint(paths(first) | paths(second) | paths(third))
    require_whole_again(local, last, set())


def test_p5_a_resend_after_a_repair_whose_manifest_is_lost_leaves_nothing_old(local: Exporter) -> None:
    """What the lost manifest kept of earlier runs is known from the ledger's history."""
    first = local.export(0)
    local.store.delete(min(paths(first)))
    second = local.export(0, repair=Depth.LISTING)
    for spoil in (delete, empty):
        spoil(local.store, second.path)
        last = local.export(0, repair=Depth.LISTING)
        assert paths(last).isdisjoint(paths(first) | paths(second))
        require_whole_again(local, last, set())
        local.store.delete(min(paths(last)))
        first, second = last, local.export(0, repair=Depth.LISTING)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("cure", ["same run", "new repair", "sweep, then repair", "resend", "run of another hour"])
def test_p7_a_repair_that_dies_at_any_step_is_cured(
    tmp_path: Path, delta: DeltaBuilder, cure: str, *, after: bool
) -> None:
    died = 0
    for step in range(1, 30):
        local = Exporter(LocalStore(tmp_path / f"{step}"), delta.uri)
        first = local.export(0)
        gone, changed, *good = sorted(paths(first))
        local.store.delete(gone)
        change(local.store, changed)
        run_id = str(uuid4())
        try:
            local.export(0, run_id, repair=Depth.DEEP, store=MortalStore(local.store, step, after=after))
        except Killed:
            died += 1
        else:
            break
        # A reader who follows manifests has one, and what was good is still good.
        (seen,) = live_manifests(local.store)
        assert set(good) <= paths(seen) <= visible_data_files(local.store) | {gone}
        if cure == "same run":
            local.export(0, run_id, repair=Depth.DEEP)
        elif cure == "resend":
            local.export(0, resend=True)
            good = []
        else:
            if cure == "sweep, then repair":
                sweep(local.store, "hourly", "orders", local.ledger, dry_run=False)
            if cure == "run of another hour":
                assert local.export(1).document["recordCount"] == 0
                sweep(local.store, "hourly", "orders", local.ledger, dry_run=False)
                local.store.delete(live_manifests(local.store)[1].path)
                del local.ledger.records[local.request(1).export_time]
            local.export(0, repair=Depth.DEEP)
        (manifest,) = live_manifests(local.store)
        assert set(good) <= paths(manifest)
        assert rows_by_manifest(local.store) == ROWS
        assert visible_data_files(local.store) == paths(manifest)
        sweep(local.store, "hourly", "orders", local.ledger, dry_run=False)
        assert visible_data_files(local.store) == paths(manifest)
        assert {finding.state for finding in verify(local.store, manifest, deep=True)} == {"="}
        assert staged_files(local.store) == []
    assert died >= 7


def test_p6_a_replaced_run_that_is_executed_again_and_dies_takes_nothing_that_a_repair_kept(local: Exporter) -> None:
    run_id = str(uuid4())
    first = local.export(0, run_id)
    gone = min(paths(first))
    local.store.delete(gone)
    local.export(0, repair=Depth.LISTING)
    for step in range(1, 6):
        with pytest.raises((Killed, Conflict)):
            local.export(0, run_id, resend=True, store=MortalStore(local.store, step, after=True))
        sweep(local.store, "hourly", "orders", local.ledger, dry_run=False)
        require_whole_again(local, first, {gone})


def test_p4_a_retry_makes_what_the_first_try_planned_though_more_broke_meanwhile(local: Exporter) -> None:
    first = local.export(0)
    a, b, *_ = sorted(paths(first))
    local.store.delete(a)
    run_id = str(uuid4())
    with pytest.raises(Killed):
        local.export(0, run_id, repair=Depth.LISTING, store=MortalStore(local.store, 2, after=True))
    local.store.delete(b)
    with pytest.raises(IntegrityError, match="not whole"):
        local.export(0, run_id, repair=Depth.LISTING)
    assert [manifest.path for manifest in live_manifests(local.store)] == [first.path]
    local.export(0, repair=Depth.LISTING)
    require_whole_again(local, first, {a, b})


def test_a_repair_planned_before_a_resend_publishes_nothing(local: Exporter) -> None:
    first = local.export(0)
    local.store.delete(min(paths(first)))
    request = local.request(0, repair=Depth.LISTING)
    plan = local.plan(request)
    staged = local.stage(request, plan)
    resent = local.export(0, resend=True)
    with pytest.raises(StalePlan):
        local.publish(request, plan, staged)
    require_whole_again(local, resent, set())


def test_a_dead_repair_that_was_complete_is_recorded_by_the_next_one(local: Exporter) -> None:
    first = local.export(0)
    local.store.delete(min(paths(first)))
    with pytest.raises(Killed):
        local.export(0, repair=Depth.LISTING, die_unrecorded=True)
    mortal = MortalStore(local.store)
    manifest = local.export(0, repair=Depth.LISTING, store=mortal)
    assert "stage" not in mortal.calls
    assert local.ledger.records[manifest.export_time].manifest_path == manifest.path
    require_whole_again(local, first, {min(paths(first))})


@pytest.mark.parametrize("what", ["encoding", "folder"])
def test_a_declaration_that_changed_since_makes_a_repair_send_everything(local: Exporter, what: str) -> None:
    first = local.export(0)
    local.store.delete(min(paths(first)))
    if what == "encoding":
        local.dataflow = replace(local.dataflow, encoding=Encoding(compression=Compression.NONE))
    else:
        local.dataflow = replace(local.dataflow, folder=type(local.dataflow.folder)("elsewhere/%DATASET_ID%"))
    request = local.request(0, repair=Depth.LISTING)
    plan, reason = repair_plan(request, first, [min(paths(first))], open_table(local.dataset.location()))
    assert plan is None
    assert {"encoding": "compression", "folder": "another folder"}[what] in reason
    assert local.plan(local.request(0, repair=Depth.LISTING)).repair_note == f"all files are sent again: {reason}"
    last = local.export(0, repair=Depth.LISTING)
    assert paths(last).isdisjoint(paths(first))
    require_whole_again(local, last, set())


def test_a_mode_that_changed_since_changes_nothing_of_what_was_delivered(local: Exporter) -> None:
    first = local.export(0)
    local.store.delete(min(paths(first)))
    local.dataflow = replace(local.dataflow, mode=ExportMode.FULL)
    last = local.export(0, repair=Depth.LISTING)
    assert last.document["exportMode"] == "incremental"
    require_whole_again(local, first, {min(paths(first))})


def test_rows_that_are_no_longer_what_was_delivered_are_not_mixed_in(local: Exporter, delta: DeltaBuilder) -> None:
    """As after a restore of the lake from a backup: the log says other rows for the same versions."""
    first = local.export(0)
    bad = min(paths(first))
    local.store.delete(bad)
    request = local.request(0, repair=Depth.LISTING)
    plan = local.plan(request)
    staged = local.stage(request, plan)
    lying = [replace(one, encoded=replace(one.encoded, rows=one.encoded.rows + 1)) for one in staged]
    with pytest.raises(IntegrityError, match="resend"):
        local.publish(request, plan, lying)
    assert visible_data_files(local.store) == paths(first) - {bad}


def test_what_was_never_delivered_cannot_be_repaired(local: Exporter) -> None:
    with pytest.raises(UsageError, match="never delivered"):
        local.export(0, repair=Depth.LISTING)


def test_the_order_of_the_log_does_not_matter(local: Exporter, delta: DeltaBuilder) -> None:
    """A checkpoint lists files in another order than the commits did."""
    from deltalake import DeltaTable

    first = local.export(0)
    before = {file.path: file.sha256 for file in first.files}
    DeltaTable(delta.uri).create_checkpoint()
    bad = max(before)
    local.store.delete(bad)
    second = local.export(0, repair=Depth.LISTING)
    (fresh,) = [file for file in second.files if file.path not in before]
    assert fresh.sha256 == before[bad]


def test_p6_what_a_recorded_run_staged_when_it_was_executed_again_goes(local: Exporter) -> None:
    run_id = str(uuid4())
    first = local.export(0, run_id)
    local.store.delete(first.path)
    with pytest.raises(Killed):
        local.export(0, run_id, store=MortalStore(local.store, 3, after=True))
    assert staged_files(local.store) != []
    local.export(0, resend=True)
    assert staged_files(local.store) == []
