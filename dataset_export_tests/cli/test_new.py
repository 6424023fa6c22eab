"""`new`: a dataflow by question and answer, by options, and in a real terminal."""

import os
import pty
import select
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import click.testing
import pytest

from dataset_export.cli.main import cli
from dataset_export.cli.session import Session
from dataset_export.components.catalog import Catalog, load_catalog
from dataset_export.export.dataflow import ExportMode
from dataset_export.export.schedule import Frequency
from dataset_export_tests.components.projects import write_project

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)

LAKE = """
    type: dataset_export.components.Dataset
    attributes: {id: flights, name: Flights, behavior: record, location: lake/flights}
    ---
    type: dataset_export.components.Dataset
    attributes: {id: clicks, name: Clicks, behavior: time_series, timestamp_column: at, location: lake/clicks}
"""
PLACES = """
    type: dataset_export.components.Destination
    attributes: {id: partner, name: Partner, type: local, folder: out}
    ---
    type: dataset_export.components.Destination
    attributes: {id: archive, name: Archive, type: local, folder: archive, format: json, compression: gzip}
"""
LICENSED = """
    type: dataset_export.components.Organization
    attributes:
      name: Acme
      licenses: [{application: real_time_cdp, tier: prime, profiles: 1000}]
      access:
        roles:
          ops: {members: ["team:ops"], grants: [{permissions: [view_destinations, view_datasets, manage_and_activate_dataset_destinations]}]}
    ---
    type: dataset_export.components.Dataset
    attributes: {id: profiles, behavior: record, location: lake/p, kind: profile, origin: web_sdk, profile_enabled: true}
"""

ALL = (
    "--destination",
    "partner",
    "--dataset",
    "flights",
    "--frequency",
    "daily",
    "--start",
    "2026-11-02",
    "--at",
    "03:00",
)


@pytest.fixture
def defs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = write_project(tmp_path, lake=LAKE, places=PLACES)
    monkeypatch.setenv("DATASET_EXPORT_DEFS", str(folder))
    return folder


def new(*args: str, answers: str = "") -> click.testing.Result:
    return click.testing.CliRunner().invoke(cli, ["new", *args], input=answers, obj=Session(clock=lambda: NOW))


def declared(defs: Path) -> Catalog:
    return load_catalog(defs_folder=defs)


def test_all_by_options(defs: Path) -> None:
    done = new(
        "nightly",
        *ALL,
        "--end",
        "never",
        "--mode",
        "full",
        "--folder",
        "x/%DATASET_ID%",
        "--format",
        "parquet/zstd",
        "--description",
        "Every night.",
    )
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"wrote {defs}/dataflows/nightly/defs.yaml; ")
    flow = declared(defs).dataflows["nightly"]
    assert [dataset.id for dataset in flow.datasets] == ["flights"]
    assert (flow.schedule.cron, flow.schedule.start, flow.schedule.end) == (
        "0 3 * * *",
        datetime(2026, 11, 2, tzinfo=UTC),
        None,
    )
    assert (flow.mode, flow.folder.text, str(flow.encoding.compression)) == (ExportMode.FULL, "x/%DATASET_ID%", "zstd")
    assert flow.description == "Every night."


def test_yes_takes_the_defaults_for_the_rest(defs: Path) -> None:
    done = new("--yes", "--destination", "archive", "--dataset", "all")
    assert done.exit_code == 0, done.output
    flow = declared(defs).dataflows["datasets_to_archive"]
    assert [dataset.id for dataset in flow.datasets] == ["clicks", "flights"]
    assert (flow.schedule.frequency, flow.schedule.cron) == (Frequency.DAILY, "0 2 * * *")
    assert (flow.schedule.start, flow.schedule.end) == (
        datetime(2026, 11, 2, tzinfo=UTC),
        datetime(2027, 5, 2, tzinfo=UTC),
    )
    assert str(flow.encoding.format) == "json", "as the destination says"
    assert "format" not in (defs / "dataflows/datasets_to_archive/defs.yaml").read_text()


def test_a_dry_run_prints_the_declaration_and_writes_nothing(defs: Path) -> None:
    done = new("nightly", *ALL, "--yes", "--dry-run")
    assert done.exit_code == 0
    assert done.stdout.startswith("type: dataset_export.components.Dataflow\nattributes:\n  name: nightly\n")
    assert '    at: "03:00"\n' in done.stdout
    assert not (defs / "dataflows").exists()
    (defs / "printed").mkdir()
    (defs / "printed/defs.yaml").write_text(done.stdout)
    assert "nightly" in declared(defs).dataflows


def test_by_question_and_answer(defs: Path) -> None:
    """In the original's order: destination, datasets, schedule, mode, folder, format, review."""
    answers = [
        "partner", "1, flights", "hourly", "2026-11-02T06:00", "8", "22:30", "never",
        "1", "exports/%DATASET_NAME%", "exports/%DATASET_NAME%/%EXPORT_TIME%", "", "json/gzip", "both", "", "y",
    ]  # fmt: skip
    done = new(answers="\n".join(answers) + "\n")
    assert done.exit_code == 0, done.output
    flow = declared(defs).dataflows["both"]
    assert [dataset.id for dataset in flow.datasets] == ["clicks", "flights"]
    assert flow.schedule.cron == "30 6-23/8 * * *"
    assert flow.folder.text == "exports/%DATASET_NAME%/%EXPORT_TIME%"
    steps = ["Destination", "Datasets", "Schedule (UTC)", "Mode", "Folder", "Format", "Name", "Review"]
    positions = [done.stderr.index(f"\n{step}\n") for step in steps]
    assert positions == sorted(positions)
    assert done.stderr.count("exportTime=202611020630/") == 2 * 3, "the tree by default, as chosen, and in the review"


def test_a_wrong_answer_is_explained_and_asked_again(defs: Path) -> None:
    answers = [
        "nobody", "9", "2", "planes", "2", "weekly", "daily", "soon", "2026-11-02", "2pm", "02:00", "2026-10-01", "never",
        "", "%X%", "../x", "", "", "my-flow", "my_flow", "", "y",
    ]  # fmt: skip
    done = new(answers="\n".join(answers) + "\n")
    assert done.exit_code == 0, done.output
    for said in (
        "  'nobody' is none of them; give a number from 1 to 2, or a name",
        "  '9' is none of them",
        "  'planes' is none of them",
        "  'soon' is no time; write 2026-11-02 or 2026-11-02T08:00 (UTC)",
        "  at '2pm' is not a time of day",
        "is not after start",
        "  folder template '%X%': there is no macro %X%",
        "  folder template '../x': ",
        "  the dataflow name 'my-flow': it starts with a letter",
    ):
        assert said in done.stderr, said
    assert "my_flow" in declared(defs).dataflows


def test_nobody_at_the_end_writes_nothing(defs: Path) -> None:
    done = new("nightly", *ALL, answers="\n" * 5)
    assert done.exit_code == 2
    assert "nobody answers 'write " in done.stderr
    assert not (defs / "dataflows").exists()


def test_no_at_the_end_writes_nothing(defs: Path) -> None:
    done = new("nightly", *ALL, answers="\n" * 5 + "n\n")
    assert done.exit_code == 0
    assert "note: nothing was written" in done.stderr
    assert not (defs / "dataflows").exists()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--yes", "--dataset", "flights"), "give --destination"),
        (("--yes", "--destination", "partner"), "give --dataset, or --dataset all"),
        (("--yes", "--destination", "partnr", "--dataset", "flights"), "did you mean 'partner'?"),
        (("--yes", "--destination", "partner", "--dataset", "flight"), "did you mean 'flights'?"),
        ((*ALL, "--yes", "--cron", "0 2 * * *"), "frequency daily takes no cron"),
        ((*ALL, "--yes", "--end", "2026-10-01"), "is not after start"),
        ((*ALL, "--yes", "--folder", "%X%"), "error: folder template '%X%': there is no macro %X%"),
        ((*ALL, "--yes", "my-flow"), "it starts with a letter"),
        ((*ALL, "--yes", "--output", "../elsewhere"), "the folder of declarations; name one that is"),
        ((*ALL, "--yes", "--output", "lake"), "is there already"),
        ((*ALL, "--yes", "--output", "lake/below"), "has a defs.yaml of its own"),
        ((*ALL, "--yes", "--owner", "A B"), "'A B' is no owner"),
        (("--destination", "partner"), "nobody answers 'datasets (numbers or names, or all)'; give --dataset"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_one_line(defs: Path, args: tuple[str, ...], says: str) -> None:
    done = new(*args)
    assert done.exit_code in {1, 2}
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert says in last
    assert sorted(path.name for path in defs.iterdir()) == ["lake", "places"]


def test_nothing_is_overwritten(defs: Path) -> None:
    assert new("nightly", *ALL, "--yes").exit_code == 0
    before = (defs / "dataflows/nightly/defs.yaml").read_text()
    again = new("nightly", *ALL, "--yes", "--mode", "full")
    assert (again.exit_code, (defs / "dataflows/nightly/defs.yaml").read_text()) == (2, before)
    assert "there is a dataflow 'nightly' already" in again.stderr


def test_what_does_not_load_does_not_stay(defs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else breaks the declarations in the meantime."""
    from dataset_export.components import candidate

    def broken(*_: object) -> None:
        (defs / "lake/defs.yaml").write_text("type: nonsense\n")

    monkeypatch.setattr(candidate, "schema_line", lambda *_: broken() or "")
    done = new("nightly", *ALL, "--yes")
    assert done.exit_code == 1
    assert "there is no component 'nonsense'" in done.stderr
    assert not (defs / "dataflows").exists()


def test_s1_s2_only_datasets_that_may_be_exported_and_owners_that_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    defs = write_project(tmp_path, lake=LAKE, places=PLACES, acme=LICENSED)
    monkeypatch.setenv("DATASET_EXPORT_DEFS", str(defs))
    refused = new("--yes", "--destination", "partner", "--dataset", "flights")
    assert (refused.exit_code, "dataset 'flights' may not be exported: " in refused.stderr) == (2, True)
    answers = ["partner", "all", *[""] * 5, "team:web", "team:ops", *[""] * 5]
    done = new(answers="\n".join(answers) + "\n")
    assert done.exit_code == 0, done.output
    assert "(2 more may not be exported" in done.stderr
    assert "the owner team:web is a member of no role" in done.stderr
    flow = declared(defs).dataflows["profiles_to_partner"]
    assert (flow.owner, [dataset.id for dataset in flow.datasets]) == ("team:ops", ["profiles"])


def test_in_a_real_terminal(defs: Path) -> None:
    """A pseudo terminal, answered as a person would: each answer once its question stands there."""
    dialogue = [
        ("destination: ", "2"),
        ("or all): ", "flights"),
        ("frequency [daily]: ", ""),
        ("start [", "2026-11-02"),
        ("at [02:00]: ", "2am"),
        ("at [02:00]: ", "04:00"),
        ("end (a date, a time or never) [", "never"),
        ("mode [incremental]: ", ""),
        ("folder (Enter takes it) [", ""),
        ("format [parquet/gzip]: ", "6"),
        ("name of the dataflow [flights_to_partner]: ", ""),
        ("description: ", "Zwölf"),
        ("? [Y/n]: ", ""),
    ]
    code = "from dataset_export.cli.main import main; main()"
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code, "new"],
        stdin=end,
        stdout=end,
        stderr=end,
        close_fds=True,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "200"},
    )
    os.close(end)
    heard = ""
    try:
        for question, answer in dialogue:
            heard = _read_until(terminal, question)
            assert question in heard, heard
            os.write(terminal, f"{answer}\n".encode())
        rest = _read_until(terminal, None)
        assert process.wait(30) == 0, rest
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
    assert "wrote " in rest
    assert "\x1b[1mReview" in heard, "steps stand out"
    flow = declared(defs).dataflows["flights_to_partner"]
    assert (flow.schedule.cron, str(flow.encoding.format), flow.description) == ("0 4 * * *", "json", "Zwölf")


def _read_until(terminal: int, wanted: str | None) -> str:
    """What the terminal shows until `wanted` stands there, or until it ends."""
    shown, deadline = "", time.monotonic() + 60
    while (wanted is None or wanted not in shown) and time.monotonic() < deadline:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            data = os.read(terminal, 65536)
        except OSError:  # Linux says so when the other end is closed
            break
        if not data:
            break
        shown += data.decode(errors="replace")
    return shown
