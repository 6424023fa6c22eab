"""Everything that can be wrong with the lake or the destination: one line, exit code 1, nothing visible, nothing recorded."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataset_export.destinations.io_manager import DestinationIOManager
from dataset_export.destinations.local import LocalDestination
from dataset_export.destinations.s3 import S3Destination
from dataset_export.errors import ConfigError
from dataset_export.export.dataflow import DestinationInfo
from dataset_export.export.folder import FolderTemplate
from dataset_export.orchestration import failures
from dataset_export_tests.cli.world import World, at
from dataset_export_tests.servers.weed import ADMIN, Credentials, Weed, free_ports

DISK_BYTES = 256 << 10


@pytest.fixture(autouse=True)
def _no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "FIRST_WAIT_SECONDS", 0.01)


def fails(world: World, *said: str, destination: DestinationIOManager | None = None) -> str:
    """Run the export, which has to fail in one line that says all of `said` and where to look."""
    flow = world.dataflow()
    if isinstance(destination, S3Destination):
        flow = world.dataflow(destination=DestinationInfo(id="out", name="Out", type="amazon_s3"))
    session = world.session(flow, destination=destination)
    result = world.call("run", "flow", "--export-time", at(0), "--dataset", "a", session=session)
    assert result.exit_code == 1, result.output
    lines = [line for line in result.stderr.splitlines() if not line.startswith(("note: ", "20"))]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: a, ")
    assert "http://127.0.0.1:3000/runs/" in lines[0]
    assert "Traceback" not in result.output
    for part in said:
        assert part in lines[0]
    assert world.visible() == []
    assert world.materialized("a") == set()
    return lines[0]


def s3(weed: Weed, bucket: str, credentials: Credentials = ADMIN, *, endpoint: str | None = None) -> S3Destination:
    return S3Destination(
        bucket=bucket,
        endpoint_url=endpoint or weed.endpoint,
        allow_insecure=True,
        region_name="us-east-1",
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
    )


def test_missing_table(world: World) -> None:
    shutil.rmtree(world.table("a"))
    fails(world, str(world.table("a")))


@pytest.mark.parametrize("damage", ["zeros", "short", "gone"])
def test_corrupt_parquet_in_the_lake(world: World, damage: str) -> None:
    (source, *_) = sorted(world.table("a").glob("*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    data = source.read_bytes()
    if damage == "gone":
        source.unlink()
    else:
        source.write_bytes(bytes(len(data)) if damage == "zeros" else data[: len(data) // 2])
    fails(world, source.name)


def test_unknown_bucket(world: World, weed: Weed) -> None:
    fails(world, "no-such-bucket", destination=s3(weed, "no-such-bucket"))


def test_wrong_key(world: World, weed: Weed, bucket: str) -> None:
    said = fails(world, bucket, destination=s3(weed, bucket, Credentials("testadmin", "notthesecret")))
    assert "notthesecret" not in said
    assert "Contents" not in weed.client().list_objects_v2(Bucket=bucket)


def test_unreachable_destination(world: World, weed: Weed) -> None:
    (port,) = free_ports(1)
    fails(world, str(port), destination=s3(weed, "b", endpoint=f"http://127.0.0.1:{port}"))


def test_read_only_folder(world: World, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    fails(world, str(small_disk), destination=LocalDestination(folder=str(small_disk)))


def test_disk_full(world: World, small_disk: Path) -> None:
    filler = small_disk / "somebody-elses"
    with filler.open("wb") as file, contextlib.suppress(OSError):
        # The last page stays free for the journal entry, so that it is the data that does not fit.
        file.write(bytes(DISK_BYTES - 4096))
    fails(world, str(small_disk), "free some space", destination=LocalDestination(folder=str(small_disk)))
    assert [path.name for path in small_disk.rglob("*") if path.is_file() and path.suffix != ".json"] == [filler.name]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_folder_that_is_a_file(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here first")
    fails(world, str(tmp_path / "file"), destination=LocalDestination(folder=str(tmp_path / "file" / "below")))


def test_template_that_leaves_the_folder(world: World) -> None:
    def load() -> None:
        world.dataflow(folder=FolderTemplate("../%DATASET_ID%"))

    session = world.session()
    session.load_catalog = load  # type: ignore[assignment]
    result = world.call("run", "flow", "--export-time", at(0), session=session)
    with pytest.raises(ConfigError):
        load()
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert "'../%DATASET_ID%'" in result.stderr
    assert not world.delivered.exists()


def test_a_macro_value_that_leaves_the_folder(world: World) -> None:
    flow = world.dataflow
    with pytest.raises(ConfigError, match=r"\.\."):
        flow(
            destination=DestinationInfo(id="out", name="..", type="local"),
            folder=FolderTemplate("%DESTINATION_INSTANCE_NAME%/%DATASET_ID%"),
        )


def test_one_dataset_that_fails_leaves_the_others_delivered(world: World) -> None:
    shutil.rmtree(world.table("a"))
    result = world.call("run", "flow", "--export-time", at(0))
    assert result.exit_code == 1
    assert "not delivered" in next(line for line in result.stdout.splitlines() if " a " in line)
    assert world.materialized("a") == set()
    assert world.materialized("b") == {at(0)}
    assert world.call("plan", "flow", "--export-time", at(0)).exit_code == 1
