"""How the command starts and how errors leave it."""

import subprocess
import sys

from click.testing import CliRunner

from dataset_export.cli.main import cli
from dataset_export.cli.session import Session
from dataset_export.errors import ConfigError, ExportError, TransientError, UsageError
from dataset_export_tests.cli.world import World, at

HEAVY = ["dagster", "pyarrow", "boto3", "deltalake", "rich", "jsonschema"]


def session_that_raises(error: BaseException) -> Session:
    def load() -> None:
        raise error

    return Session(load_catalog=load)  # type: ignore[arg-type]


def test_help_loads_nothing_heavy_and_says_the_exit_codes() -> None:
    code = (
        "import sys; from dataset_export.cli.main import cli; cli(['--help'], standalone_mode=False); "
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines()[-1] == "[]"
    assert "0    done" in shown.stdout
    assert "2    the question is wrong" in shown.stdout


def test_an_error_is_one_line_and_has_its_exit_code() -> None:
    cases: list[tuple[ExportError, int]] = [
        (ConfigError("no\nbucket"), 1),
        (TransientError("gone"), 1),
        (UsageError("no such"), 2),
    ]
    for error, code in cases:
        result = CliRunner().invoke(cli, ["dataflows"], obj=session_that_raises(error))
        assert result.exit_code == code
        assert result.stderr == f"error: {' '.join(str(error).split())}\n"
        assert result.stdout == ""


def test_a_defect_is_one_line_too_and_debug_shows_where() -> None:
    session = session_that_raises(ZeroDivisionError("oops"))
    quiet = CliRunner().invoke(cli, ["dataflows"], obj=session)
    assert quiet.exit_code == 1
    assert quiet.stderr.startswith("error: ZeroDivisionError: oops (")
    assert len(quiet.stderr.splitlines()) == 1
    loud = CliRunner().invoke(cli, ["--debug", "dataflows"], obj=session)
    assert "Traceback" in loud.stderr
    assert "in load" in loud.stderr


def test_ctrl_c_ends_with_130() -> None:
    result = CliRunner().invoke(cli, ["dataflows"], obj=session_that_raises(KeyboardInterrupt()))
    assert (result.exit_code, result.stderr) == (130, "error: interrupted\n")


def test_unknown_command_and_missing_option_are_usage_errors(world: World) -> None:
    assert world.call("exports").exit_code == 2
    assert world.call("run", "flow").exit_code == 2
    assert world.call("run", "flow", "--export-time", at(0), "--what").exit_code == 2
