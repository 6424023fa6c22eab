"""Encrypted exports keep the promises at every destination, and only the owner of the key reads the rows."""

import hashlib
import io
import itertools
import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

import isal.igzip as gzip
import pyarrow.parquet as pq
import pytest

from dataset_export.destinations.contract import Store
from dataset_export.destinations.local import LocalStore
from dataset_export.encoding.contract import Compression, Encoding, Format
from dataset_export.encoding.openpgp_keys import Recipients, read_recipients
from dataset_export.errors import ConfigError, IntegrityError, StalePlan
from dataset_export.export.manifest import Manifest, parse_manifest
from dataset_export.export.repair import Depth
from dataset_export.export.sweep import sweep
from dataset_export.export.unnamed import unnamed_files
from dataset_export.export.verify import State, verify
from dataset_export_tests.export.exporter import (
    Exporter,
    Killed,
    MemoryLedger,
    MortalStore,
    live_manifests,
    named_files,
    rows_by_manifest,
    staged_files,
    visible_data_files,
)
from dataset_export_tests.lake.delta_tables import DeltaBuilder
from dataset_export_tests.servers.gnupg import GnuPG

ROWS = Counter(range(1, 8))


@pytest.fixture(scope="module")
def partner(gnupg: GnuPG) -> str:
    return gnupg.make_key("Partner <partner@example.com>")


@pytest.fixture(scope="module")
def recipients(gnupg: GnuPG, partner: str) -> Recipients:
    return read_recipients([gnupg.public_key(partner)], now=datetime.now(UTC))


@pytest.fixture(scope="module")
def others(gnupg: GnuPG) -> Recipients:
    key = gnupg.make_key("New partner <new@example.com>")
    return read_recipients([gnupg.public_key(key)], now=datetime.now(UTC))


@pytest.fixture
def small(tmp_path: Path) -> DeltaBuilder:
    """Two files of rows 1 to 4."""
    table = DeltaBuilder(str(tmp_path / "small"))
    for ids in ([1, 2, 3], [4]):
        table.commit_time(table.append(*ids), datetime(2026, 10, 31, 12, tzinfo=UTC))
    return table


@pytest.fixture
def local(tmp_path: Path, delta: DeltaBuilder, recipients: Recipients) -> Exporter:
    return Exporter(LocalStore(tmp_path / "delivered"), delta.uri, recipients=recipients)


class Reader:
    """The partner: sees the store's files, and decrypts them."""

    def __init__(self, store: Store, gnupg: GnuPG) -> None:
        self._store = store
        self._gnupg = gnupg

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def open(self, path: str) -> BinaryIO:
        with self._store.open(path) as stream:
            data = stream.read()
        return io.BytesIO(self._gnupg.decrypt(data) if path.endswith(".gpg") else data)


def content(store: Store, path: str) -> bytes:
    with store.open(path) as stream:
        return stream.read()


def rekeyed(exporter: Exporter, recipients: Recipients | None) -> Exporter:
    """The same dataflow and history, declared with other keys."""
    return replace(exporter, recipients=recipients)


def test_an_encrypted_export_at_every_destination(
    store: Store, delta: DeltaBuilder, gnupg: GnuPG, partner: str, recipients: Recipients
) -> None:
    exporter = Exporter(store, delta.uri, recipients=recipients)
    manifest = exporter.export(0)
    assert manifest.document["encryption"] == {"format": "OpenPGP", "recipients": [partner]}
    assert visible_data_files(store) == {file.path for file in manifest.files}
    for file in manifest.files:
        assert file.name.endswith("-c000.gz.parquet.gpg")
        delivered = content(store, file.path)
        assert (len(delivered), hashlib.sha256(delivered).hexdigest()) == (file.bytes, file.sha256)
        assert b"PAR1" not in delivered
        assert pq.read_table(io.BytesIO(gnupg.decrypt(delivered))).num_rows == file.rows
    assert rows_by_manifest(Reader(store, gnupg)) == ROWS  # type: ignore[arg-type]
    assert {finding.state for finding in verify(store, manifest, deep=True)} == {State.SAME}

    bad = manifest.files[1].path
    store.delete(bad)
    repaired = exporter.export(0, repair=Depth.LISTING)
    assert len({file.path for file in manifest.files} & {file.path for file in repaired.files}) == 3
    assert rows_by_manifest(Reader(store, gnupg)) == ROWS  # type: ignore[arg-type]

    resent = exporter.export(0, resend=True)
    assert visible_data_files(store) == {file.path for file in resent.files}
    assert rows_by_manifest(Reader(store, gnupg)) == ROWS  # type: ignore[arg-type]
    assert staged_files(store) == []


def test_json_is_encrypted_after_it_is_compressed(
    local: Exporter, delta: DeltaBuilder, gnupg: GnuPG, recipients: Recipients
) -> None:
    exporter = Exporter(local.store, delta.uri, recipients=recipients, encoding=Encoding(Format.JSON, Compression.GZIP))
    rows: Counter[int] = Counter()
    for file in exporter.export(0).files:
        assert file.name.endswith(".json.gz.gpg")
        lines = gzip.decompress(gnupg.decrypt(content(local.store, file.path))).splitlines()
        rows += Counter(json.loads(line)["id"] for line in lines)
    assert rows == ROWS


def test_an_export_without_rows_has_a_manifest_and_no_encrypted_nothing(local: Exporter) -> None:
    local.export(0)
    manifest = local.export(1)
    assert manifest.files == []
    assert manifest.encrypted


def test_p4_the_receipts_of_one_try_are_published_by_the_next(local: Exporter, gnupg: GnuPG) -> None:
    """A try that died while it published; the next one has the same receipts, as after a failure of the last step."""
    request = local.request(0)
    local.ledger.running.add(request.run_id)
    plan = local.plan(request)
    staged = local.stage(request, plan)
    sent = {receipt.staged.path: receipt.staged.sha256 for receipt in staged if receipt.staged is not None}
    for step in (1, 2, 3, 4, 5):
        for after in (False, True):
            with pytest.raises(Killed):
                local.publish(request, plan, staged, MortalStore(local.store, step, after=after))
    manifest = local.record(local.publish(request, plan, staged))
    assert {file.path: file.sha256 for file in manifest.files} == sent
    assert rows_by_manifest(Reader(local.store, gnupg)) == ROWS  # type: ignore[arg-type]


@pytest.mark.parametrize("after", [False, True])
def test_p4_a_run_that_is_killed_anywhere_is_repeated_from_the_start(
    tmp_path: Path, small: DeltaBuilder, gnupg: GnuPG, recipients: Recipients, after: bool
) -> None:
    """The same root run encrypts everything again, so that other bytes have the names of an earlier try."""

    def exporter(name: str) -> Exporter:
        return Exporter(LocalStore(tmp_path / name), small.uri, recipients=recipients)

    mortal = MortalStore(LocalStore(tmp_path / "whole"))
    exporter("whole").export(0, store=mortal)
    for step in range(1, len(mortal.calls) + 1):
        one, run_id = exporter(f"killed-{step}"), str(uuid4())
        with pytest.raises(Killed):
            one.export(0, run_id, store=MortalStore(one.store, step, after=after))
        assert not live_manifests(one.store) or step == len(mortal.calls)
        manifest = one.export(0, run_id)
        assert manifest.run_id == run_id
        assert visible_data_files(one.store) == named_files(one.store)
        assert staged_files(one.store) == []
        assert {finding.state for finding in verify(one.store, manifest, deep=True)} == {State.SAME}
        assert rows_by_manifest(Reader(one.store, gnupg)) == {1: 1, 2: 1, 3: 1, 4: 1}  # type: ignore[arg-type]


def test_p6_sweep_removes_what_a_dead_encrypted_export_left(local: Exporter) -> None:
    with pytest.raises(Killed):
        local.export(0, store=MortalStore(local.store, 7, after=True))
    assert visible_data_files(local.store)
    sweep(local.store, "hourly", "orders", local.ledger, dry_run=False)
    assert visible_data_files(local.store) == set()
    assert staged_files(local.store) == []


def test_p4_two_processes_of_one_run_never_leave_a_manifest_of_the_others_bytes(local: Exporter) -> None:
    """A process that was thought dead goes on while its run is repeated: its names are the same, its bytes are not."""
    request = local.request(0)
    plan = local.plan(request)
    staged = local.stage(request, plan)

    class Overtaken:
        """Its files are visible; before it looks at them a last time, the repeated run does all its work."""

        confirmed = itertools.count(1)

        def __getattr__(self, name: str) -> Any:
            return getattr(local.store, name)

        def confirm(self, receipt: Any) -> None:
            if next(self.confirmed) == len(staged) + 1:
                local.export(0, request.run_id)
            local.store.confirm(receipt)

    with pytest.raises(IntegrityError):
        local.publish(request, plan, staged, Overtaken())
    [manifest] = live_manifests(local.store)
    assert {finding.state for finding in verify(local.store, manifest, deep=True)} == {State.SAME}


@pytest.mark.parametrize(("before", "now"), [("plain", "others"), ("encrypted", "plain"), ("encrypted", "others")])
def test_keys_that_change_during_a_run_are_never_mixed(
    local: Exporter, recipients: Recipients, others: Recipients, before: str, now: str
) -> None:
    kinds = {"plain": None, "encrypted": recipients, "others": others}
    earlier, later = rekeyed(local, kinds[before]), rekeyed(local, kinds[now])
    request = earlier.request(0)
    plan = earlier.plan(request)
    staged = earlier.stage(request, plan)
    same_run = replace(request, dataflow=later.dataflow)
    with pytest.raises(StalePlan, match=r"OpenPGP keys of partner have changed .* new run"):
        later.publish(same_run, plan, staged)
    assert visible_data_files(local.store) == set()
    again = later.stage(same_run, plan)
    if (before == "plain") != (now == "plain"):  # planned under other names
        with pytest.raises(StalePlan, match="OpenPGP keys of partner have changed"):
            later.publish(same_run, plan, again)
    manifest = later.export(0)
    assert manifest.document.get("encryption", {}).get("recipients") == (
        [*others.fingerprints] if now == "others" else None
    )
    assert visible_data_files(local.store) == {file.path for file in manifest.files}
    assert staged_files(local.store) == []


def test_a_repair_with_other_keys_sends_all_files_again(local: Exporter, others: Recipients) -> None:
    manifest = local.export(0)
    local.store.delete(manifest.files[0].path)
    later = rekeyed(local, others)
    request = later.request(0, repair=Depth.LISTING)
    plan = later.plan(request)
    assert "its encryption was" in (plan.repair_note or "")
    repaired: Manifest = later.publish(request, plan, later.stage(request, plan)).manifest
    assert {file.path for file in repaired.files}.isdisjoint({file.path for file in manifest.files})
    assert repaired.document["encryption"]["recipients"] == [*others.fingerprints]


def test_deep_verification_finds_other_bytes_of_the_same_size(local: Exporter) -> None:
    manifest = local.export(0)
    changed = bytearray(content(local.store, manifest.files[2].path))
    changed[-1] ^= 1
    local.store.put(manifest.files[2].path, bytes(changed), replace=True)
    assert [finding.state for finding in verify(local.store, manifest, deep=True)] == ["=", "=", "!", "="]


def test_an_expired_key_stages_nothing(local: Exporter, recipients: Recipients) -> None:
    expired = rekeyed(local, replace(recipients, usable_until=datetime(2026, 11, 2, tzinfo=UTC)))
    with pytest.raises(ConfigError, match="expired on 2026-11-02"):
        expired.export(0)
    assert visible_data_files(local.store) == set()
    assert staged_files(local.store) == []


# The manifest too


@pytest.fixture
def sealed(tmp_path: Path, small: DeltaBuilder, recipients: Recipients) -> Exporter:
    return Exporter(LocalStore(tmp_path / "delivered"), small.uri, recipients=recipients, encrypted_manifest=True)


def decrypted_manifests(exporter: Exporter, gnupg: GnuPG) -> list[Manifest]:
    """What the partner follows: encrypted manifests that no other one supersedes."""
    names = [entry.path for entry in exporter.store.list("") if "/manifest-" in entry.path]
    found = [parse_manifest(name, gnupg.decrypt(content(exporter.store, name))) for name in names]
    superseded = {ref.run_id for manifest in found for ref in manifest.supersedes}
    return [manifest for manifest in found if manifest.run_id not in superseded]


def require_only_sealed(exporter: Exporter) -> None:
    assert [entry.path for entry in exporter.store.list("") if not entry.path.endswith(".gpg")] == []


def test_an_encrypted_manifest_is_the_record_that_we_keep(sealed: Exporter, gnupg: GnuPG) -> None:
    first = sealed.export(0)
    assert first.path.startswith(".dataset_export/manifests/")
    assert first.encrypted_copy == f"orders/exportTime=202611010800/manifest-partner-{first.run_id}.json.gpg"
    assert gnupg.decrypt(content(sealed.store, first.encrypted_copy)) == first.bytes
    assert {finding.state for finding in verify(sealed.store, first, deep=True)} == {State.SAME}
    assert unnamed_files(sealed.store, first) == []
    sealed.store.delete(first.files[0].path)
    repaired = sealed.export(0, repair=Depth.LISTING)
    assert len({file.path for file in first.files} & {file.path for file in repaired.files}) == 1
    resent = sealed.export(0, resend=True)
    [seen] = decrypted_manifests(sealed, gnupg)
    assert (seen.run_id, seen.bytes) == (resent.run_id, resent.bytes)
    assert {entry.path for entry in sealed.store.list("")} == {
        resent.encrypted_copy,
        *(file.path for file in resent.files),
    }
    require_only_sealed(sealed)


def test_an_encrypted_manifest_that_was_removed_is_put_back_by_a_repair(sealed: Exporter, gnupg: GnuPG) -> None:
    manifest = sealed.export(0)
    assert manifest.encrypted_copy is not None
    sealed.store.delete(manifest.encrypted_copy)
    sealed.export(0, repair=Depth.LISTING)
    assert [seen.bytes for seen in decrypted_manifests(sealed, gnupg)] == [manifest.bytes]


def test_a_resend_removes_the_encrypted_copy_of_a_record_that_was_changed(sealed: Exporter) -> None:
    first = sealed.export(0)
    sealed.store.put(first.path, b"{}", replace=True)
    second = sealed.export(0, resend=True)
    assert [entry.path for entry in sealed.store.list("") if "/manifest-" in entry.path] == [second.encrypted_copy]


@pytest.mark.parametrize("after", [False, True])
def test_p2_p7_a_first_export_that_is_killed_shows_no_encrypted_manifest_before_its_files(
    sealed: Exporter, gnupg: GnuPG, tmp_path: Path, after: bool
) -> None:
    mortal = MortalStore(LocalStore(tmp_path / "whole"))
    replace(sealed, ledger=MemoryLedger()).export(0, store=mortal)
    assert mortal.calls[-2:] == ["put", "put"]
    for step in range(mortal.calls.index("publish") + 1, len(mortal.calls) + 1):
        one = replace(sealed, store=LocalStore(tmp_path / f"killed-{step}"), ledger=MemoryLedger())
        run_id = str(uuid4())
        with pytest.raises(Killed):
            one.export(0, run_id, store=MortalStore(one.store, step, after=after))
        for seen in decrypted_manifests(one, gnupg):
            assert {finding.state for finding in verify(one.store, seen, deep=True)} == {State.SAME}
        manifest = one.export(0, run_id)
        [seen] = decrypted_manifests(one, gnupg)
        assert seen.bytes == manifest.bytes
        assert visible_data_files(one.store) == {file.path for file in manifest.files}
        assert staged_files(one.store) == []
        require_only_sealed(one)


@pytest.mark.parametrize("after", [False, True])
def test_p5_p7_a_resend_that_is_killed_always_shows_one_whole_export(
    sealed: Exporter, gnupg: GnuPG, tmp_path: Path, after: bool
) -> None:
    """Also when a sweep comes between the kill and the next try."""

    def exporter(name: str) -> Exporter:
        one = replace(sealed, store=LocalStore(tmp_path / name), ledger=MemoryLedger())
        one.export(0)
        return one

    whole = exporter("whole")
    mortal = MortalStore(whole.store)
    whole.export(0, resend=True, store=mortal)
    manifest_put = mortal.calls.index("put", 1) + 1
    for step in range(manifest_put - 1, len(mortal.calls) + 1):
        one = exporter(f"killed-{step}")
        with pytest.raises(Killed):
            one.export(0, resend=True, store=MortalStore(one.store, step, after=after))
        for again in (False, True):
            if again:
                sweep(one.store, "hourly", "orders", one.ledger, dry_run=False)
            [seen] = decrypted_manifests(one, gnupg)
            assert {finding.state for finding in verify(one.store, seen, deep=True)} == {State.SAME}
        manifest = one.export(0, resend=True)
        [seen] = decrypted_manifests(one, gnupg)
        assert seen.bytes == manifest.bytes
        assert visible_data_files(one.store) == {file.path for file in manifest.files}
        require_only_sealed(one)


def test_keys_that_change_before_the_encrypted_manifest_is_written(sealed: Exporter, others: Recipients) -> None:
    run_id = str(uuid4())
    with pytest.raises(Killed):
        sealed.export(0, run_id, store=MortalStore(sealed.store, 7))  # the put of the copy
    later = rekeyed(sealed, others)
    with pytest.raises(StalePlan, match=r"have changed before its encrypted manifest .*`resend`"):
        later.export(0, run_id)
    manifest = later.export(0, resend=True)
    assert visible_data_files(sealed.store) == {file.path for file in manifest.files}
