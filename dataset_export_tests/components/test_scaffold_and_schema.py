"""What helps a person to write declarations: templates, and the schema for editors."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from dagster.components.component_scaffolding import scaffold_object

from dataset_export.components.catalog import load_catalog
from dataset_export.components.schema import COMPONENTS, defs_schema, schema_text
from dataset_export.errors import ConfigError
from dataset_export_tests.components.projects import BASE, write_project

ROOT = Path(__file__).parents[2]
DEFS = ROOT / "dataset_export/defs"
KINDS = {
    "Organization": None,
    "Dataset": "datasets",
    "Destination": "destinations",
    "AlertChannel": "channels",
    "Dataflow": "dataflows",
}


def scaffold(component: str, path: Path, *, append: bool = False) -> None:
    scaffold_object(path, f"dataset_export.components.{component}", None, "yaml", path.parent.parent, append)


@pytest.mark.parametrize("component", KINDS)
def test_scaffolded_file_is_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, component: str) -> None:
    defs = write_project(tmp_path, base=BASE)
    monkeypatch.setenv("DATASET_EXPORT_DEFS", str(defs))
    scaffold(component, defs / "my-new.one")
    catalog = load_catalog()
    kind = KINDS[component]
    assert catalog.organization.name == "my_new_one" if kind is None else "my_new_one" in getattr(catalog, kind)
    assert "#" in (defs / "my-new.one/defs.yaml").read_text()


def test_scaffolding_into_a_project_with_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    defs = write_project(tmp_path, wrong="type: nonsense\n")
    monkeypatch.setenv("DATASET_EXPORT_DEFS", str(defs))
    scaffold("Dataflow", defs / "flow")
    assert "destination: my_destination" in (defs / "flow/defs.yaml").read_text()


def test_scaffolding_appends_a_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    defs = write_project(tmp_path, base=BASE)
    monkeypatch.setenv("DATASET_EXPORT_DEFS", str(defs))
    scaffold("Dataset", defs / "base/defs.yaml", append=True)
    assert set(load_catalog().datasets) == {"flights", "events", "base"}


def test_scaffolding_in_python_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="declared in YAML"):
        scaffold_object(tmp_path / "x", "dataset_export.components.Dataset", None, "python", tmp_path)


def test_dg_scaffolds(tmp_path: Path) -> None:
    """By dg itself, in a project of someone else's, with the schema at its place."""
    (tmp_path / "pyproject.toml").write_text(
        '[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "lab"\n'
        'registry_modules = ["dataset_export.components"]\n'
    )
    defs = write_project(tmp_path / "lab", base=BASE)
    for package in (tmp_path / "lab", defs):
        (package / "__init__.py").touch()
    (tmp_path / "docs/schema").mkdir(parents=True)
    (tmp_path / "docs/schema/defs.schema.json").write_text(schema_text())
    command = [str(Path(sys.executable).with_name("dg")), "scaffold", "defs", "dataset_export.components.Dataflow"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [*command, "nightly"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    text = (defs / "nightly/defs.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=../../../docs/schema/defs.schema.json\n")
    assert set(load_catalog(defs_folder=defs).dataflows) == {"nightly"}


def test_schema_is_current() -> None:
    written = (ROOT / "docs/schema/defs.schema.json").read_text()
    assert written == schema_text(), (
        "write it anew: python -m dataset_export.components.schema > docs/schema/defs.schema.json"
    )


def test_every_field_has_a_description() -> None:
    for name, model in defs_schema()["$defs"].items():
        for field, schema in model.get("properties", {}).items():
            assert schema.get("description"), f"{name}.{field}"


def test_schema_takes_the_example_and_its_references_lead_to_it() -> None:
    validator = jsonschema.Draft7Validator(defs_schema())
    documents = 0
    for file in DEFS.rglob("defs.yaml"):
        first = file.read_text().splitlines()[0]
        reference = first.removeprefix("# yaml-language-server: $schema=")
        assert (file.parent / reference).resolve() == ROOT / "docs/schema/defs.schema.json"
        for document in yaml.load_all(file.read_text(), Loader=yaml.BaseLoader):
            documents += 1
            assert list(validator.iter_errors(_typed(document))) == []
    assert documents == 11


@pytest.mark.parametrize(
    "attributes",
    [
        {"id": "a", "type": "ftp", "folder": "x"},
        {"id": "a", "type": "local", "folder": "x", "bucket": "b"},
        {"id": "a", "type": "amazon_s3", "bucket": "b", "secret_access_key": "literal"},
        {"id": "a", "type": "local", "folder": "x", "compression": "lzo"},
    ],
)
def test_schema_refuses(attributes: dict[str, Any]) -> None:
    document = {"type": "dataset_export.components.Destination", "attributes": attributes}
    assert not jsonschema.Draft7Validator(defs_schema()).is_valid(document)


def test_dagster_shows_the_schema_of_each_component() -> None:
    for component in COMPONENTS:
        model = component.get_model_cls()
        assert model.model_json_schema() == component.attributes_model.model_json_schema()


def _typed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _typed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_typed(inner) for inner in value]
    return int(value) if str(value).isdigit() else value
