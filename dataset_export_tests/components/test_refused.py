"""The corpus of bad configurations (`refused/`): each is refused with file, line, what is wrong and the way out."""

from pathlib import Path

import click.testing
import pytest

from dataset_export.cli.main import cli
from dataset_export.cli.session import Session
from dataset_export.components.catalog import load_catalog
from dataset_export.components.project import load_definitions
from dataset_export.errors import ConfigError
from dataset_export_tests.components.projects import BASE, write_project
from dataset_export_tests.components.refused import FOLDER, Case, cases

SECRET = "hunter2-hunter2"  # wherever it stands in a case, it is never repeated

CASES = cases()


def refused(case: Case, folder: Path) -> str:
    """The message for a case, less its file and line, which have to be right."""
    defs = write_project(folder, base=BASE)
    case.write(defs)
    with pytest.raises(ConfigError) as caught:
        load_catalog(defs_folder=defs)
    message = str(caught.value)
    place = f"{defs}/{case.at}:{case.line}: "
    assert message.startswith(place), f"expected {place}"
    return message.removeprefix(place)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_refused_with_file_line_and_the_way_out(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_SECRET", SECRET)
    message = refused(case, tmp_path)
    assert case.says
    for part in case.says:
        assert part in message
    assert "\n" not in message, "one finding, one sentence"
    assert SECRET not in message
    assert "Error" not in message


def test_the_corpus_is_large() -> None:
    assert len(CASES) >= 200
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.yaml")), ids=lambda file: file.stem)
def test_dagster_gets_the_same_sentence(file: Path, tmp_path: Path) -> None:
    case = next(case for case in CASES if case.name.startswith(f"{file.stem}: "))
    message = refused(case, tmp_path)
    with pytest.raises(ConfigError) as caught:
        load_definitions(defs_folder=tmp_path / "defs")
    assert str(caught.value).endswith(message)


def test_the_command_says_it_in_one_line_without_a_traceback(tmp_path: Path) -> None:
    case = next(case for case in CASES if case.name == "yaml: a key twice")
    message = refused(case, tmp_path)
    environment = {"DATASET_EXPORT_DEFS": str(tmp_path / "defs")}
    done = click.testing.CliRunner().invoke(cli, ["dataflows"], env=environment, obj=Session())
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == f"error: {tmp_path}/defs/wrong/defs.yaml:{case.line}: {message}\n"


def test_what_is_right_is_let_pass(tmp_path: Path) -> None:
    """Anchors, merges, other YAML beside declarations, text with a byte order mark: all that is meant as it stands."""
    defs = write_project(
        tmp_path,
        base=BASE,
        tables="""
            type: dataset_export.components.Dataset
            attributes:
              <<: &lake {behavior: record, storage_options: {AWS_REGION: eu}}
              id: ships
              location: "lake/ships"
            ---
            type: dataset_export.components.Dataset
            attributes: {id: "2024", behavior: record, location: lake/2024, owners: &who ["team:ops"]}
        """,
    )
    (defs / "tables" / "notes.yaml").write_text("type: note\ntype: twice\n")
    (defs / "marked").mkdir()
    marked = "\ufefftype: dataset_export.components.Dataset\nattributes: {id: x, behavior: record, location: lake/x}\n"
    (defs / "marked" / "defs.yml").write_text(marked, encoding="utf-8")
    assert set(load_catalog(defs_folder=defs).datasets) == {"flights", "events", "ships", "2024", "x"}
