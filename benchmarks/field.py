"""Who converts what, how often, and how much of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.contenders import CONTENDERS

OURS = "dataset_export"
FORMATS = {"parquet": "gzip parquet", "json": "NDJSON, gzip", "copy": "the same bytes"}
BARS = {
    ("parquet", "spark"): 15.0,
    ("parquet", "polars"): 3.0,
    ("json", "spark"): 7.0,
    ("json", "polars"): 4.0,
    ("copy", "read, hash, write"): 0.9,
}
"""How many times as fast as another ours has to be, by medians; polars makes gzip of level 6."""

PATIENT = {"duckdb": 2, "polars, two files at once": 2, "pyarrow": 1, "pandas": 1, "dlt": 1}
"""Rounds of those that no bar is about: they run in no more."""
SLOW = {"pyarrow": 2, "pandas": 1, "dlt": 1}
"""Files that these convert of all 8; their seconds are multiplied."""
SKIPPED = {
    ("pyarrow", "json"): "pyarrow writes no JSON",
    ("pandas", "events"): "pandas holds nested values as Python objects, and has no maps",
}
"""Contender with a format or an input that it is not measured with, and why."""


@dataclass(frozen=True)
class Entry:
    """One contender in one competition.

    Attributes:
        rounds: in which it runs.
        share: of the files that it converts, one in so many.
    """

    contender: str
    rounds: int
    share: int


def field(form: str, table: str, only: Iterable[str] | None, rounds: int, files: int) -> list[Entry]:
    """Those who convert the input `table` of so many `files` into `form`."""
    copying = form == "copy"
    return [
        Entry(name, min(rounds, PATIENT.get(name, rounds)), files // SLOW.get(name, files))
        for name in only or CONTENDERS
        if name == OURS or copying == (name == "read, hash, write")
        if not {(name, form), (name, table)} & SKIPPED.keys()
    ]
