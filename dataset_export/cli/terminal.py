"""How things are printed: tables and trees on stdout, notes and progress on stderr, JSON alone on stdout."""

import json
import logging
import os
import sys
import warnings
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.tree import Tree

PIPE_WIDTH = 4096
"""Columns where no terminal sets a width: lines must not be folded for the program that reads them."""


def print_json(value: object) -> None:
    """Print one JSON document on stdout."""
    click.echo(json.dumps(value, indent=1, ensure_ascii=False))


def note(text: str) -> None:
    """Tell something beside the result, on stderr."""
    click.echo(text, err=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Print a table on stdout.

    Args:
        columns: headings.
        rows: texts, one for each column.
        right: columns of numbers, aligned to the right.
    """
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    _console().print(table)


def print_tree(root: str, leaves: Iterable[tuple[str, str]], *, err: bool = False) -> None:
    """Print paths as a tree on stdout.

    Args:
        root: what the paths are below.
        leaves: path, and what to say of it.
        err: on stderr instead, beside questions.
    """
    from rich.tree import Tree

    top = Tree(root)
    folders: dict[str, Tree] = {"": top}
    for path, remark in leaves:
        folder, _, name = path.rpartition("/")
        _folder(folders, folder).add(f"{name}  {remark}" if remark else name)
    _console(err=err).print(top)


def size(count: int) -> str:
    """A number of bytes for people, in powers of 1000."""
    from rich.filesize import decimal

    return decimal(count)


def iso(moment: datetime) -> str:
    """An aware datetime as JSON documents have it: `2026-11-01T08:00:00Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def progress_console() -> "Console":
    """A console on stderr that stays the terminal's while Dagster redirects the process's streams into its logs."""
    from rich.console import Console

    stream: IO[str] = sys.stderr
    if _is_fd(stream, 2):
        stream = os.fdopen(os.dup(2), "w", encoding="utf-8", buffering=1)
    return Console(file=stream, markup=False, highlight=False, emoji=False)


def quiet_libraries(*, debug: bool) -> None:
    """Keep Dagster's own lines off the terminal: what matters of them is in the result, and all is in its UI."""
    if debug:
        return
    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")


def _console(*, err: bool = False) -> "Console":
    from rich.console import Console

    width = None if (sys.stderr if err else sys.stdout).isatty() else PIPE_WIDTH
    return Console(width=width, stderr=err, markup=False, highlight=False, emoji=False)


def _folder(folders: "dict[str, Tree]", path: str) -> "Tree":
    if path not in folders:
        parent, _, name = path.rpartition("/")
        folders[path] = _folder(folders, parent).add(f"{name}/")
    return folders[path]


def _is_fd(stream: Any, number: int) -> bool:
    try:
        return stream.fileno() == number
    except (OSError, ValueError, AttributeError):
        return False
