"""Commands say when a destination deletes by itself what was delivered there (spec S3)."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dataset_export.cli.session import Session
from dataset_export.cli.terminal import iso
from dataset_export.destinations.data_landing_zone import DataLandingZoneDestination
from dataset_export.export.dataflow import DestinationInfo
from dataset_export.orchestration.names import export_key
from dataset_export_tests.cli.world import World, at
from dataset_export_tests.servers.azurite import Azurite

RUN = ("flow", "--export-time", at(0), "--dataset", "a")


@pytest.fixture
def zone(world: World, azurite: Azurite, tmp_path: Path) -> Session:
    container = azurite.create_container()
    file = tmp_path / "sas-uri"
    file.write_text(f"{azurite.endpoint}/{container}?{azurite.sas(container)}")
    lifetime = DataLandingZoneDestination.files_expire_after
    info = DestinationInfo(id="out", name="Out", type="data_landing_zone", files_expire_after=lifetime)
    return world.session(
        world.dataflow(destination=info),
        destination=DataLandingZoneDestination(sas_uri=f"{{file: {file}}}", allow_insecure=True),
    )


def test_s3_every_command_says_when_files_expire(world: World, zone: Session) -> None:
    before = datetime.now(UTC)
    (run,) = world.json("run", *RUN, session=zone)["runs"]
    (made,) = run["datasets"]
    expire = datetime.fromisoformat(made["files_expire_at"])
    assert before - timedelta(seconds=2) <= expire - timedelta(days=7) <= datetime.now(UTC)
    with world.instance() as instance:
        event = instance.get_latest_materialization_event(export_key(world.dataflow(), world.dataset("a")))
    assert event is not None
    assert event.asset_materialization is not None
    assert event.asset_materialization.metadata["files_expire_at"].value == expire.timestamp()

    (found,) = world.json("verify", *RUN, session=zone)["datasets"]
    assert found["files_expire_at"] == iso(expire)
    assert world.call("manifest", *RUN, "--json", session=zone).stdout.count(iso(expire)) == 1
    for command, said in (
        ("resend", "files of a are deleted by the destination from 20"),
        ("verify", "  deleted by the destination from 20"),
        ("manifest", "deleted from    20"),
    ):
        result = world.call(command, *RUN, session=zone)
        assert result.exit_code == 0, result.output
        assert said in result.stdout


def test_s3_what_is_gone_may_have_expired(world: World, zone: Session) -> None:
    world.json("run", *RUN, session=zone)
    store = zone.store(zone.dataflow("flow"))
    for entry in list(store.list("")):
        store.delete(entry.path)
    result = world.call("verify", *RUN, "--json", session=zone)
    assert result.exit_code == 1
    (found,) = json.loads(result.stdout)["datasets"]
    assert "is gone" in found["error"]
    assert "out deletes files 7 days after their delivery" in found["error"]
    assert found["files_expire_at"] is None


def test_other_destinations_keep_their_files(world: World) -> None:
    (run,) = world.json("run", *RUN)["runs"]
    assert [part["files_expire_at"] for part in run["datasets"]] == [None]
    assert "deleted" not in world.call("resend", *RUN).stdout + world.call("verify", *RUN).stdout
