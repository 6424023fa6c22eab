"""Deleted rows of a file on their way from the table to the delivered bytes."""

import io
import json
from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dataset_export.encoding.contract import Encoding, Target
from dataset_export.encoding.encode import encode
from dataset_export.export.stage import source_of
from dataset_export.lake.table import RowSelection, SourceFile
from dataset_export_tests.encoding.tables import parquet

DATA = parquet(pa.table({"n": [0, 1, 2, 3, 4]}))


class MarkedTable:
    """A table that writes positions as JSON into what it gives to its files."""

    def open(self, file: SourceFile) -> io.BytesIO:
        return io.BytesIO(DATA)

    def file_columns(self, file: SourceFile, version: int) -> None:
        return None

    def row_selection(self, file: SourceFile) -> RowSelection:
        read = lambda text: np.array(json.loads(text), np.int64)  # noqa: E731
        return RowSelection(read(file.deletes or "[]"), None if file.only is None else read(file.only))


def rows_of(file: SourceFile) -> list[int]:
    target = Target(Encoding(), pa.schema([("n", pa.int64())]))
    travelled = SourceFile(**json.loads(json.dumps(asdict(file))))
    out = io.BytesIO()
    encode([source_of(travelled, target, MarkedTable(), 0)], target, out.write)  # type: ignore[arg-type]
    return pq.read_table(io.BytesIO(out.getvalue())).column("n").to_pylist()


def test_what_a_table_marks_is_not_delivered_after_the_file_travelled_as_json() -> None:
    assert rows_of(SourceFile("f", len(DATA))) == [0, 1, 2, 3, 4]
    assert rows_of(SourceFile("f", len(DATA), deletes="[1, 4]")) == [0, 2, 3]
    assert rows_of(SourceFile("f", len(DATA), deletes="[1, 4]", only="[1, 2]")) == [2]
    assert rows_of(SourceFile("f", len(DATA), only="[0, 4]")) == [0, 4]
