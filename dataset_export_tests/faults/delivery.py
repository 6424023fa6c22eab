"""One export under faults, its retry and its resend, and the promises that hold after each."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pytest

from dataset_export.destinations.contract import Store
from dataset_export.encoding.contract import Compression, Encoding, Format
from dataset_export.export.manifest import Manifest
from dataset_export.export.sweep import sweep
from dataset_export_tests.export.exporter import START, Exporter
from dataset_export_tests.faults.moments import WatchedStore
from dataset_export_tests.faults.promises import Watch
from dataset_export_tests.lake.delta_tables import DeltaBuilder
from dataset_export_tests.places.contract import Place

HOUR = 9_000
"""After START: later than the tables' commits."""
FOLDER = f"orders/exportTime={START + timedelta(hours=HOUR):%Y%m%d%H%M}"
MID_PART = 50_000
BIG_FILE = Random(7).sample(range(2**62), 20_000)
"""Random numbers do not compress: a file of more than `MID_PART` bytes."""
ROWS = Counter([*BIG_FILE, 1, 2, 3])


def also(*values: Any) -> Any:
    """A case that only the slow run has."""
    return pytest.param(*values, marks=pytest.mark.slow)


def make_lake(folder: Path) -> str:
    """A table with `ROWS` in three files; its URI."""
    delta = DeltaBuilder(str(folder))
    for ids in (BIG_FILE, [1, 2], [3]):
        delta.write(pa.table({"id": pa.array(ids, pa.int64())}))
    return delta.uri


class Delivery:
    """One export time of one dataset to `place`, by way of the store `through`, and what `place` shows of it."""

    def __init__(self, place: Place, through: Store, lake: str) -> None:
        self.place = place
        self.watch = Watch(place, FOLDER)
        self.through = through
        self.exporter = Exporter(self.through, lake, encoding=Encoding(Format.JSON, Compression.GZIP))
        self.run_id = str(uuid4())

    def run(self, **at: Callable[[], object]) -> Manifest:
        """The export, or its retry. `at` says what happens right before the first step of a name (`_` for `-`)."""
        steps = {step.replace("_", "-"): happen for step, happen in at.items()}
        return self.exporter.export(HOUR, self.run_id, store=WatchedStore(self.through, steps))

    def resend(self, **at: Callable[[], object]) -> Manifest:
        """The same as another run."""
        self.run_id = str(uuid4())
        steps = {step.replace("_", "-"): happen for step, happen in at.items()}
        return self.exporter.export(HOUR, self.run_id, resend=True, store=WatchedStore(self.through, steps))

    def sweep(self) -> None:
        sweep(self.place.store, "hourly", "orders", self.exporter.ledger, dry_run=False)

    def assert_delivered(self) -> None:
        """All promises, before and after a sweep."""
        for _ in range(2):
            recorded = self.exporter.ledger.at(self.exporter.request(HOUR).export_time)
            manifest = self.watch.assert_delivered(ROWS, recorded)
            assert manifest.run_id == self.run_id  # P4
            self.watch.assert_foreign_untouched()
            self.sweep()
        self.watch.assert_swept()

    def assert_nothing_but_theirs(self) -> None:
        """P6 without a retry: what failed is not visible, and a sweep removes the rest."""
        self.watch.assert_nothing_visible()
        self.sweep()
        self.watch.assert_swept()
        self.watch.assert_foreign_untouched()
