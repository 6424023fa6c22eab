"""The lake of the simulation: tables that grow, are compacted, get columns, and know when each row came."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

TOO_OLD = timedelta(days=500)
OLD_ROWS = 0.1
MOST_ROWS = 40
BURST = 3_000
COMPACTING = 0.05
# Files are dated by the real clock, so to the moved one all of the log is older than Delta keeps it by default.
KEEP_THE_LOG = {"delta.logRetentionDuration": "interval 3650 days"}


@dataclass(frozen=True)
class Commit:
    """Rows that were added at a time, and the columns that they have."""

    at: datetime
    ids: range
    columns: tuple[str, ...]


@dataclass
class GrowingTable:
    """A Delta table of rows with ascending ids.

    Attributes:
        uri: its folder.
        is_events: whether its rows have a time.
        commits: those that added rows, oldest first.
        too_old: ids of rows that a time_series dataset leaves out.
        added_columns: how many were added since it was made.
    """

    uri: str
    is_events: bool
    commits: list[Commit] = field(default_factory=list[Commit])
    too_old: set[int] = field(default_factory=set[int])
    added_columns: int = 0

    def grow(self, now: datetime, dice: random.Random, rows: int | None = None) -> None:
        """Append some rows; now and then put the small files together, which adds none."""
        first = self.commits[-1].ids.stop if self.commits else 0
        ids = range(first, first + (rows or dice.randint(1, MOST_ROWS)))
        columns = {"id": pa.array(ids, pa.int64()), "note": [f"row {one} of {self.uri[-6:]}" for one in ids]}
        if self.is_events:
            old = {one for one in ids if dice.random() < OLD_ROWS}
            self.too_old |= old
            columns["happened"] = pa.array(
                [now - TOO_OLD if one in old else now - timedelta(minutes=5) for one in ids], pa.timestamp("us", "UTC")
            )
        for number in range(self.added_columns):
            columns[f"further_{number}"] = pa.array([one % 7 for one in ids], pa.int32())
        write_deltalake(self.uri, pa.table(columns), mode="append", schema_mode="merge", configuration=KEEP_THE_LOG)
        self.commits.append(Commit(now, ids, tuple(columns)))
        if dice.random() < COMPACTING:
            DeltaTable(self.uri).optimize.compact()

    def between(self, after: datetime | None, before: datetime) -> Sequence[Commit]:
        """Commits from `after` on (None: from the beginning) and before `before`."""
        return [commit for commit in self.commits if (after is None or commit.at >= after) and commit.at < before]

    def columns_before(self, moment: datetime) -> tuple[str, ...]:
        """Its columns then; none while it had no rows."""
        commits = self.between(None, moment)
        return commits[-1].columns if commits else ()


def new_lake(folder: Path) -> dict[str, GrowingTable]:
    """The tables by dataset id; empty until they grow."""
    return {name: GrowingTable(str(folder / name), name == "events") for name in ("orders", "events", "items")}
