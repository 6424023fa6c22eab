"""The command itself: its commands, its one global flag, and how errors leave it."""

import re
import traceback
from typing import Any

import click

from dataset_export import __version__
from dataset_export.cli.alerting import alerts
from dataset_export.cli.datasets import datasets
from dataset_export.cli.delivered import manifest, sweep
from dataset_export.cli.demo import demo
from dataset_export.cli.doctor import doctor, policy
from dataset_export.cli.importing import import_flow
from dataset_export.cli.listing import dataflows, preview
from dataset_export.cli.new import new
from dataset_export.cli.planning import plan
from dataset_export.cli.review import review
from dataset_export.cli.running import repair, resend, run
from dataset_export.cli.session import Session
from dataset_export.cli.usage import usage
from dataset_export.cli.verifying import verify
from dataset_export.errors import ExportError
from dataset_export.redaction import without_secrets

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it: 128 + SIGINT."""

EPILOG = """\b
Exit codes:
  0    done
  1    failed; one line on stderr says what and what to do
  2    the question is wrong: an unknown dataflow or option, an export time that is none
  3    of `review --exit-code`: something has changed since the dataflow ran last
  130  interrupted by Ctrl-C

\b
Environment:
  DAGSTER_HOME         the Dagster instance to record in (default: .dagster_home of the project)
  DATASET_EXPORT_DEFS  the folder of declarations (default: dataset_export/defs)

Commands with --json print one JSON document on stdout and nothing else; times in it are ISO-8601 in UTC. Progress and
notes go to stderr."""


class OneLine(click.ClickException):
    """An error as a person sees it: `error: …`, one line on stderr."""

    def __init__(self, message: str, exit_code: int) -> None:
        # Several findings in declarations come a line each.
        super().__init__(" ".join(re.sub(r"\n(?=\S+:\d+: )", "; ", message).split()))
        # click declares the code on the class and reads it from the instance.
        self.__dict__["exit_code"] = exit_code

    def show(self, file: Any = None) -> None:
        """Print it."""
        click.echo(f"error: {self.message}", file=file, err=True)


class Commands(click.Group):
    """A group whose commands end with the documented exit codes and never with a traceback, but for `--debug`."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command and turn what it raises into one line."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, BrokenPipeError):
            raise
        except (KeyboardInterrupt, click.Abort):
            _show_trace(ctx)
            raise OneLine("interrupted", INTERRUPTED) from None
        except ExportError as error:
            _show_trace(ctx)
            raise OneLine(str(error), error.exit_code) from error
        except Exception as error:
            _show_trace(ctx)
            hint = "this is a defect of dataset-export; --debug before the command shows where"
            raise OneLine(f"{type(error).__name__}: {without_secrets(str(error))} ({hint})", 1) from error


def _say_version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if not asked or ctx.resilient_parsing:
        return
    from dataset_export.encoding.ndjson_text import is_built

    click.echo(f"dataset-export, version {__version__}{'' if is_built() else ' (without the compiled NDJSON writer)'}")
    ctx.exit()


@click.group(cls=Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show tracebacks, and Dagster's own log lines.")
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_say_version,
    help="Show the version and exit.",
)
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """Deliver datasets of a data lake to other people's storage, with a manifest that proves it.

    Export times are written YYYYMMDDHHMM in UTC (or ISO-8601); `latest` is the newest one that is due.
    """
    session = ctx.ensure_object(Session)
    session.debug = debug
    ctx.call_on_close(session.close)


for command in (
    new,
    import_flow,
    datasets,
    dataflows,
    preview,
    review,
    plan,
    run,
    resend,
    repair,
    manifest,
    verify,
    sweep,
    usage,
    doctor,
    policy,
    alerts,
    demo,
):
    cli.add_command(command)


def main() -> None:
    """The entry point."""
    cli(prog_name="dataset-export")


def _show_trace(ctx: click.Context) -> None:
    if ctx.params.get("debug"):
        click.echo(without_secrets(traceback.format_exc()), err=True, nl=False)
