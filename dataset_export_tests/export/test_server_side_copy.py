"""Files that are passed through inside one store are copied there, and what is delivered is the same as when they are sent."""

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pytest

from dataset_export.destinations.contract import Store
from dataset_export.destinations.local import LocalStore
from dataset_export.destinations.s3 import S3Store
from dataset_export.destinations.s3_copy import server_of
from dataset_export.destinations.s3_kept import KeptAs
from dataset_export.encoding.contract import Compression, Encoding
from dataset_export.encoding.openpgp_keys import read_recipients
from dataset_export.errors import CorruptFile
from dataset_export.export.manifest import Manifest
from dataset_export.export.sweep import sweep
from dataset_export_tests.export.exporter import (
    START,
    Exporter,
    live_manifests,
    rows_by_manifest,
    staged_files,
    visible_data_files,
)
from dataset_export_tests.lake.delta_tables import DeltaBuilder
from dataset_export_tests.lake.test_delta_s3 import options
from dataset_export_tests.servers.gnupg import GnuPG
from dataset_export_tests.servers.moto import Moto, running_moto
from dataset_export_tests.servers.weed import ONE_BUCKET, ONE_BUCKET_NAME, REGION, Weed

MIB = 1 << 20
AS_IT_IS = Encoding(compression=Compression.SOURCE)
HOUR = max(0, int((datetime.now(UTC) - START) / timedelta(hours=1)) + 2)
"""An export time that comes after what is committed now."""
BIG = 9 * MIB
"""Bytes of a value, so that a file has two parts of the smallest size."""


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    with running_moto() as server:
        yield server


def fill(delta: DeltaBuilder) -> DeltaBuilder:
    """A small file, and one of several parts."""
    delta.append(1, 2, 3)
    delta.write(pa.table({"id": [4], "name": [secrets.token_hex(BIG)]}), schema_mode="merge")
    return delta


class Wire:
    """What a client sends: bytes of bodies, and the operations of its requests."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.parts_sent = 0
        self.parts_copied = 0
        send = client._endpoint.http_session.send

        def counted(request: Any) -> Any:
            if request.method == "PUT" and "partNumber=" in request.url:
                copied = any(name.lower() == "x-amz-copy-source" for name in request.headers)
                self.parts_copied += copied
                self.parts_sent += not copied
            return send(request)

        client._endpoint.http_session.send = counted

    def store(self, bucket: str, folder: str = "") -> S3Store:
        return S3Store(lambda: self.client, bucket, folder, part_size=8 * MIB)


def told(manifest: Manifest) -> list[dict[str, Any]]:
    """What a manifest says of its files, but for their names, which each run has its own of."""
    said = [asdict(file) for file in manifest.files]
    for file in said:
        for name in ("path", "name"):
            file.pop(name, None)
    return said


def delivered(store: Store) -> list[bytes]:
    found: list[bytes] = []
    for manifest in live_manifests(store):
        for file in manifest.files:
            with store.open(file.path) as stream:
                found.append(stream.read())
    return found


def sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on no upload copies."""
    for kind in ("s3_upload.S3Upload", "local.LocalUpload"):
        monkeypatch.setattr(f"dataset_export.destinations.{kind}.copies", lambda *_: None)


def test_what_is_copied_inside_a_server_is_what_would_be_sent(weed: Weed, monkeypatch: pytest.MonkeyPatch) -> None:
    delta = fill(DeltaBuilder(f"s3://{weed.create_bucket()}/lake/a table", options(weed)))
    copying, sending = Wire(weed.client()), Wire(weed.client())
    stores = copying.store(weed.create_bucket(), "in"), sending.store(weed.create_bucket(), "in")
    first = Exporter(stores[0], delta.uri, encoding=AS_IT_IS, options=delta.options).export(HOUR)
    assert (copying.parts_copied, copying.parts_sent) == (4, 0)
    sent(monkeypatch)
    second = Exporter(stores[1], delta.uri, encoding=AS_IT_IS, options=delta.options).export(HOUR)
    assert (sending.parts_copied, sending.parts_sent) == (0, 4)
    assert told(first) == told(second)
    assert delivered(stores[0]) == delivered(stores[1])
    assert rows_by_manifest(stores[0]) == {1: 1, 2: 1, 3: 1, 4: 1}


def test_a_server_that_tells_no_checksums_is_held_to_entity_tags(moto: Moto) -> None:
    client = moto.client("s3")
    for bucket in ("lake", "partner"):
        client.create_bucket(Bucket=bucket)
    settings = {
        "AWS_ENDPOINT_URL": moto.endpoint,
        "AWS_ACCESS_KEY_ID": moto.admin.access_key,
        "AWS_SECRET_ACCESS_KEY": moto.admin.secret_key,
        "AWS_REGION": REGION,
        "AWS_ALLOW_HTTP": "true",
        "aws_conditional_put": "etag",
    }
    delta = fill(DeltaBuilder("s3://lake/table", settings))
    wire = Wire(client)
    store = wire.store("partner")
    Exporter(store, delta.uri, encoding=AS_IT_IS, options=settings).export(HOUR)
    assert (wire.parts_copied, wire.parts_sent) == (4, 0)
    assert rows_by_manifest(store) == {1: 1, 2: 1, 3: 1, 4: 1}


def test_credentials_that_may_not_read_the_lake_send(weed: Weed, caplog: pytest.LogCaptureFixture) -> None:
    delta = fill(DeltaBuilder(f"s3://{weed.create_bucket()}/table", options(weed)))
    weed.create_bucket(ONE_BUCKET_NAME)
    wire = Wire(weed.client(ONE_BUCKET))
    store = wire.store(ONE_BUCKET_NAME, f"run-{secrets.token_hex(4)}")
    with caplog.at_level("INFO", "dataset_export"):
        exporter = Exporter(store, delta.uri, encoding=AS_IT_IS, options=delta.options)
        exporter.export(HOUR)
    assert wire.parts_sent == 4
    assert wire.parts_copied <= 4  # parts on their way when the first was refused
    assert "are sent to the bucket exports and not copied by their server" in caplog.text
    assert "AccessDenied" in caplog.text
    refused = wire.parts_copied
    exporter.export(HOUR, resend=True)
    assert (wire.parts_copied, wire.parts_sent) == (refused, 8)
    assert rows_by_manifest(store) == {1: 1, 2: 1, 3: 1, 4: 1}


@pytest.mark.parametrize("kept_as", [KeptAs("AES256"), KeptAs("aws:kms", "a-key")], ids=["SSE-S3", "SSE-KMS"])
def test_copies_that_the_server_encrypts(weed: Weed, kept_as: KeptAs) -> None:
    delta = fill(DeltaBuilder(f"s3://{weed.create_bucket()}/table", options(weed)))
    wire = Wire(weed.client())
    store = S3Store(lambda: wire.client, weed.create_bucket(), kept_as=kept_as)
    Exporter(store, delta.uri, encoding=AS_IT_IS, options=delta.options).export(HOUR)
    assert wire.parts_copied >= 1
    assert rows_by_manifest(store) == {1: 1, 2: 1, 3: 1, 4: 1}


@pytest.mark.parametrize("where", ["another address", "transcoded", "encrypted", "local lake"])
def test_what_cannot_be_copied_is_sent(weed: Weed, where: str, tmp_path: Path, gnupg: GnuPG) -> None:
    wire = Wire(weed.client())
    store = wire.store(weed.create_bucket())
    lake = str(tmp_path / "lake") if where == "local lake" else f"s3://{weed.create_bucket()}/table"
    settings = {} if where == "local lake" else options(weed)
    if where == "another address":
        settings["AWS_ENDPOINT_URL"] = weed.endpoint.replace("127.0.0.1", "localhost")
    delta = fill(DeltaBuilder(lake, settings))
    recipients = None
    if where == "encrypted":
        recipients = read_recipients([gnupg.public_key(gnupg.make_key("partner"))], now=datetime.now(UTC))
    exporter = Exporter(
        store,
        delta.uri,
        encoding=Encoding() if where == "transcoded" else AS_IT_IS,
        options=settings,
        recipients=recipients,
    )
    exporter.export(HOUR)
    assert wire.parts_copied == 0
    assert wire.parts_sent >= 3


def test_a_file_that_is_changed_between_reading_and_copying_is_an_error(
    weed: Weed, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = weed.create_bucket()
    delta = DeltaBuilder(f"s3://{bucket}/table", options(weed))
    delta.append(1, 2, 3)
    client = weed.client()

    def change() -> None:
        (listed,) = client.list_objects_v2(Bucket=bucket, Prefix="table/part")["Contents"]
        client.put_object(Bucket=bucket, Key=listed["Key"], Body=bytes(listed["Size"]))

    store = Wire(weed.client()).store(weed.create_bucket())
    before_copies(monkeypatch, "dataset_export.destinations.s3_upload.S3Upload", change)
    with pytest.raises(CorruptFile, match=rf"s3://{bucket}/table/part-\S+ was changed while it was exported"):
        Exporter(store, delta.uri, encoding=AS_IT_IS, options=delta.options).export(HOUR)
    assert visible_data_files(store) == set()
    assert live_manifests(store) == []


def before_copies(monkeypatch: pytest.MonkeyPatch, upload: str, act: Callable[[], None]) -> None:
    """Let `act` happen once, after the first upload learned where its bytes lie."""
    module, _, name = upload.rpartition(".")
    kind = getattr(sys.modules[module], name)
    copies, left = kind.copies, [act]

    def acting(self: Any, origin: Any) -> None:
        copies(self, origin)
        if left:
            left.pop()()

    monkeypatch.setattr(f"{upload}.copies", acting)


def test_what_is_copied_inside_a_filesystem_is_what_would_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delta = fill(DeltaBuilder(str(tmp_path / "a lake")))
    copied = count_copied(monkeypatch)
    stores = LocalStore(tmp_path / "copied"), LocalStore(tmp_path / "written")
    first = Exporter(stores[0], delta.uri, encoding=AS_IT_IS).export(HOUR)
    assert sum(copied) == sum(file.bytes for file in first.files)
    copied.clear()
    sent(monkeypatch)
    second = Exporter(stores[1], delta.uri, encoding=AS_IT_IS).export(HOUR)
    assert copied == []
    assert told(first) == told(second)
    assert delivered(stores[0]) == delivered(stores[1])


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="there is one filesystem only")
def test_another_filesystem_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    delta = fill(DeltaBuilder(str(tmp_path / "lake")))
    copied = count_copied(monkeypatch)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        store = LocalStore(Path(folder))
        Exporter(store, delta.uri, encoding=AS_IT_IS).export(HOUR)
        assert rows_by_manifest(store) == {1: 1, 2: 1, 3: 1, 4: 1}
    assert copied == []


def test_a_filesystem_that_stops_copying_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    delta = fill(DeltaBuilder(str(tmp_path / "lake")))
    copy_file_range, done = os.copy_file_range, list[int]()

    def refusing(source: int, target: int, count: int, *offsets: int) -> int:
        if sum(done) > 5 * MIB:
            raise OSError(95, "Operation not supported")
        done.append(copy_file_range(source, target, min(count, MIB + 7), *offsets))
        return done[-1]

    monkeypatch.setattr(os, "copy_file_range", refusing)
    store = LocalStore(tmp_path / "partner")
    Exporter(store, delta.uri, encoding=AS_IT_IS).export(HOUR)
    assert sum(done) > 5 * MIB
    assert rows_by_manifest(store) == {1: 1, 2: 1, 3: 1, 4: 1}


def test_a_local_file_that_is_changed_while_it_is_copied_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delta = DeltaBuilder(str(tmp_path / "lake"))
    delta.append(1, 2, 3)
    (file,) = (tmp_path / "lake").glob("*.parquet")

    def change() -> None:
        data = file.read_bytes()
        with file.open("r+b") as stream:
            stream.write(data)

    before_copies(monkeypatch, "dataset_export.destinations.local.LocalUpload", change)
    store = LocalStore(tmp_path / "partner")
    with pytest.raises(CorruptFile, match=f"{file.name} was changed while it was exported"):
        Exporter(store, delta.uri, encoding=AS_IT_IS).export(HOUR)
    assert visible_data_files(store) == set()
    assert staged_files(store) == []


def count_copied(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes of every copy that the kernel makes from here on."""
    copy_file_range, copied = os.copy_file_range, list[int]()

    def counted(*arguments: int) -> int:
        copied.append(copy_file_range(*arguments))
        return copied[-1]

    monkeypatch.setattr(os, "copy_file_range", counted)
    return copied


@pytest.mark.parametrize(
    ("endpoint", "server"),
    [
        ("", ""),
        ("https://s3.eu-west-1.amazonaws.com", ""),
        ("https://s3.cn-north-1.amazonaws.com.cn", ""),
        ("https://Minio.Example:9000/", "minio.example:9000"),
        ("https://amazonaws.com.example", "amazonaws.com.example"),
    ],
)
def test_a_server_is_known_by_its_endpoint(endpoint: str, server: str) -> None:
    assert server_of(endpoint) == server


KILLED_AT = "killed right after a part was copied"

VICTIM = """
import json, os, signal, sys
from pathlib import Path
from dataset_export.destinations import local_copy, s3_copy
from dataset_export_tests.export import test_server_side_copy as test

kind, uri, place, run_id, settings = json.loads(sys.argv[1])
if kind == "local":
    class_, method = local_copy.FileCopy, "append"
else:
    class_, method = s3_copy.PartCopies, "copy"
copy = getattr(class_, method)

def dying(*arguments, **part):
    if copy(*arguments, **part):
        print(test.KILLED_AT, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

setattr(class_, method, dying)
test.exporter_to(kind, place, uri, settings).export(test.HOUR, run_id)
"""


def exporter_to(kind: str, place: str, uri: str, settings: dict[str, str]) -> Exporter:
    """An exporter that a process makes for itself; `place` is a folder, or a bucket of the server of the lake."""
    if kind == "local":
        return Exporter(LocalStore(Path(place)), uri, encoding=AS_IT_IS)
    server = Weed(settings["AWS_ENDPOINT_URL"])
    return Exporter(Wire(server.client()).store(place), uri, encoding=AS_IT_IS, options=settings)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["local", "amazon_s3"])
def test_p4_p6_an_export_that_is_killed_while_the_store_copies(kind: str, weed: Weed, tmp_path: Path) -> None:
    settings = {} if kind == "local" else options(weed)
    lake = str(tmp_path / "lake") if kind == "local" else f"s3://{weed.create_bucket()}/table"
    place = str(tmp_path / "partner") if kind == "local" else weed.create_bucket()
    delta = fill(DeltaBuilder(lake, settings))
    run_id = str(uuid4())
    said = json.dumps([kind, delta.uri, place, run_id, settings])
    victim = subprocess.run([sys.executable, "-c", VICTIM, said], capture_output=True, text=True, check=False)
    assert victim.returncode == -signal.SIGKILL, victim.stderr
    assert KILLED_AT in victim.stdout

    exporter = exporter_to(kind, place, delta.uri, settings)
    assert visible_data_files(exporter.store) == set()
    assert live_manifests(exporter.store) == []
    assert staged_files(exporter.store)
    exporter.export(HOUR, run_id)
    assert rows_by_manifest(exporter.store) == {1: 1, 2: 1, 3: 1, 4: 1}
    sweep(exporter.store, "hourly", "orders", exporter.ledger, dry_run=False)
    assert staged_files(exporter.store) == []
    assert rows_by_manifest(exporter.store) == {1: 1, 2: 1, 3: 1, 4: 1}
