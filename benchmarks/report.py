"""RESULTS.md: a section for each benchmark, written anew by its last run and kept by the runs of the others."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")


def write_section(title: str, lines: Iterable[str]) -> None:
    """Put `lines` below the heading `title`, in place of what stood there, else at the end."""
    section = "\n".join([f"# {title}", "", *lines]).rstrip() + "\n"
    sections = [one for one in re.split(r"^(?=# )", RESULTS.read_text(), flags=re.MULTILINE) if one.strip()]
    places = [place for place, one in enumerate(sections) if one.partition("\n")[0] == f"# {title}"]
    if places:
        sections[places[0]] = section
    else:
        sections.append(section)
    RESULTS.write_text("\n".join(one.rstrip() + "\n" for one in sections))


def written_by(command: str) -> str:
    """The sentence that tells where a section comes from: `command` without `--write`."""
    return (
        f"Written by `{command} --write` on {datetime.now(UTC):%Y-%m-%d}; what is measured stands in README.md beside "
        "this file."
    )


def spread(seconds: Sequence[float]) -> str:
    """Seconds of several runs as a cell."""
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table."""
    return [
        f"| {' | '.join(headings)} |",
        f"|{' --- |' * len(headings)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
