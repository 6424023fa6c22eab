"""The running example and the files of the instance, as Dagster sees them."""

import os
import shutil
import subprocess
import sys
import warnings
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from dataset_export.components.catalog import Catalog, load_catalog
from dataset_export.components.project import DEFS_VARIABLE, load_definitions
from dataset_export.orchestration.names import DATAFLOW_TAG

ROOT = Path(__file__).parents[2]
EXPORT_TIMES = ["202611020200", "202611030200", "202611040200"]


@pytest.fixture(autouse=True)
def no_other_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DEFS_VARIABLE, raising=False)


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return load_definitions()


@pytest.fixture
def catalog() -> Catalog:
    return load_catalog()


def test_assets(definitions: dg.Definitions) -> None:
    specs = {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}
    found = {key: (spec.group_name, sorted(spec.kinds), list(spec.owners)) for key, spec in specs.items()}
    lake = {name: ("lake", ["delta", "record"], ["team:operations"]) for name in ("flights", "weather", "planes")}
    lake |= {name: ("lake", ["delta", "record"], ["team:operations"]) for name in ("airlines", "airports")}
    lake["web_events"] = ("lake", ["delta", "time_series"], ["team:web"])
    assert found == {
        **{f"lake/{name}": spec for name, spec in lake.items()},
        **{
            f"flights_to_partner/{name}": ("flights_to_partner", ["local", "parquet"], ["team:operations"])
            for name in ("flights", "weather", "planes")
        },
        "events_to_archive/web_events": ("events_to_archive", ["json", "local"], ["team:web"]),
    }
    for key, spec in specs.items():
        upstream = [dep.asset_key.to_user_string() for dep in spec.deps]
        assert upstream == ([] if key.startswith("lake/") else [f"lake/{key.split('/')[1]}"])


def test_partitions_are_the_export_times(definitions: dg.Definitions, catalog: Catalog) -> None:
    for dataflow in catalog.dataflows.values():
        for dataset in dataflow.datasets:
            spec = definitions.resolve_asset_graph().get(dg.AssetKey([dataflow.name, dataset.id]))
            assert spec.partitions_def is not None
            with dg.partition_loading_context(effective_dt=datetime(2027, 1, 1, tzinfo=UTC)):
                assert spec.partitions_def.get_partition_keys() == EXPORT_TIMES


def test_checks_jobs_and_schedules(definitions: dg.Definitions) -> None:
    repository = definitions.get_repository_def()
    checks = {key.to_user_string() for key in repository.asset_graph.asset_check_keys}
    assert checks == {
        f"{asset}:{check}"
        for asset in (
            "flights_to_partner/flights",
            "flights_to_partner/weather",
            "flights_to_partner/planes",
            "events_to_archive/web_events",
        )
        for check in ("files_match_manifest", "records_reconcile", "schema_unchanged")
    }
    for name in ("flights_to_partner", "events_to_archive"):
        assert repository.get_job(name).tags[DATAFLOW_TAG] == name
        schedule = repository.get_schedule_def(f"{name}_schedule")
        assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 2 * * *", "UTC")
        assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert repository.get_schedule_def("sweep_leftovers_schedule").default_status is dg.DefaultScheduleStatus.RUNNING
    assert len(repository.schedule_defs) == 3
    assert set(repository.get_top_level_resources()) == {"partner_folder", "archive_folder"}


def test_catalog_and_definitions_agree(catalog: Catalog) -> None:
    assert catalog.definitions is catalog.definitions
    exports = {f"{flow.name}/{dataset.id}" for flow in catalog.dataflows.values() for dataset in flow.datasets}
    lake = {f"lake/{dataset}" for dataset in catalog.datasets}
    assert {key.to_user_string() for key in catalog.definitions.resolve_all_asset_keys()} == exports | lake
    job = catalog.definitions.resolve_job_def("flights_to_partner")
    assert job.partitions_def is not None


def test_folders_of_the_example(catalog: Catalog) -> None:
    export_time = datetime(2026, 11, 2, 2, tzinfo=UTC)
    [events] = catalog.dataflows["events_to_archive"].datasets
    folder = catalog.dataflows["events_to_archive"].render_folder(events, export_time)
    assert folder == "Acme Airways/prod/web_events/2026/11/02-0200"
    assert events.uri == str(ROOT / ".demo/lake/web_events")
    assert catalog.store("partner_folder").uri("") == (ROOT / ".demo/delivery/partner").as_uri()


def test_load_is_quiet() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _ = load_catalog().definitions
        load_definitions()
    ours = [str(one.message) for one in caught if issubclass(one.category, dg.BetaWarning | dg.PreviewWarning)]
    assert ours == []


def test_load_imports_no_heavy_library() -> None:
    """Every run of Dagster loads the code location again."""
    heavy = [
        "boto3",
        "botocore",
        "deltalake",
        "obstore",
        "pyarrow",
        "pandas",
        "polars",
        "isal",
        "matplotlib",
        "paramiko",
        "rich",
        "apprise",
    ]
    code = (
        "import sys; from dataset_export.definitions import defs; defs(); "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_documentation_of_our_components_is_in_the_ui(definitions: dg.Definitions) -> None:
    metadata = definitions.get_repository_def().metadata
    [namespace] = metadata["plugin_component_types_json"].value
    assert namespace["name"] == "dataset_export"
    names = {one["name"].removeprefix("dataset_export.components.") for one in namespace["componentTypes"]}
    assert names == {"Organization", "Dataset", "Destination", "AlertChannel", "Dataflow"}


def test_dg_check_passes_and_names_what_is_wrong(tmp_path: Path) -> None:
    dg_command = [str(Path(sys.executable).with_name("dg")), "check", "defs"]
    done = subprocess.run(dg_command, cwd=ROOT, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "All definitions loaded successfully" in said
    assert "BetaWarning" not in said
    assert "PreviewWarning" not in said

    (tmp_path / "wrong").mkdir()
    wrong = tmp_path / "wrong/defs.yaml"
    wrong.write_text("type: dataset_export.components.Dataset\nattributes: {id: a, behavior: b, location: c}\n")
    validate = [sys.executable, "-m", "dagster", "definitions", "validate", "-m", "dataset_export.definitions"]
    environment = {**os.environ, DEFS_VARIABLE: str(tmp_path)}
    done = subprocess.run(validate, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "ConfigError: wrong/defs.yaml:2: behavior takes 'time_series' or 'record'" in said
    assert said.count("ConfigError: ") == 1
    assert "ValidationError" not in said


def test_instance_settings(tmp_path: Path) -> None:
    shutil.copy(ROOT / "dagster.yaml", tmp_path)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert not instance.telemetry_enabled
        assert not instance.nux_enabled
        assert instance.run_monitoring_enabled
        assert instance.run_retries_enabled
        assert instance.run_retries_max_retries == 2
        assert not instance.run_retries_retry_on_asset_or_op_failure
        limits = instance.get_concurrency_config().run_queue_config
        assert limits is not None
        assert limits.tag_concurrency_limits == [
            {"key": DATAFLOW_TAG, "value": {"applyLimitPerUniqueValue": True}, "limit": 1}
        ]
        assert instance.get_settings("schedules")["use_threads"]
        assert instance.get_settings("sensors")["use_threads"]


def test_workspace_names_the_location_as_dg_does() -> None:
    import tomllib

    import yaml

    [entry] = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["dg"]["project"]
    assert entry["python_module"]["location_name"] == project["code_location_name"]
    assert entry["python_module"]["module_name"] == project["code_location_target_module"]
