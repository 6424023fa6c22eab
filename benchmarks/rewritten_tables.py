"""Tables of very many rows that were rewritten: a Delta and an Iceberg table that begin with the same files, in `.bench/`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, Schema, write_deltalake
from deltalake.transaction import AddAction, create_table_with_add_actions
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import Table as IcebergTable

from benchmarks.inputs import FOLDER
from dataset_export.export.table_catalog import TableCatalog

FILE_ROWS = 250_000
BATCH_ROWS = 1 << 17
SCHEMA = pa.schema([("id", pa.int64()), ("amount", pa.float64()), ("status", pa.string())])
STATES = ("new", "paid", "sent", "back", "gone")

MERGED_FILES = 4
UPDATED = 500
INSERTED = 500

SAME_ROWS = "a tenth is written anew, with the same rows"
MERGED = f"{MERGED_FILES} files are written anew, with {UPDATED} rows changed and {INSERTED} more"

NAMESPACE = "lake"
TABLE = f"{NAMESPACE}.orders"


@dataclass(frozen=True)
class Rewrite:
    """One rewrite of a table.

    Attributes:
        format: `delta` or `iceberg`.
        what: was done, in words.
        lower, upper: the versions before and after it.
        new_ids: of the rows that are net new.
    """

    format: str
    what: str
    lower: int
    upper: int
    new_ids: list[int]


def make(rows: int) -> tuple[Path, list[Rewrite]]:
    """The folder with both tables, which begin with so many rows, and how they were rewritten. They are made once."""
    folder = FOLDER / f"rewrites-{rows}"
    done = folder / "rewrites.json"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "delta").mkdir(parents=True)
        files = _write(folder / "delta", rows)
        rewrites = [*_rewrite_iceberg(folder, files, rows), *_rewrite_delta(folder / "delta", files, rows)]
        done.write_text(json.dumps([asdict(one) for one in rewrites]))
    return folder, [Rewrite(**one) for one in json.loads(done.read_text())]


def _write(folder: Path, rows: int) -> list[Path]:
    """Rows with the ids from 0 in files of `FILE_ROWS`."""

    def write(first: int) -> Path:
        path = folder / f"part-{first // FILE_ROWS:05}.parquet"
        pq.write_table(_rows(first, min(FILE_ROWS, rows - first)), path, compression="snappy")
        return path

    with ThreadPoolExecutor() as pool:
        return list(pool.map(write, range(0, rows, FILE_ROWS)))


def _rows(first: int, count: int) -> pa.Table:
    """The same each time."""
    ids = np.arange(first, first + count)
    scattered = ids * 2_654_435_761 % 10_000_019
    states = pa.DictionaryArray.from_arrays(pa.array(scattered % len(STATES), pa.int8()), pa.array(STATES))
    return pa.table([pa.array(ids), pa.array(scattered / 100), states.cast(pa.string())], schema=SCHEMA)


def _batches(first: int, count: int) -> Iterator[pa.RecordBatch]:
    for at in range(first, first + count, BATCH_ROWS):
        yield from _rows(at, min(BATCH_ROWS, first + count - at)).to_batches()


def _updated(first: int) -> pa.Table:
    """Of the rows of `MERGED_FILES` files, every so many get another amount."""
    rows = _rows(first, MERGED_FILES * FILE_ROWS)
    rows = rows.take(np.arange(0, rows.num_rows, rows.num_rows // UPDATED))
    return rows.set_column(1, "amount", pa.array(rows.column("amount").to_numpy() + 1))


def _rewrite_delta(folder: Path, files: list[Path], rows: int) -> Iterator[Rewrite]:
    """By deltalake: an overwrite of a range, a merge, an overwrite of everything."""
    table = str(folder)
    create_table_with_add_actions(table, Schema.from_arrow(SCHEMA), [_added(file) for file in files])

    first, tenth = rows // 2, rows // 10
    same = pa.RecordBatchReader.from_batches(SCHEMA, _batches(first, tenth))
    write_deltalake(table, same, mode="overwrite", predicate=f"id >= {first} and id < {first + tenth}")
    yield Rewrite("delta", SAME_ROWS, 0, 1, [])

    changed = pa.concat_tables([_updated(0), _rows(rows, INSERTED)])
    (
        DeltaTable(table)
        .merge(changed, f"t.id = s.id and t.id < {MERGED_FILES * FILE_ROWS}", source_alias="s", target_alias="t")
        .when_matched_update_all()
        .when_not_matched_insert_all()
        .execute()
    )
    yield Rewrite("delta", MERGED, 1, 2, changed.column("id").to_pylist())

    later = _rows(rows + INSERTED, INSERTED)
    merged = DeltaTable(table).file_uris()

    def everything() -> Iterator[pa.RecordBatch]:
        for file in merged:
            yield from pq.read_table(file, schema=SCHEMA).to_batches(BATCH_ROWS)
        yield from later.to_batches()

    write_deltalake(table, pa.RecordBatchReader.from_batches(SCHEMA, everything()), mode="overwrite")
    yield Rewrite(
        "delta", f"everything is written anew, with {INSERTED} rows more", 2, 3, later.column("id").to_pylist()
    )


def _added(file: Path) -> AddAction:
    metadata = pq.read_metadata(file)
    ids = [metadata.row_group(number).column(0).statistics for number in range(metadata.num_row_groups)]
    stats = {
        "numRecords": metadata.num_rows,
        "minValues": {"id": min(one.min for one in ids)},
        "maxValues": {"id": max(one.max for one in ids)},
        "nullCount": {"id": 0},
    }
    size = file.stat().st_size
    return AddAction(file.name, size, {}, int(file.stat().st_mtime * 1000), data_change=True, stats=json.dumps(stats))


def _rewrite_iceberg(folder: Path, files: list[Path], rows: int) -> Iterator[Rewrite]:
    """By pyiceberg: overwrites of ranges."""
    found = catalog_of(folder).revealed()
    catalog = SqlCatalog(found.name, uri=found.uri, warehouse=f"file://{folder / 'iceberg'}")
    catalog.create_namespace(NAMESPACE)
    table = catalog.create_table(TABLE, SCHEMA)
    table.add_files([str(file) for file in files])
    first, tenth, merged = rows // 2, rows // 10, MERGED_FILES * FILE_ROWS
    old, updated = _rows(0, merged), _updated(0)
    amounts = old.column("amount").to_numpy().copy()
    amounts[updated.column("id").to_numpy()] = updated.column("amount").to_numpy()
    changed = pa.concat_tables([old.set_column(1, "amount", pa.array(amounts)), _rows(rows, INSERTED)])
    new_ids = [*updated.column("id").to_pylist(), *range(rows, rows + INSERTED)]
    for what, low, high, data, ids in (
        (SAME_ROWS, first, first + tenth, _rows(first, tenth), []),
        (MERGED, 0, merged, changed, new_ids),
    ):
        lower = _version(table)
        table.overwrite(data, f"id >= {low} and id < {high}")
        yield Rewrite("iceberg", what, lower, _version(table), ids)


def _version(table: IcebergTable) -> int:
    snapshot = table.current_snapshot()
    return 0 if snapshot is None else snapshot.sequence_number or 0


def catalog_of(folder: Path) -> TableCatalog:
    """Where the Iceberg table is registered."""
    return TableCatalog("sql", "default", TABLE, f"sqlite:///{folder / 'catalog.db'}")
