"""A destination inside Dagster: as an IO manager and as a resource."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dataset_export.destinations.contract import Staged, Store
from dataset_export.destinations.io_manager import MANIFEST_PATH_KEY
from dataset_export.destinations.local import LocalDestination, LocalStore
from dataset_export.errors import ConfigError, IntegrityError, NotFound, UsageError

DAYS = dg.StaticPartitionsDefinition(["202611010800", "202611020800"])


class Delivery:
    """Publishes one staged file and writes a manifest."""

    def __init__(self, staged: Staged, manifest: bytes) -> None:
        self.staged = staged
        self.manifest = manifest

    def deliver(self, store: Store) -> Mapping[str, Any]:
        store.publish(self.staged)
        path = f"{self.staged.path}.manifest.json"
        store.put(path, self.manifest)
        return {MANIFEST_PATH_KEY: dg.MetadataValue.text(path), "bytes": self.staged.bytes}


def make_export(manifest: bytes | None = None) -> dg.AssetsDefinition:
    @dg.asset(partitions_def=DAYS, io_manager_key="lab", required_resource_keys={"lab"})
    def export(context: dg.AssetExecutionContext) -> Delivery:
        with context.resources.lab.store().stage(context.partition_key) as upload:
            upload.write(b"rows")
        return Delivery(upload.staged, manifest or json.dumps({"export": context.partition_key}).encode())

    return export


@pytest.fixture
def instance() -> Any:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def reader_of(seen: list[object], *, partitions_def: Any = DAYS) -> dg.AssetsDefinition:
    @dg.asset(partitions_def=partitions_def)
    def reader(export) -> None:
        seen.append(export)

    return reader


def run(instance: Any, folder: Path, assets: list[Any], key: str | None = "202611010800", **kwargs: Any) -> Any:
    resources = {"lab": LocalDestination(folder=str(folder))}
    return dg.materialize(assets, instance=instance, resources=resources, partition_key=key, **kwargs)


def test_p3_output_delivers_itself_and_its_metadata_is_recorded(instance: Any, tmp_path: Path) -> None:
    export = make_export()
    result = run(instance, tmp_path, [export])
    [event] = result.asset_materializations_for_node("export")
    assert event.metadata[MANIFEST_PATH_KEY].value == "202611010800.manifest.json"
    assert event.metadata["bytes"].value == 4
    assert [one.path for one in LocalStore(tmp_path).list("")] == ["202611010800", "202611010800.manifest.json"]


def test_manifest_is_loaded_for_its_partition(instance: Any, tmp_path: Path) -> None:
    export, seen = make_export(), list[object]()
    for key in DAYS.get_partition_keys():
        run(instance, tmp_path, [export], key)
    run(instance, tmp_path, [export, reader_of(seen)], selection=["reader"])
    assert seen == [{"export": "202611010800"}]


def test_manifest_is_loaded_in_the_same_run(instance: Any, tmp_path: Path) -> None:
    seen = list[object]()
    run(instance, tmp_path, [make_export(), reader_of(seen)])
    assert seen == [{"export": "202611010800"}]


def test_never_materialized(instance: Any, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"export at 202611010800 was never materialized"):
        run(instance, tmp_path, [make_export(), reader_of([])], selection=["reader"])


def test_several_partitions_are_refused(instance: Any, tmp_path: Path) -> None:
    export = make_export()
    for key in DAYS.get_partition_keys():
        run(instance, tmp_path, [export], key)
    reader = reader_of([], partitions_def=None)
    with pytest.raises(UsageError, match="2 export times"):
        run(instance, tmp_path, [export, reader], None, selection=["reader"])


def test_manifest_is_gone(instance: Any, tmp_path: Path) -> None:
    export = make_export()
    run(instance, tmp_path, [export])
    LocalStore(tmp_path).delete("202611010800.manifest.json")
    with pytest.raises(NotFound, match="resend"):
        run(instance, tmp_path, [export, reader_of([])], selection=["reader"])


@pytest.mark.parametrize("manifest", [b"{", b"[]", b"\xff"])
def test_manifest_is_no_json_object(instance: Any, tmp_path: Path, manifest: bytes) -> None:
    with pytest.raises(IntegrityError, match=r"202611010800\.manifest\.json is not"):
        run(instance, tmp_path, [make_export(manifest), reader_of([])])


def test_materialization_without_a_manifest(instance: Any, tmp_path: Path) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization("export", partition="202611010800"))
    with pytest.raises(NotFound, match="records no 'manifest_path'"):
        run(instance, tmp_path, [make_export(), reader_of([])], selection=["reader"])


@pytest.mark.parametrize("value", [None, "rows", {"deliver": 1}])
def test_anything_else_is_refused(instance: Any, tmp_path: Path, value: object) -> None:
    @dg.asset(io_manager_key="lab")
    def wrong() -> Any:
        return value

    with pytest.raises(TypeError, match=rf"the asset wrong returned {type(value).__name__}.*deliver\(store\)"):
        run(instance, tmp_path, [wrong], None)
    assert list(tmp_path.iterdir()) == []


def test_failed_delivery_materializes_nothing(instance: Any, tmp_path: Path) -> None:
    (tmp_path / "202611010800").write_bytes(b"theirs")
    result = run(instance, tmp_path, [make_export()], raise_on_error=False)
    assert not result.success
    assert result.get_asset_materialization_events() == []


def test_fields_take_the_name_of_an_environment_variable(
    instance: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_FOLDER", str(tmp_path / "named"))
    resources = {"lab": LocalDestination(folder=dg.EnvVar("LAB_FOLDER"))}
    dg.materialize([make_export()], instance=instance, resources=resources, partition_key="202611010800")
    assert (tmp_path / "named" / "202611010800").read_bytes() == b"rows"


def test_store_is_built_once(tmp_path: Path) -> None:
    destination = LocalDestination(folder=str(tmp_path))
    assert destination.store() is destination.store()
    with pytest.raises(ConfigError):
        destination.store().open("../x")
