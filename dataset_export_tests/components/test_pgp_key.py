"""The public key of a destination: from YAML to encrypted files, and each key that cannot encrypt refused at load."""

import io
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from textwrap import indent

import pyarrow.parquet as pq
import pytest

from dataset_export.components.catalog import load_catalog
from dataset_export.components.pgp_key import MAX_BYTES
from dataset_export.components.project import load_definitions
from dataset_export.errors import ConfigError
from dataset_export_tests.components.projects import BASE, document, write_project
from dataset_export_tests.instances import new_instance
from dataset_export_tests.lake.delta_tables import DeltaBuilder
from dataset_export_tests.servers.gnupg import LONG_AGO, GnuPG

PARTNER = "id: sealed\ntype: local\nfolder: sealed\n"

FLOW = document(
    "Dataflow",
    "name: flow\ndatasets: [flights]\ndestination: sealed\nschedule: {frequency: daily, start: 2026-11-02, end: never}",
)


@pytest.fixture(scope="module")
def alice(gnupg: GnuPG) -> str:
    return gnupg.make_key("Alice in YAML <alice-yaml@example.com>")


@pytest.fixture(scope="module")
def bob(gnupg: GnuPG) -> str:
    return gnupg.make_key("Bob in YAML <bob-yaml@example.com>")


def block(key: bytes) -> str:
    return "pgp_public_key: |\n" + indent(key.decode(), "  ")


def test_an_export_declared_in_yaml_is_encrypted_and_its_checks_pass(
    tmp_path: Path, gnupg: GnuPG, alice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = DeltaBuilder(str(tmp_path / "lake" / "flights"))
    for ids in ([1, 2, 3], [4]):
        table.commit_time(table.append(*ids), datetime(2026, 10, 31, 12, tzinfo=UTC))
    defs = write_project(
        tmp_path, base=BASE, sealed=document("Destination", PARTNER + block(gnupg.public_key(alice))), flow=FLOW
    )
    monkeypatch.chdir(tmp_path)
    definitions = load_definitions(defs_folder=defs)
    with new_instance() as instance:
        result = definitions.resolve_job_def("flow").execute_in_process(instance=instance, partition_key="202611020000")
    assert result.success
    [event] = result.get_asset_materialization_events()
    assert event.materialization.metadata["encrypted_for"].value == alice
    checks = {one.check_name: one.passed for one in result.get_asset_check_evaluations()}
    assert checks == {"files_match_manifest": True, "records_reconcile": True, "schema_unchanged": True}
    rows: Counter[int] = Counter()
    [sealed] = tmp_path.rglob("sealed/flights")
    files = list(sealed.rglob("part-*"))
    assert len(files) == 2
    for file in files:
        assert file.name.endswith(".gz.parquet.gpg")
        rows += Counter(pq.read_table(io.BytesIO(gnupg.decrypt(file.read_bytes()))).column("id").to_pylist())
    assert rows == {1: 1, 2: 1, 3: 1, 4: 1}


def test_keys_in_files_and_blocks_in_a_list(tmp_path: Path, gnupg: GnuPG, alice: str, bob: str) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "alice.gpg").write_bytes(gnupg.public_key(alice, armor=False))
    (tmp_path / "keys" / "bob.asc").write_bytes(gnupg.public_key(bob))
    written = document("Destination", PARTNER + "pgp_public_key: [keys/alice.gpg, keys/bob.asc]")
    catalog = load_catalog(defs_folder=write_project(tmp_path, base=BASE, sealed=written, flow=FLOW))
    recipients = catalog.dataflows["flow"].destination.recipients
    assert recipients is not None
    assert recipients.fingerprints == (alice, bob)
    assert catalog.dataflows["flow"].ending == ".gz.parquet.gpg"


def test_an_encrypted_manifest_takes_a_key(tmp_path: Path, gnupg: GnuPG, alice: str) -> None:
    text = PARTNER + "manifest: encrypted\n"
    defs = write_project(
        tmp_path / "with", base=BASE, sealed=document("Destination", text + block(gnupg.public_key(alice))), flow=FLOW
    )
    destination = load_catalog(defs_folder=defs).dataflows["flow"].destination
    assert (destination.manifest, destination.encrypted_manifest) == (False, True)
    defs = write_project(tmp_path / "without", base=BASE, sealed=document("Destination", text), flow=FLOW)
    with pytest.raises(ConfigError, match=r"defs\.yaml:6: an encrypted manifest needs a pgp_public_key; add it"):
        load_catalog(defs_folder=defs)


def test_without_a_key_nothing_is_encrypted(tmp_path: Path) -> None:
    written = document("Destination", PARTNER)
    catalog = load_catalog(defs_folder=write_project(tmp_path, base=BASE, sealed=written, flow=FLOW))
    assert catalog.dataflows["flow"].destination.recipients is None
    assert catalog.dataflows["flow"].ending == ".gz.parquet"


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("expired", "expired on 2020-12-31: ask its owner to extend it"),
        ("revoked", "is revoked: ask its owner"),
        ("signs only", "cannot encrypt"),
        ("secret", "this is a secret key"),
        ("two", "there are 2 OpenPGP keys in one"),
        ("text", "this is no OpenPGP public key"),
        ("empty", "there is nothing where an OpenPGP public key is expected: let its owner export"),
    ],
)
def test_a_key_that_cannot_encrypt_is_refused_at_load(
    tmp_path: Path, gnupg: GnuPG, alice: str, bob: str, kind: str, says: str
) -> None:
    def make() -> bytes:
        match kind:
            case "expired":
                name = "Old in YAML <old-yaml@example.com>"
                return gnupg.public_key(gnupg.make_key(name, expires="1y", at=LONG_AGO))
            case "revoked":
                key = gnupg.make_key("Gone in YAML <gone-yaml@example.com>")
                gnupg.revoke(key)
                return gnupg.public_key(key)
            case "signs only":
                return gnupg.public_key(gnupg.make_key("Signs in YAML <signs-yaml@example.com>", encrypts=False))
            case "secret":
                return gnupg.secret_key(alice)
            case "two":
                return gnupg.public_key(alice, bob)
            case "text":
                return b"hello\n"
            case _:
                return b""

    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "alice.asc").write_bytes(gnupg.public_key(alice))
    (tmp_path / "keys" / "wrong.asc").write_bytes(make())
    written = document("Destination", PARTNER + "pgp_public_key:\n  - keys/alice.asc\n  - keys/wrong.asc")
    defs = write_project(tmp_path, base=BASE, sealed=written, flow=FLOW)
    for load in (load_catalog, load_definitions):
        with pytest.raises(ConfigError) as refused:
            load(defs_folder=defs)
        text = str(refused.value)
        assert text.startswith(f"{defs}/sealed/defs.yaml:8: pgp_public_key {tmp_path}/keys/wrong.asc: ")
        assert says in text
        assert "\n" not in text


@pytest.mark.parametrize(("days", "warned"), [(20, True), (90, False)])
def test_a_key_that_expires_soon_is_warned_of(
    tmp_path: Path, gnupg: GnuPG, caplog: pytest.LogCaptureFixture, days: int, warned: bool
) -> None:
    key = gnupg.make_key(f"Soon in YAML <soon-{days}@example.com>", expires=f"{days}d")
    written = document("Destination", PARTNER + block(gnupg.public_key(key)))
    load_catalog(defs_folder=write_project(tmp_path, base=BASE, sealed=written, flow=FLOW))
    assert (f"defs.yaml:6: of the OpenPGP keys {key} the first expires on" in caplog.text) is warned


def test_a_secret_key_that_is_pasted_is_refused_and_not_repeated(tmp_path: Path, gnupg: GnuPG, alice: str) -> None:
    key = gnupg.secret_key(alice)
    defs = write_project(tmp_path, base=BASE, sealed=document("Destination", PARTNER + block(key)), flow=FLOW)
    with pytest.raises(ConfigError) as refused:
        load_catalog(defs_folder=defs)
    text = str(refused.value)
    assert text.startswith(f"{defs}/sealed/defs.yaml:6: pgp_public_key: this is a secret key")
    assert not [line for line in key.decode().splitlines() if line and line in text]


def test_the_same_key_twice_is_refused(tmp_path: Path, gnupg: GnuPG, alice: str) -> None:
    for name in ("a.asc", "b.asc"):
        (tmp_path / name).write_bytes(gnupg.public_key(alice))
    written = document("Destination", PARTNER + "pgp_public_key: [a.asc, b.asc]")
    with pytest.raises(ConfigError, match=rf"defs\.yaml:6: the OpenPGP key {alice} is given twice"):
        load_catalog(defs_folder=write_project(tmp_path, base=BASE, sealed=written, flow=FLOW))


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("keys/none.asc", "keys/none.asc cannot be read (No such file or directory); give an armored public key"),
        ("keys", "keys cannot be read (Is a directory); give an armored"),
        ("keys/large", "keys/large is too large for a key"),
        ("' '", "pgp_public_key is empty; give an armored public key"),
        ("'a\\0b'", "cannot be read (it is no path)"),
        ("[]", "name at least one"),
        ("{file: keys/a.asc}", "pgp_public_key"),
        ("12", "pgp_public_key"),
    ],
)
def test_what_is_no_key_and_no_file_is_refused(tmp_path: Path, written: str, says: str) -> None:
    (tmp_path / "keys").mkdir()
    with (tmp_path / "keys" / "large").open("wb") as large:
        large.truncate(MAX_BYTES + 1)
    text = document("Destination", PARTNER + f"pgp_public_key: {written}".replace("'a\\0b'", '"a\\0b"'))
    defs = write_project(tmp_path, base=BASE, sealed=text, flow=FLOW)
    with pytest.raises(ConfigError) as refused:
        load_catalog(defs_folder=defs)
    assert str(refused.value).startswith(f"{defs}/sealed/defs.yaml:6: ")
    assert says in str(refused.value)
