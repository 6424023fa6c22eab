"""The lake of the simulation: tables that grow, are compacted, and know when each row came."""

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

TOO_OLD = timedelta(days=500)
OLD_ROWS = 0.1


@dataclass
class GrowingTable:
    """A Delta table of rows with ascending ids.

    Attributes:
        uri: its folder.
        commits: time of each commit that added rows, and the ids it added.
        too_old: ids of rows that a time_series dataset leaves out.
    """

    uri: str
    is_events: bool
    commits: list[tuple[datetime, range]] = field(default_factory=list[tuple[datetime, range]])
    too_old: set[int] = field(default_factory=set[int])

    def grow(self, now: datetime, dice: random.Random) -> None:
        """Append some rows; now and then put the small files together, which adds none."""
        first = self.commits[-1][1].stop if self.commits else 0
        ids = range(first, first + dice.randint(1, 40))
        columns = {"id": pa.array(ids, pa.int64()), "note": [f"row {one} of {self.uri[-6:]}" for one in ids]}
        if self.is_events:
            old = {one for one in ids if dice.random() < OLD_ROWS}
            self.too_old |= old
            columns["happened"] = pa.array(
                [now - TOO_OLD if one in old else now - timedelta(minutes=5) for one in ids], pa.timestamp("us", "UTC")
            )
        write_deltalake(self.uri, pa.table(columns), mode="append")
        self.commits.append((now, ids))
        if dice.random() < 0.05:
            DeltaTable(self.uri).optimize.compact()

    def ids_before(self, moment: datetime) -> list[int]:
        """Ids of rows that an export at `moment` may see and does not leave out."""
        return [one for at, ids in self.commits if at < moment for one in ids if one not in self.too_old]


def new_lake(folder: Path) -> dict[str, GrowingTable]:
    """The tables by dataset id; empty until they grow."""
    return {name: GrowingTable(str(folder / name), name == "events") for name in ("orders", "events", "items")}
