"""Questions to a person in the terminal: asked until the answer is one, with what is wrong said in a line."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import click

from dataset_export.errors import ExportError, UsageError

Answer = TypeVar("Answer")

ALL = "all"


def ask(question: str, read: Callable[[str], Answer], *, default: str | None = None, flag: str) -> Answer:
    """Ask until `read` takes the answer.

    Args:
        question: without the colon.
        read: makes an answer of a text; an ExportError that it raises is shown, and the question asked again.
        default: the answer of an empty line.
        flag: the option that answers the question, for those who cannot be asked.

    Raises:
        UsageError: when nobody is there to answer.
    """
    while True:
        try:
            text: str = click.prompt(question, default=default, show_default=bool(default), err=True)
        except click.Abort:
            raise _nobody(question, f"{flag}, or --yes for what is asked with a default") from None
        try:
            return read(text.strip())
        except ExportError as error:
            click.echo(f"  {error}", err=True)


def ask_one(question: str, choices: Mapping[str, str], *, default: str | None = None, flag: str) -> str:
    """Let one of several be chosen, by its number or its key; `choices` are keys with what is shown of them."""
    _show(choices)
    return ask(question, lambda text: _chosen(text, list(choices)), default=default, flag=flag)


def ask_several(question: str, choices: Mapping[str, str], *, default: str | None = None, flag: str) -> list[str]:
    """Let some be chosen, with commas or spaces between them, or `all`."""
    keys = list(choices)
    _show(choices)

    def read(text: str) -> list[str]:
        if text == ALL:
            return keys
        chosen = list(dict.fromkeys(_chosen(part, keys) for part in text.replace(",", " ").split()))
        if not chosen:
            raise UsageError("none is chosen; give at least one")
        return chosen

    return ask(f"{question} (numbers or names, or {ALL})", read, default=default, flag=flag)


def confirmed(question: str) -> bool:
    """Ask for yes or no; yes is the default. Raises UsageError when nobody is there to answer."""
    try:
        return click.confirm(question, default=True, err=True)
    except click.Abort:
        raise _nobody(question, "--yes") from None


def heading(text: str) -> None:
    """Begin a step."""
    click.echo(f"\n{click.style(text, bold=True)}", err=True)


def _nobody(question: str, option: str) -> Exception:
    """Why a question has no answer: somebody pressed Ctrl-C, or nobody is there."""
    if sys.stdin.isatty():
        return click.Abort()
    click.echo(err=True)
    return UsageError(f"nobody answers '{question}'; give {option}")


def _show(choices: Mapping[str, str]) -> None:
    width = max(map(len, choices))
    for number, (key, shown) in enumerate(choices.items(), 1):
        click.echo(f"  {number:>2}  {key:<{width}}  {shown}".rstrip(), err=True)


def _chosen(text: str, keys: Sequence[str]) -> str:
    if text in keys:
        return text
    if text.isdigit() and 1 <= int(text) <= len(keys):
        return keys[int(text) - 1]
    raise UsageError(f"{text!r} is none of them; give a number from 1 to {len(keys)}, or a name")
