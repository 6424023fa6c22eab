"""P7 over an Iceberg table: appends, compactions, copy-on-write, position and equality deletes, snapshots that expire."""

import tempfile
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule
from pyiceberg.table.snapshots import Operation

from dataset_export.destinations.local import LocalStore
from dataset_export.export.table_catalog import TableCatalog
from dataset_export_tests.export.exporter import START, Exporter
from dataset_export_tests.export.test_exactly_once import ExactlyOnce
from dataset_export_tests.lake.iceberg_tables import IcebergBuilder, files_of, shown

SCHEMA = pa.schema([("id", pa.int64())])


class IcebergExactlyOnce(ExactlyOnce):
    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="exactly-once-"))
        lake = self.folder / "lake"
        lake.mkdir()
        self.iceberg = IcebergBuilder(lake, SCHEMA)
        where = self.iceberg.location
        catalog = TableCatalog("sql", where.name, where.table, where.uri)
        self.exporter = Exporter(
            LocalStore(self.folder / "delivered"), catalog.address, format="iceberg", catalog=catalog
        )
        self.now = START - timedelta(minutes=30)
        self.next_id = 0
        self.live: dict[int, set[int]] = {}
        self._append(3, self.now)

    @rule()
    def compact(self) -> None:
        if self.live[self.iceberg.version]:
            self.iceberg.compact()
            self._committed(self.now)

    @rule(data=st.data(), how=st.sampled_from(["position", "equality", "copy-on-write"]))
    def delete(self, data: st.DataObject, how: str) -> None:  # type: ignore[override]
        ids = sorted(self.live[self.iceberg.version])
        if not ids:
            return
        gone = sorted(data.draw(st.sets(st.sampled_from(ids), min_size=1, max_size=3)))
        table = pa.table({"id": pa.array(gone, pa.int64())})
        texts = {shown(row) for row in table.to_pylist()}
        hit = {path: [at for at, row in enumerate(rows) if row in texts] for path, rows in self.iceberg.live.items()}
        hit = {path: places for path, places in hit.items() if places}
        if how == "position":
            self.iceberg.delete_positions(hit)
        elif how == "equality":
            self.iceberg.delete_equal(table)
        else:
            kept = [row for path in hit for row in self.iceberg.live[path] if row is not None and row not in texts]
            data_left = pa.Table.from_pylist([dict(eval(row)) for row in kept], SCHEMA)
            new = files_of(self.iceberg.raw(), data_left) if kept else []
            self.iceberg.commit(Operation.OVERWRITE, add=new, remove=hit)
        self._committed(self.now)

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "iceberg"):
            self.iceberg.close()

    def _newest(self) -> int:
        return self.iceberg.version

    def _append(self, rows: int, moment: object) -> None:
        ids = range(self.next_id, self.next_id + rows)
        self.next_id += rows
        self.iceberg.write(pa.table({"id": pa.array(ids, pa.int64())}))
        self._committed(moment)

    def _committed(self, moment: object) -> None:
        version = self.iceberg.version
        self.iceberg.commit_time(version, moment)  # type: ignore[arg-type]
        self.live[version] = {dict(eval(row))["id"] for row in self.iceberg.state(version)}


IcebergExactlyOnce.TestCase.settings = settings(
    max_examples=8, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
test_p7_every_row_of_an_iceberg_table_exactly_once = IcebergExactlyOnce.TestCase
