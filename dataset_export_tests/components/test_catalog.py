"""What is declared, as plain values."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from dataset_export.components.catalog import load_catalog
from dataset_export.components.destination import Destination
from dataset_export.components.project import DEFS_VARIABLE, load_definitions, project_tree
from dataset_export.destinations.s3 import S3Destination
from dataset_export.encoding.contract import Compression, Encoding, Format
from dataset_export.errors import ConfigError, UsageError
from dataset_export.export.columns import Columns
from dataset_export.export.dataflow import Behavior, ExportMode
from dataset_export.export.schema_change import OnSchemaChange
from dataset_export.secret_refs import SecretRef
from dataset_export_tests.components.projects import BASE, document, write_project

SECRET = "hunter2-hunter2"

FULL = document(
    "Dataflow",
    """
    name: flow
    datasets: [events, flights]
    destination: lab
    schedule: {frequency: hourly, start: "2026-11-02T01:00+02:00", at: "02:30", every_hours: 6, end: never}
    mode: full
    on_schema_change: fail
    columns:
      exclude: [email, home.street]
      hash: [customer]
      salt: {file: keys/salt}
      mask: {phone: null, name: "-"}
      datasets:
        flights: {include: [id, "`net.price`"], exclude: [id.part]}
    folder: "%ORGANIZATION_NAME%/%SANDBOX_NAME%/%DATASET_NAME%"
    file_name: "%DATASET_ID%_part"
    owners: ["team:web", "a@example.com"]
    description: all of it
    enabled: false
    """,
)

LAB = document(
    "Destination",
    """
    id: lab
    name: The lab
    type: amazon_s3
    bucket: lab
    folder: in/box
    region: eu-central-1
    endpoint_url: http://localhost:1
    allow_insecure: true
    access_key_id: {env: LAB_KEY_ID}
    secret_access_key: {file: keys/secret}
    format: json
    manifest_folder: "manifests/%DATASET_ID%"
    max_concurrent_exports: 2
    """,
)


def test_everything_that_is_written_arrives(tmp_path: Path) -> None:
    organization = document("Organization", "name: Acme\nsandbox: dev")
    catalog = load_catalog(defs_folder=write_project(tmp_path, base=BASE, flow=FULL, lab=LAB, who=organization))
    flow = catalog.dataflows["flow"]
    assert [dataset.id for dataset in flow.datasets] == ["events", "flights"]
    assert flow.datasets[0] is catalog.datasets["events"]
    assert flow.datasets[0].behavior is Behavior.TIME_SERIES
    assert flow.destination is catalog.destinations["lab"]
    assert flow.schedule.start == datetime(2026, 11, 1, 23, tzinfo=UTC)
    assert flow.schedule.cron == "30 2-23/6 * * *"
    assert flow.schedule.end is None
    assert flow.mode is ExportMode.FULL
    assert flow.on_schema_change is OnSchemaChange.FAIL
    assert flow.columns == {
        "events": Columns(
            exclude=("email", "home.street"),
            hash=("customer",),
            mask={"phone": None, "name": "-"},
            salt=SecretRef(file=str(tmp_path / "keys/salt")),
        ),
        "flights": Columns(include=("id", "`net.price`"), exclude=("id.part",)),
    }
    assert flow.encoding == Encoding(Format.JSON, Compression.GZIP)
    assert flow.owners == ("team:web", "a@example.com")
    assert not flow.enabled
    assert flow.destination.max_concurrent_exports == 2
    assert flow.render_folder(flow.datasets[1], flow.schedule.start) == "Acme/dev/flights"
    assert flow.render_manifest_folder(flow.datasets[1], flow.schedule.start) == "manifests/flights"
    assert flow.render_file_name(flow.datasets[1], flow.schedule.start) == "flights_part"


def test_relative_paths_start_at_the_project_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    defs = write_project(tmp_path, base=BASE)
    monkeypatch.chdir("/")
    catalog = load_catalog(defs_folder=defs)
    assert catalog.datasets["flights"].uri == str(tmp_path / "lake/flights")
    assert catalog.datasets["events"].uri == "s3://lake/events"
    assert catalog.store("partner").uri("") == (tmp_path / "out").as_uri()
    elsewhere = load_catalog(project_root=Path("/srv"), defs_folder=defs)
    assert elsewhere.datasets["flights"].uri == "/srv/lake/flights"


def test_project_root_is_the_nearest_dg_project(tmp_path: Path) -> None:
    defs = write_project(tmp_path / "package", base=BASE)
    (tmp_path / "pyproject.toml").write_text('[tool.dg]\ndirectory_type = "project"\n')
    assert project_tree(defs_folder=defs).project_root == tmp_path


def test_variable_points_to_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEFS_VARIABLE, str(write_project(tmp_path, base=BASE)))
    assert set(load_catalog().datasets) == {"flights", "events"}
    from dataset_export.definitions import defs

    keys = {spec.key.path[-1] for spec in defs().resolve_all_asset_specs()}
    assert keys == {"flights", "events"}


def test_templates_are_rendered_to_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKE", "s3://lake")
    monkeypatch.setenv("DAYS", "30")
    monkeypatch.setenv("ID", "2024")
    text = document(
        "Dataset",
        """
        id: "{{ env.ID }}"
        behavior: "{{ 'rec' }}ord"
        location: "{{ env.LAKE }}/flights"
        lookback_days: "{{ env('DAYS') }}"
        """,
    )
    dataset = load_catalog(defs_folder=write_project(tmp_path, one=text)).datasets["2024"]
    assert (dataset.uri, dataset.behavior, dataset.lookback_days) == ("s3://lake/flights", Behavior.RECORD, 30)


def test_storage_options_keep_references(tmp_path: Path) -> None:
    text = document(
        "Dataset",
        """
        id: a
        behavior: record
        location: s3://b/a
        storage_options:
          AWS_REGION: eu-central-1
          AWS_ALLOW_HTTP: true
          AWS_ACCESS_KEY_ID: AKIAEXAMPLE
          AWS_SECRET_ACCESS_KEY: {env: LAKE_SECRET}
          AWS_SESSION_TOKEN: {file: keys/token}
        """,
    )
    dataset = load_catalog(defs_folder=write_project(tmp_path, one=text)).datasets["a"]
    assert dataset.storage_options == {
        "AWS_REGION": "eu-central-1",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": SecretRef(env="LAKE_SECRET"),
        "AWS_SESSION_TOKEN": SecretRef(file=str(tmp_path / "keys/token")),
    }


@pytest.mark.parametrize(
    ("written", "encoding"),
    [
        ("", Encoding(Format.PARQUET, Compression.ZSTD)),
        ("format: json", Encoding(Format.JSON, Compression.GZIP)),
        ("compression: none", Encoding(Format.PARQUET, Compression.NONE)),
    ],
)
def test_encoding_is_the_destinations_unless_written(tmp_path: Path, written: str, encoding: Encoding) -> None:
    flow = (
        f"name: f\ndatasets: [flights]\ndestination: lab\nschedule: {{frequency: once, start: 2026-11-02}}\n{written}"
    )
    lab = document("Destination", "id: lab\ntype: local\nfolder: x\ncompression: zstd")
    defs = write_project(tmp_path, base=BASE, lab=lab, flow=document("Dataflow", flow))
    assert load_catalog(defs_folder=defs).dataflows["f"].encoding == encoding


@pytest.mark.parametrize(
    ("schedule", "mode", "is_mode"),
    [
        ('{frequency: daily, start: 2026-11-02, at: "02:00"}', "", ExportMode.INCREMENTAL),
        ("{frequency: once, start: 2026-11-02}", "mode: full", ExportMode.FULL),
        ('{frequency: daily, start: 2026-11-02, at: "02:00"}', "mode: full", ExportMode.FULL),
    ],
)
def test_s4_incremental_is_the_default_and_full_goes_with_once_and_with_a_schedule(
    tmp_path: Path, schedule: str, mode: str, is_mode: ExportMode
) -> None:
    flow = document("Dataflow", f"name: f\ndatasets: [flights]\ndestination: partner\nschedule: {schedule}\n{mode}")
    catalog = load_catalog(defs_folder=write_project(tmp_path, base=BASE, flow=flow))
    assert catalog.dataflows["f"].mode is is_mode


@pytest.mark.parametrize(("folder", "warned"), [("/", True), ("%EXPORT_TIME%", True), ("%DATASET_ID%", False)])
def test_a_folder_that_datasets_share_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, folder: str, warned: bool
) -> None:
    flow = document(
        "Dataflow",
        f"name: f\ndatasets: [flights, events]\ndestination: partner\nfolder: '{folder}'\n"
        "schedule: {frequency: once, start: 2026-11-02}",
    )
    defs = write_project(tmp_path, base=BASE, flow=flow)
    load_catalog(defs_folder=defs)
    said = [record.getMessage() for record in caplog.records if record.name == "dataset_export"]
    assert len(said) == warned
    if warned:
        assert said[0].startswith(f"{defs}/flow/defs.yaml:6: the datasets flights, events of dataflow f share a folder")


def test_secrets_are_read_for_the_store_and_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    defs = write_project(tmp_path, lab=LAB)
    catalog = load_catalog(defs_folder=defs)
    with pytest.raises(ConfigError, match=r"defs\.yaml:11: .*LAB_KEY_ID is not set"):
        catalog.store("lab")
    monkeypatch.setenv("LAB_KEY_ID", "AKIALAB")
    with pytest.raises(ConfigError, match=r"defs\.yaml:12: the secret file .*keys/secret cannot be read"):
        catalog.store("lab")
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/secret").write_text(SECRET + "\n")
    assert catalog.store("lab").uri("a/b") == "s3://lab/in/box/a/b"

    [lab] = project_tree(defs_folder=defs).get_all_components(of_type=Destination)
    assert isinstance(lab.io_manager, S3Destination)
    initialized: S3Destination = lab.io_manager.process_config_and_initialize()
    client = initialized._client()
    credentials = client._request_signer._credentials
    assert (credentials.access_key, credentials.secret_key) == ("AKIALAB", SECRET)

    repository = load_definitions(defs_folder=defs).get_repository_def()
    shown = repr(repository.get_top_level_resources()["lab"].config_schema.default_value)
    assert "LAB_KEY_ID" in shown
    assert f"{{file: {tmp_path}/keys/secret}}" in shown
    assert SECRET not in shown
    assert "AKIALAB" not in shown


def test_s3_a_data_landing_zone_deletes_its_files(tmp_path: Path) -> None:
    zone = document("Destination", "id: zone\ntype: data_landing_zone\nsas_uri: {env: ZONE}")
    destinations = load_catalog(defs_folder=write_project(tmp_path, base=BASE, zone=zone)).destinations
    lifetimes = {id_: destination.files_expire_after for id_, destination in destinations.items()}
    assert lifetimes == {"partner": None, "zone": timedelta(days=7)}


def test_unknown_destination() -> None:
    with pytest.raises(UsageError, match="no destination 'nope'; declared are archive_folder, partner_folder"):
        load_catalog().store("nope")


def test_python_files_beside_the_declarations_are_loaded(tmp_path: Path) -> None:
    defs = write_project(tmp_path, base=BASE)
    (defs / "more.py").write_text("import dagster as dg\n\n@dg.asset\ndef mine() -> None: ...\n")
    keys = load_definitions(defs_folder=defs).resolve_all_asset_keys()
    assert dg.AssetKey("mine") in keys
