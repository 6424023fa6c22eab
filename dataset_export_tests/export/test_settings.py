"""What is recorded of the declarations, and how two records are compared."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dataset_export.destinations.contract import address_of
from dataset_export.destinations.gcs import GCSDestination
from dataset_export.destinations.local import LocalStore
from dataset_export.destinations.s3 import S3Destination
from dataset_export.export.dataflow import Dataflow
from dataset_export.export.file_names import FileNameTemplate
from dataset_export.export.folder import FolderTemplate
from dataset_export.export.schedule import Frequency, make_schedule
from dataset_export.export.settings import Difference, differences, schedule_in, settings_of
from dataset_export.export.table_catalog import TableCatalog
from dataset_export.secret_refs import SecretRef
from dataset_export_tests.export.exporter import START, Exporter


@pytest.fixture
def flow(tmp_path: Path) -> Dataflow:
    exporter = Exporter(LocalStore(tmp_path), "/lake/orders")
    secret = {"AWS_SECRET_ACCESS_KEY": SecretRef(env="LAKE_SECRET"), "AWS_REGION": "eu"}
    return replace(exporter.dataflow, datasets=(replace(exporter.dataset, storage_options=secret),))


def recorded(flow: Dataflow, address: str = "file:///out") -> dict[str, object]:
    """As it comes back from where it was kept."""
    return json.loads(json.dumps(settings_of(flow, flow.datasets[0], address)))


def test_what_is_recorded(flow: Dataflow) -> None:
    settings = recorded(flow)
    assert settings["datasets"] == ["orders"]
    assert settings["dataset"]["uri"] == "/lake/orders"  # type: ignore[index]
    assert settings["schedule"] == {
        "frequency": "cron",
        "cron": "0 * * * *",
        "start": "2026-11-01T08:00:00+00:00",
        "end": None,
    }
    assert settings["destination"]["address"] == "file:///out"  # type: ignore[index]
    assert "AWS" not in json.dumps(settings)
    assert schedule_in(settings) == flow.schedule


@pytest.mark.parametrize(
    ("change", "key", "before", "after"),
    [
        ({"folder": FolderTemplate("x/%DATASET_ID%")}, "folder", "%DATASET_ID%/%EXPORT_TIME%", "x/%DATASET_ID%"),
        ({"file_name": FileNameTemplate("%DATASET_ID%")}, "file_name", "part", "%DATASET_ID%"),
        ({"enabled": False}, "enabled", True, False),
        (
            {"schedule": make_schedule(Frequency.CRON, START, cron="1 * * * *", end="never")},
            "schedule.cron",
            "0 * * * *",
            "1 * * * *",
        ),
    ],
    ids=["folder", "file_name", "enabled", "schedule"],
)
def test_a_change_is_found_by_its_key(
    flow: Dataflow, change: dict[str, object], key: str, before: object, after: object
) -> None:
    assert differences(recorded(flow), recorded(replace(flow, **change))) == [Difference(key, before, after)]  # type: ignore[arg-type]


def test_what_people_read_is_no_change(flow: Dataflow) -> None:
    told = replace(
        flow, description="other", owners=("team:x",), datasets=(replace(flow.datasets[0], description="y"),)
    )
    assert differences(recorded(flow), recorded(told)) == []


def test_a_key_that_only_one_version_records_is_no_change(flow: Dataflow) -> None:
    old, new = recorded(flow), recorded(flow)
    del old["folder"]
    new["later"] = {"a": 1}
    assert differences(old, new) == []
    assert differences({"columns": None}, {"columns": {"hash": ["x"]}}) == [
        Difference("columns", None, {"hash": ["x"]})
    ]


def test_two_servers_are_two_addresses() -> None:
    """Although both call the bucket by the same name."""
    stores = [
        S3Destination(bucket="b", endpoint_url=url).build_store()
        if kind == "s3"
        else GCSDestination(bucket="b", endpoint_url=url).build_store()
        for kind, url in (("s3", None), ("s3", "https://minio.example"), ("gcs", None), ("gcs", "https://gcs.example"))
    ]
    assert [address_of(store) for store in stores] == [
        "s3://b/",
        "s3://b/ on https://minio.example",
        "gs://b/",
        "gs://b/ on https://gcs.example",
    ]


def test_another_address_of_the_catalog_shows_and_its_options_do_not(flow: Dataflow) -> None:
    def at(uri: str | SecretRef, **options: str | SecretRef) -> dict[str, object]:
        catalog = TableCatalog("rest", "lake", "shop.orders", uri, options)
        dataset = replace(flow.datasets[0], format="iceberg", uri=catalog.address, catalog=catalog)
        return recorded(replace(flow, datasets=(dataset,)))

    before, after = at("https://one", token=SecretRef(env="TOKEN")), at("https://two", token=SecretRef(env="OTHER"))
    assert "TOKEN" not in json.dumps(before)
    assert differences(before, after) == [Difference("dataset.catalog.uri", "https://one", "https://two")]
    assert differences(before, at(SecretRef(env="CATALOG"))) == [
        Difference("dataset.catalog.uri", "https://one", SecretRef(env="CATALOG").as_text())
    ]
    of_before = {**before, "dataset": {k: v for k, v in before["dataset"].items() if k != "catalog"}}  # type: ignore[attr-defined]
    assert differences(of_before, after) == []
