"""`doctor` and `policy`: rows, exit codes, and the document."""

import json
import os
from pathlib import Path

import pytest

from dataset_export.cli.session import Session
from dataset_export.components.catalog import load_catalog
from dataset_export.destinations.data_landing_zone import DataLandingZoneDestination
from dataset_export.destinations.local import LocalDestination
from dataset_export.destinations.policy import Operation
from dataset_export.destinations.s3 import S3Destination
from dataset_export_tests.cli.world import World, small_world
from dataset_export_tests.components.projects import BASE, write_project
from dataset_export_tests.servers.weed import ADMIN, READ_ONLY, REGION, Credentials, Weed


def on_weed(world: World, weed: Weed, bucket: str, credentials: Credentials) -> Session:
    destination = S3Destination(
        bucket=bucket,
        folder="team/exports",
        region_name=REGION,
        endpoint_url=weed.endpoint,
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        allow_insecure=True,
    )
    return world.session(destination=destination)


def test_doctor_of_all_destinations(world: World) -> None:
    document = world.json("doctor")
    assert document["healthy"]
    (one,) = document["destinations"]
    assert (one["destination"], one["healthy"], one["left"]) == ("out", True, [])
    assert [row["operation"] for row in one["rows"]] == [str(operation) for operation in Operation]
    assert one["files_expire_after_seconds"] is None
    shown = world.call("doctor", "out")
    assert shown.exit_code == 0
    assert "first answer after" in shown.stdout
    assert world.visible() == []


@pytest.mark.parametrize(
    ("is_built", "said"), [(True, "NDJSON is written by the compiled writer\n"), (False, "arrow-rs, more slowly")]
)
def test_doctor_says_who_writes_ndjson(
    world: World, monkeypatch: pytest.MonkeyPatch, is_built: bool, said: str
) -> None:
    monkeypatch.setattr("dataset_export.cli.doctor.is_built", lambda: is_built)
    assert said in world.call("doctor").stdout
    assert world.json("doctor")["has_compiled_writer"] is is_built


def test_doctor_on_a_server(world: World, weed: Weed, bucket: str) -> None:
    healthy = world.call("doctor", "out", session=on_weed(world, weed, bucket, ADMIN))
    assert healthy.exit_code == 0, healthy.output
    assert weed.client().list_objects_v2(Bucket=bucket).get("Contents", []) == []
    refused = world.call("doctor", "out", "--json", session=on_weed(world, weed, bucket, READ_ONLY))
    assert refused.exit_code == 1
    (one,) = json.loads(refused.stdout)["destinations"]
    staged = next(row for row in one["rows"] if row["operation"] == "stage")
    assert staged["outcome"] == "failed"
    assert "s3:PutObject" in staged["permissions"]
    assert len(refused.stderr.splitlines()) == 1
    table = world.call("doctor", "out", session=on_weed(world, weed, bucket, READ_ONLY)).stdout
    assert "s3:DeleteObject" in table


def test_doctor_reports_a_wrong_key_and_a_missing_bucket_as_rows(world: World, weed: Weed, bucket: str) -> None:
    wrong = Credentials(ADMIN.access_key, "marked-wrong-secret")
    for session in (on_weed(world, weed, bucket, wrong), on_weed(world, weed, "no-such-bucket", ADMIN)):
        result = world.call("doctor", "out", "--json", session=session)
        assert result.exit_code == 1
        assert json.loads(result.stdout)["destinations"][0]["rows"][0]["outcome"] == "failed"
        assert "marked-wrong-secret" not in result.output
        assert "Traceback" not in result.output


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_doctor_of_a_folder_that_is_read_only(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "read-only"
    folder.mkdir(mode=0o500)
    session = world.session(destination=LocalDestination(folder=str(folder)))
    result = world.call("doctor", "out", "--json", session=session)
    assert result.exit_code == 1
    outcomes = {row["operation"]: row["outcome"] for row in json.loads(result.stdout)["destinations"][0]["rows"]}
    assert outcomes["stage"] == "failed"


def test_doctor_says_when_files_expire(world: World) -> None:
    zone = DataLandingZoneDestination(sas_uri="https://127.0.0.1:1/zone?sv=2024-11-04&sig=marked&sp=rwl")
    result = world.call("doctor", "out", "--json", session=world.session(destination=zone))
    assert result.exit_code == 1
    assert json.loads(result.stdout)["destinations"][0]["files_expire_after_seconds"] == 7 * 86_400
    assert "marked" not in result.output


def test_an_unknown_destination_is_a_wrong_question(tmp_path: Path) -> None:
    defs = write_project(tmp_path / "project", base=BASE)
    session = Session(load_catalog=lambda: load_catalog(tmp_path / "project", defs))
    for command in ("doctor", "policy"):
        result = small_world(tmp_path).call(command, "nowhere", session=session)
        assert result.exit_code == 2
        assert result.stderr == "error: there is no destination 'nowhere'; declared are partner\n"
    shown = small_world(tmp_path / "other").call("doctor", "partner", session=session)
    assert shown.exit_code == 0, shown.output


def test_policy_is_the_document_and_what_it_is_for(world: World, weed: Weed, bucket: str) -> None:
    session = on_weed(world, weed, bucket, ADMIN)
    document = world.json("policy", "out", session=session)
    assert json.loads(document["document"])["Version"] == "2012-10-17"
    assert set(document["permissions"]) == {str(operation) for operation in Operation}
    shown = world.call("policy", "out", session=session)
    assert document["document"] in shown.stdout
    assert ADMIN.secret_key not in shown.output
