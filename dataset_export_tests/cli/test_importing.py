"""`import-flow`: what Adobe's API holds of dataflows becomes declarations that load; no secret comes along."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import click.testing
import pytest

from dataset_export.cli.main import cli
from dataset_export.cli.session import Session
from dataset_export.components.catalog import Catalog, load_catalog
from dataset_export.errors import ConfigError
from dataset_export.export.dataflow import Behavior, ExportMode
from dataset_export.export.schedule import Frequency
from dataset_export_tests.components.imported.originals import (
    DAILY,
    EVENTS,
    LOYALTY,
    SECRET,
    SIGN_INS,
    base,
    flow,
    landing_zone,
    read_back,
    source,
    target,
)

LOCATIONS = ("--location", f"{LOYALTY}=lake/loyalty", "--location", f"{EVENTS}=s3://lake/events")
FULL = "DAILY_FULL_EXPORT"
INCREMENTAL = "FIRST_FULL_THEN_INCREMENTAL"


class Place:
    """A folder with files of the original, and the command on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[Path] = []

    def give(self, *objects: Any) -> None:
        for one in objects:
            file = self.folder / f"{len(self.files)}.json"
            file.write_text(json.dumps(one))
            self.files.append(file)

    def call(self, *args: str) -> click.testing.Result:
        result = click.testing.CliRunner().invoke(cli, ["import-flow", *map(str, self.files), *args], obj=Session())
        assert SECRET not in result.output
        assert SECRET not in result.stderr
        return result

    def written(self, *args: str) -> dict[str, Any]:
        """What the command says of what it wrote into the folder `defs`."""
        result = self.call("-o", str(self.folder / "defs"), "--json", *args)
        assert result.exit_code == 0, result.output
        for path in (self.folder / "defs").rglob("*.yaml"):
            assert SECRET not in path.read_text()
        return json.loads(result.stdout)

    def loaded(self, *args: str) -> Catalog:
        self.written(*args)
        return load_catalog(self.folder, self.folder / "defs")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def notes(said: dict[str, Any]) -> str:
    return "\n".join(one["note"] for one in said["notes"])


# What is found where


def test_four_files_of_what_was_sent(place: Place) -> None:
    """In any order, and without ids."""
    place.give(flow(), target(), base(), source())
    said = place.written(*LOCATIONS)
    assert (said["destinations"], said["dataflows"]) == (["partner_exports"], ["nightly_to_partner"])
    assert (said["datasets"], said["left"]) == ([LOYALTY, EVENTS], [])
    catalog = load_catalog(place.folder, place.folder / "defs")
    made = catalog.dataflows["nightly_to_partner"]
    assert [dataset.id for dataset in made.datasets] == [LOYALTY, EVENTS]
    assert made.destination.id == "partner_exports"
    assert (made.schedule.cron, made.mode, made.description) == (
        "0 7 * * *",
        ExportMode.INCREMENTAL,
        "What the partner gets.",
    )
    assert made.schedule.end is not None
    assert made.schedule.end.isoformat() == "2027-05-06T07:00:00+00:00"
    assert catalog.datasets[LOYALTY].name == "Loyalty members"


def test_a_listing_and_a_list_of_what_was_read_back(place: Place) -> None:
    place.give(
        {"items": [read_back(flow(), "flow-1")], "_page": {"orderby": "-createdAt", "count": 1}, "_links": {}},
        [read_back(source(), "source-1"), read_back(target(), "target-1")],
        {"items": [read_back(base(), "base-1"), read_back(base("role"), "base-2")]},
        {
            "items": [
                {
                    "id": LOYALTY,
                    "name": "Loyalty",
                    "description": "Members.",
                    "schemaRef": {"id": "x"},
                    "basePath": "abfss://x",
                }
            ],
            "pageInfo": {"start": 0, "end": 1, "total": 1, "hasNext": False},
        },
    )
    catalog = place.loaded(*LOCATIONS)
    assert catalog.datasets[LOYALTY].description == "Members."
    assert not catalog.io_manager("partner_exports").role_arn  # type: ignore[attr-defined]


def test_two_flows_share_a_destination_and_a_dataset(place: Place) -> None:
    second = flow(name="Second", sourceConnectionIds=["source-2"])
    place.give(
        [
            read_back(flow(), "f1"),
            read_back(second, "f2"),
            read_back(target(), "target-1"),
            read_back(base(), "base-1"),
        ],
        [read_back(source(), "source-1"), read_back(source((EVENTS, "Events")), "source-2")],
    )
    catalog = place.loaded(*LOCATIONS)
    assert set(catalog.dataflows) == {"nightly_to_partner", "second"}
    assert set(catalog.destinations) == {"partner_exports"}


def test_names_that_would_be_the_same_are_told_apart(place: Place) -> None:
    one, other = flow(name="2024 Export!"), flow(name="2024: export", targetConnectionIds=["target-2"])
    place.give(
        [read_back(one, "f1"), read_back(other, "f2"), read_back(source(), "source-1"), read_back(base(), "base-1")],
        [read_back(target(), "target-1"), read_back(target(params={"path": "b"}), "target-2")],
    )
    said = place.written(*LOCATIONS)
    assert said["dataflows"] == ["x_2024_export", "x_2024_export_2"]
    assert said["destinations"] == ["partner_exports", "partner_exports_2"]


# Destinations


@pytest.mark.parametrize("sign_in", SIGN_INS)
def test_every_way_to_sign_in_by_reference(place: Place, sign_in: str) -> None:
    of_type = SIGN_INS[sign_in][0]
    place.give(flow(of_type), target(of_type), base(sign_in), source())
    said = place.written(*LOCATIONS)
    file = place.folder / "defs/destinations/defs.yaml"
    assert f"  type: {of_type}\n" in file.read_text()
    for one in said["variables"]:
        assert f"{{env: {one['variable']}}}" in file.read_text()
    if of_type == "sftp":
        assert [one["where"] for one in said["left"]] == ["partner_exports.host_key_fingerprint"]
        with pytest.raises(ConfigError, match="host_key_fingerprint is left to be written; write SHA256:"):
            load_catalog(place.folder, place.folder / "defs")
        written = f"host_key_fingerprint: SHA256:{'A' * 43}\n  format"
        file.write_text(re.sub(r"host_key_fingerprint: .*?\n  format", written, file.read_text(), flags=re.DOTALL))
    catalog = load_catalog(place.folder, place.folder / "defs")
    assert catalog.destinations["partner_exports"].type == of_type


def test_s3_by_keys_and_by_role(place: Place) -> None:
    place.give(flow(), target(), base(), source())
    text = place.call().stdout
    assert "  bucket: partner-exports\n  folder: acme/exports\n" in text
    assert "  access_key_id: {env: PARTNER_EXPORTS_ACCESS_KEY_ID}\n" in text
    place.files[2].write_text(json.dumps(base("role")))
    text = place.call().stdout
    assert "  role_arn: arn:aws:iam::800873819705:role/destinations-role-customer\n" in text
    assert "# the role trusts the account of the original" in text
    assert "access_key_id" not in text


def test_a_data_lake_and_an_sftp_server(place: Place) -> None:
    place.give(flow("adls_gen2"), target("adls_gen2"), base("service principal"), source())
    text = place.call().stdout
    assert "  account: partneraccount\n  filesystem: exports\n  folder: acme\n" in text
    assert "  tenant_id: contoso.onmicrosoft.com\n" in text
    sftp = [flow("sftp"), target("sftp"), base("SSH key"), source()]
    for file, one in zip(place.files, sftp, strict=True):
        file.write_text(json.dumps(one))
    text = place.call().stdout
    assert "  host: sftp.example\n  port: 2222\n  username: acme\n  folder: /home/acme/in\n" in text
    assert "# the original keeps the private key in base64" in text


@pytest.mark.parametrize("with_base", [True, False])
def test_a_data_landing_zone_has_no_sign_in(place: Place, with_base: bool) -> None:
    place.give(
        flow("data_landing_zone"), target("data_landing_zone"), source(), *([landing_zone()] if with_base else [])
    )
    said = place.written(*LOCATIONS)
    assert [one["variable"] for one in said["variables"]] == ["PARTNER_EXPORTS_SAS_URI"]
    assert load_catalog(place.folder, place.folder / "defs").destinations["partner_exports"].type == "data_landing_zone"


@pytest.mark.parametrize(
    ("params", "form", "compression", "manifest"),
    [
        ({"datasetFileType": "PARQUET", "compression": "NONE"}, "parquet", "none", True),
        ({"datasetFileType": "JSON", "compression": "GZIP", "includeFileManifest": False}, "json", "gzip", False),
        ({"datasetFileType": "JSON", "compression": "NONE", "includeFileManifest": True}, "json", "gzip", True),
    ],
)
def test_format_compression_and_manifest(
    place: Place, params: dict[str, Any], form: str, compression: str, manifest: bool
) -> None:
    place.give(flow(), target(params=params), base(), source())
    info = place.loaded(*LOCATIONS).destinations["partner_exports"]
    assert (str(info.encoding.format), str(info.encoding.compression), info.manifest) == (form, compression, manifest)


@pytest.mark.parametrize("form", ["armored", "base64 of armored", "base64"])
def test_a_public_key_that_can_encrypt_comes_along(place: Place, form: str) -> None:
    from pysequoia import Tsk

    cert = Tsk.generate(user_id="Partner").extract_certificate()
    armored = str(cert)
    written = {
        "armored": armored,
        "base64 of armored": base64.b64encode(armored.encode()).decode(),
        "base64": base64.b64encode(bytes(cert)).decode(),
    }[form]
    specs = {"specName": "Encryption spec", "params": {"encryptionAlgo": "PGPGPG", "publicKey": written}}
    place.give(flow(), target(), base(encryptionSpecs=specs), source())
    info = place.loaded(*LOCATIONS).destinations["partner_exports"]
    assert [one.lower() for one in info.encrypted_for] == [cert.fingerprint.lower()]


@pytest.mark.parametrize("key", ["", "bm8ga2V5", "-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----"])
def test_a_public_key_that_cannot_is_left_to_be_written(place: Place, key: str) -> None:
    specs = {"specName": "Encryption spec", "params": {"encryptionAlgo": "PGPGPG", "publicKey": key}}
    place.give(flow(), target(), base(encryptionSpecs=specs), source())
    said = place.written(*LOCATIONS)
    assert [one["where"] for one in said["left"]] == ["partner_exports.pgp_public_key"]
    with pytest.raises(ConfigError, match="pgp_public_key is left to be written"):
        load_catalog(place.folder, place.folder / "defs")


# Schedules


@pytest.mark.parametrize(
    ("mode", "unit", "interval", "frequency", "cron", "ours"),
    [
        (FULL, "day", 0, Frequency.ONCE, "0 7 2 11 *", ExportMode.FULL),
        (FULL, "day", 1, Frequency.DAILY, "0 7 * * *", ExportMode.FULL),
        (INCREMENTAL, "day", 1, Frequency.DAILY, "0 7 * * *", ExportMode.INCREMENTAL),
        (INCREMENTAL, "hour", 3, Frequency.HOURLY, "0 1-23/3 * * *", ExportMode.INCREMENTAL),
        (INCREMENTAL, "hour", 6, Frequency.HOURLY, "0 1-23/6 * * *", ExportMode.INCREMENTAL),
        (INCREMENTAL, "hour", 8, Frequency.HOURLY, "0 7-23/8 * * *", ExportMode.INCREMENTAL),
        (INCREMENTAL, "hour", 9, Frequency.CRON, "0 1,7,16 * * *", ExportMode.INCREMENTAL),
        (INCREMENTAL, "hour", 12, Frequency.HOURLY, "0 7-23/12 * * *", ExportMode.INCREMENTAL),
        (INCREMENTAL, "hour", 2, Frequency.CRON, "0 1,3,5,7,9,11,13,15,17,19,21,23 * * *", ExportMode.INCREMENTAL),
    ],
)
def test_every_schedule(
    place: Place, mode: str, unit: str, interval: int, frequency: Frequency, cron: str, ours: ExportMode
) -> None:
    schedule = {"exportMode": mode, "timeUnit": unit, "interval": interval, "startTime": 1793602800}
    place.give(flow(schedule=schedule), target(), base(), source())
    made = place.loaded(*LOCATIONS).dataflows["nightly_to_partner"]
    assert (made.schedule.frequency, made.schedule.cron, made.mode) == (frequency, cron, ours)


def test_nine_hours_are_named_as_inexact(place: Place) -> None:
    place.give(flow(schedule={**DAILY, "timeUnit": "hour", "interval": 9}), target(), base(), source())
    assert "one of the intervals is 6 hours" in notes(place.written(*LOCATIONS))


@pytest.mark.parametrize(
    ("created", "start", "end"),
    [
        (1720000000000, 1720051200, "2025-09-01"),
        (1733000000000, 1733043600, "2025-06-01"),
        (None, 1793602800, "2027-05-02"),
    ],
)
def test_s5_without_an_end_the_default_holds(place: Place, created: int | None, start: int, end: str) -> None:
    more = {"createdAt": created} if created is not None else {}
    place.give(flow(schedule={**DAILY, "startTime": start}, **more), target(), base(), source())
    said = place.written(*LOCATIONS)
    made = load_catalog(place.folder, place.folder / "defs").dataflows["nightly_to_partner"]
    assert made.schedule.end is not None
    assert made.schedule.end.date().isoformat() == end
    assert "there is no endTime" in notes(said)


def test_a_flow_that_is_disabled_stays_so(place: Place) -> None:
    place.give(flow(state="disabled"), target(), base(), source())
    assert not place.loaded(*LOCATIONS).dataflows["nightly_to_partner"].enabled


# Folders


@pytest.mark.parametrize(
    ("key", "template", "ours"),
    [
        ("foldernameTemplate", "%DESTINATION%_%DATASET_ID%_%DATETIME(YYYYMMdd_HHmmss)%", None),
        (
            "folderNameTemplate",
            "%DESTINATION_NAME%/%DATASET_NAME%/%EXPORT_TIME%",
            "%DESTINATION%/%DATASET_NAME%/%EXPORT_TIME%",
        ),
        ("foldernameTemplate", "/", None),
        (
            "foldernameTemplate",
            "%SANDBOX_NAME%/%ORGANIZATION_NAME%/%DESTINATION_INSTANCE_NAME%-%DESTINATION_INSTANCE_ID%",
            None,
        ),
    ],
)
def test_folder_templates(place: Place, key: str, template: str, ours: str | None) -> None:
    place.give(flow(schedule={**DAILY, key: template}), target(), base(), source())
    assert place.loaded(*LOCATIONS).dataflows["nightly_to_partner"].folder.text == (ours or template)


def test_a_folder_that_has_no_equivalent_is_left_to_be_written(place: Place) -> None:
    place.give(flow(schedule={**DAILY, "foldernameTemplate": "%SEGMENT_NAME%/x"}), target(), base(), source())
    said = place.written(*LOCATIONS)
    assert said["left"] == [{"where": "nightly_to_partner.folder", "what": "the folder; it was %SEGMENT_NAME%/x"}]
    assert "there is no macro %SEGMENT_NAME%" in notes(said)


def test_macros_of_audiences_in_a_path_are_left_to_be_written(place: Place) -> None:
    place.give(flow(), target(params={"path": "a/%SEGMENT_ID%"}), base(), source())
    assert [one["where"] for one in place.written(*LOCATIONS)["left"]] == ["partner_exports.folder"]


# Datasets


def test_a_dataset_without_its_location_does_not_load(place: Place) -> None:
    place.give(flow(), target(), base(), source())
    said = place.written("--location", f"{LOYALTY}=lake/loyalty", "--time-series", f"{EVENTS}=timestamp")
    assert [one["where"] for one in said["left"]] == [f"{EVENTS}.location"]
    with pytest.raises(
        ConfigError, match=r"datasets/defs\.yaml:\d+: location is left to be written; write where the table is"
    ):
        load_catalog(place.folder, place.folder / "defs")
    file = place.folder / "defs/datasets/defs.yaml"
    file.write_text(re.sub(r"location: 'TODO.*", "location: lake/events", file.read_text()))
    catalog = load_catalog(place.folder, place.folder / "defs")
    assert catalog.datasets[EVENTS].behavior is Behavior.TIME_SERIES
    assert catalog.datasets[LOYALTY].behavior is Behavior.RECORD


# What is said


def test_what_has_no_equivalent_is_named_without_its_value(place: Place) -> None:
    strange = base()
    strange["auth"]["params"]["sessionToken"] = SECRET
    place.give(
        flow(transformations=[{"name": "x"}], labels=[SECRET], sandboxName="dev"),
        target(params={"marketingActions": SECRET}),
        strange,
        source(),
    )
    said = notes(place.written(*LOCATIONS))
    for key in ("sessionToken", "marketingActions", "labels", "transformations", "sandbox dev"):
        assert key in said


def test_printed_without_a_folder(place: Place) -> None:
    place.give(flow(), target(), base(), source())
    result = place.call(*LOCATIONS)
    assert result.stdout.count("---\n") == 3
    assert result.stdout.startswith("# ")
    assert "note: PARTNER_EXPORTS_ACCESS_KEY_ID has to hold the access_key_id of partner_exports" in result.stderr
    assert sorted(path.name for path in place.folder.iterdir()) == ["0.json", "1.json", "2.json", "3.json"]


def test_nothing_is_overwritten(place: Place) -> None:
    place.give(flow(), target(), base(), source())
    place.written()
    before = {path: path.read_text() for path in (place.folder / "defs").rglob("*.yaml")}
    again = place.call("-o", str(place.folder / "defs"), *LOCATIONS)
    assert (again.exit_code, "is there already" in again.stderr) == (2, True)
    assert {path: path.read_text() for path in (place.folder / "defs").rglob("*.yaml")} == before


@pytest.mark.parametrize(
    ("objects", "says"),
    [
        ([flow(), target(), source()], "names the base connection base-1, and none is in these files"),
        ([target(), base(), source()], "there is no flow in these files"),
        ([flow(), base(), source()], "names the target connection target-1, and none is in these files"),
        ([flow(), target(), base()], "names the source connection source-1, and none is in these files"),
        ([flow(), target(), base(), read_back(source(), "other")], "1 are in these files, and none has this id"),
        ([flow(sourceConnectionIds=[]), target(), base(), source()], "has to be a list with one id"),
        ([flow(scheduleParams=None), target(), base(), source()], "has no scheduleParams"),
        ([flow(schedule={**DAILY, "exportMode": "x"}), target(), base(), source()], "exportMode is 'x'; it is one of"),
        ([flow(schedule={**DAILY, "interval": 2}), target(), base(), source()], "is no schedule of the original"),
        ([flow(schedule={**DAILY, "startTime": "soon"}), target(), base(), source()], "epoch seconds are expected"),
        (
            [flow(schedule={**DAILY, "startTime": 1793602800000}), target(), base(), source()],
            "in milliseconds it seems",
        ),
        ([flow(), target(params={"datasetFileType": "CSV"}), base(), source()], "datasetFileType is 'CSV'"),
        (
            [
                flow(flowSpec={"id": "none"}),
                target(connectionSpec={"id": "none"}),
                base(connectionSpec={"id": "none"}),
                source(),
            ],
            "the connection specification none is none of a destination that takes datasets",
        ),
        ([flow(), target(), base(), source(), {"id": "1", "etag": "2"}], "is the answer to a creation"),
        ([flow(), target(), base(), source(), {"hello": 1}], "this is no connection, source connection"),
        ([flow(), target(), base(), source(), "text"], "an object is expected here"),
        ([flow(), target(), base(), {**source(), "params": {"datasets": [{}]}}], "a list of objects with a dataSetId"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_imported_is_refused_in_one_line(place: Place, objects: list[Any], says: str) -> None:
    place.give(*objects)
    result = place.call("-o", str(place.folder / "defs"))
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1), result.output
    assert says in result.stderr
    assert not (place.folder / "defs").exists()


def test_files_that_are_no_json(place: Place) -> None:
    place.give(flow())
    place.files[0].write_text('{"a": 1,\n}')
    assert "0.json:2: this is not JSON: " in place.call().stderr
    place.files[0].write_bytes(b"\xff\xfe\x00")
    assert place.call().exit_code == 1
    place.files[0].unlink()
    assert "cannot be read: No such file" in place.call().stderr


@pytest.mark.parametrize("args", [("--location", "x"), ("--location", "=y"), ("--time-series", "x=")])
def test_options_that_are_no_pairs(place: Place, args: tuple[str, ...]) -> None:
    place.give(flow(), target(), base(), source())
    assert place.call(*args).exit_code == 2
    assert "there is no dataset 'x' in these flows" in place.call("--location", "x=y").stderr
