"""Whole exports at every destination: what a partner finds there, and what a mistaken configuration gets."""

import hashlib
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from dataset_export.destinations.contract import HIDDEN_FOLDER, Store
from dataset_export.encoding.contract import Compression, Encoding, Format
from dataset_export.errors import AccessDenied, Conflict, NotFound
from dataset_export.export.sweep import sweep
from dataset_export.export.verify import State, verify
from dataset_export_tests.export.exporter import (
    Exporter,
    live_manifests,
    named_files,
    rows_by_manifest,
    visible_data_files,
)
from dataset_export_tests.lake.delta_tables import DeltaBuilder
from dataset_export_tests.places.contract import Place

MIB = 1 << 20
GIB = 1 << 30
FORMATS = [Encoding(), Encoding(Format.PARQUET, Compression.SOURCE), Encoding(Format.JSON, Compression.GZIP)]


@pytest.fixture
def delta(tmp_path: Path) -> DeltaBuilder:
    table = DeltaBuilder(str(tmp_path / "lake"))
    for ids in ([1, 2, 3], [4]):
        table.append(*ids)
    return table


class TestExport:
    @pytest.mark.parametrize("encoding", FORMATS, ids=lambda encoding: f"{encoding.format}-{encoding.compression}")
    def test_p7_whole(self, store: Store, delta: DeltaBuilder, encoding: Encoding) -> None:
        manifest = Exporter(store, delta.uri, encoding=encoding).export(9_000)
        assert rows_by_manifest(store) == Counter([1, 2, 3, 4])
        assert visible_data_files(store) == named_files(store)
        assert {finding.state for finding in verify(store, manifest, deep=True)} == {State.SAME}

    def test_p7_first_everything_then_what_was_added(self, store: Store, delta: DeltaBuilder) -> None:
        exporter = Exporter(store, delta.uri)
        exporter.export(9_000)
        delta.append(5, 6)
        exporter.export(9_001)
        assert [sum(file.rows for file in manifest.files) for manifest in live_manifests(store)] == [4, 2]
        assert rows_by_manifest(store) == Counter([1, 2, 3, 4, 5, 6])

    def test_empty_has_a_manifest_and_no_files(self, store: Store, delta: DeltaBuilder) -> None:
        exporter = Exporter(store, delta.uri)
        exporter.export(9_000)
        empty = exporter.export(9_001)
        assert empty.files == []
        assert [manifest.path for manifest in live_manifests(store)][-1] == empty.path

    def test_p5_resend_replaces(self, store: Store, delta: DeltaBuilder) -> None:
        exporter = Exporter(store, delta.uri)
        first = exporter.export(9_000)
        second = exporter.export(9_000, resend=True)
        assert {file.path for file in first.files}.isdisjoint(file.path for file in second.files)
        assert [manifest.path for manifest in live_manifests(store)] == [second.path]
        assert visible_data_files(store) == {file.path for file in second.files}

    def test_unicode_and_spaces_in_folders(self, store: Store, delta: DeltaBuilder) -> None:
        template = "für Partner/数据 & more+#1/%DATASET_NAME% 100 %DATETIME(YYYY)%/%EXPORT_TIME%"
        manifest = Exporter(store, delta.uri, template=template).export(9_000)
        assert manifest.path.startswith("für Partner/数据 & more+#1/Orders 100 ")
        assert rows_by_manifest(store) == Counter([1, 2, 3, 4])

    def test_concurrent_exports_into_one_folder(self, place: Place, tmp_path: Path) -> None:
        """Dataflows that share a folder do not disturb each other, each worker with a store of its own."""
        tables = [DeltaBuilder(str(tmp_path / f"lake{number}")) for number in range(4)]
        for number, table in enumerate(tables):
            table.append(number)
        begin = threading.Barrier(len(tables))

        def export(number: int, table: DeltaBuilder) -> None:
            exporter = Exporter(place.another_store(), table.uri, template="/")
            exporter.dataflow = replace(exporter.dataflow, name=f"flow_{number}")
            begin.wait()
            exporter.export(9_000)

        with ThreadPoolExecutor(len(tables)) as pool:
            list(pool.map(export, range(len(tables)), tables))
        assert rows_by_manifest(place.store) == Counter(range(4))
        assert visible_data_files(place.store) == named_files(place.store)

    @pytest.mark.slow
    @pytest.mark.timeout(1200)
    def test_a_thousand_files(self, store: Store, tmp_path: Path) -> None:
        table = DeltaBuilder(str(tmp_path / "lake"))
        for number in range(1_000):
            table.append(number)
        manifest = Exporter(store, table.uri).export(9_000)
        assert len(manifest.files) == 1_000
        assert visible_data_files(store) == named_files(store)
        assert {finding.state for finding in verify(store, manifest, deep=False)} == {State.SAME}

    @pytest.mark.slow
    @pytest.mark.timeout(1200)
    def test_file_of_two_gigabytes(self, store: Store) -> None:
        """Above 2 GiB, where a signed 32-bit length ends."""
        chunk, size = hashlib.shake_256(b"seed").digest(16 * MIB), 2 * GIB + 16 * MIB
        with store.stage("big/file", size_hint=size) as upload:
            for _ in range(size // len(chunk)):
                upload.write(chunk)
        store.confirm(upload.staged)
        store.publish(upload.staged)
        assert [(entry.path, entry.bytes) for entry in store.list("big")] == [("big/file", size)]
        digest = hashlib.sha256()
        with store.open("big/file") as stream:
            while data := stream.read(4 * MIB):
                digest.update(data)
        assert digest.hexdigest() == upload.staged.sha256


class TestVerify:
    def test_marks_what_is_missing_or_differs(self, place: Place, store: Store, delta: DeltaBuilder) -> None:
        delta.append(5)
        manifest = Exporter(store, delta.uri).export(9_000)
        gone, changed, longer = sorted(manifest.files, key=lambda file: file.path)
        store.delete(gone.path)
        place.witness.plant(changed.path, b"x" * changed.bytes)
        place.witness.plant(longer.path, b"x" * (longer.bytes + 1))
        shallow = {finding.file.path: finding.state for finding in verify(store, manifest, deep=False)}
        assert shallow == {gone.path: "-", changed.path: "=", longer.path: "!"}
        deep = {finding.file.path: finding.state for finding in verify(store, manifest, deep=True)}
        assert deep == {gone.path: "-", changed.path: "!", longer.path: "!"}


class TestSweep:
    def test_p6_removes_what_a_dead_run_left_and_nothing_else(
        self, place: Place, store: Store, delta: DeltaBuilder
    ) -> None:
        exporter = Exporter(store, delta.uri)
        kept = exporter.export(9_000)
        delta.append(5)
        dead = exporter.request(9_001)
        staged = exporter.stage(dead, exporter.plan(dead))
        assert staged
        place.witness.plant("theirs/file", b"not ours")
        assert sweep(store, "hourly", "orders", exporter.ledger, dry_run=True)
        assert [one.path for one in store.leftovers()] == [receipt.staged.path for receipt in staged if receipt.staged]
        sweep(store, "hourly", "orders", exporter.ledger, dry_run=False)
        assert list(store.leftovers()) == []
        assert visible_data_files(store) == {file.path for file in kept.files} | {"theirs/file"}
        assert list(store.list(f"{HIDDEN_FOLDER}/journal")) == []


class TestMistakes:
    def test_overwrite_is_refused(self, place: Place, store: Store, delta: DeltaBuilder) -> None:
        exporter = Exporter(store, delta.uri)
        request = exporter.request(9_000)
        plan = exporter.plan(request)
        staged = exporter.stage(request, plan)
        taken = next(receipt.staged.path for receipt in staged if receipt.staged)
        place.witness.plant(taken, b"theirs")
        with pytest.raises(Conflict, match="not ours"):
            exporter.publish(request, plan, staged)
        assert live_manifests(store) == []
        with store.open(taken) as stream:
            assert stream.read() == b"theirs"

    def test_wrong_credentials(self, place: Place) -> None:
        if place.refused is None:
            pytest.skip("a folder of this machine has no credentials")
        before = place.witness.everything()
        store = place.refused.build_store()
        for attempt in (store.check, lambda: store.put("m.json", b"{}"), lambda: list(store.list(""))):
            with pytest.raises(AccessDenied):
                attempt()
        with pytest.raises(AccessDenied), store.stage("file") as upload:
            upload.write(b"rows")
        assert place.witness.everything() == before

    def test_missing_container(self, place: Place) -> None:
        if place.missing is None:
            pytest.skip("a folder is made at the first delivery")
        store = place.missing.build_store()
        for attempt in (store.check, lambda: store.put("m.json", b"{}")):
            with pytest.raises(NotFound):
                attempt()
        with pytest.raises(NotFound), store.stage("file") as upload:
            upload.write(b"rows")
