"""What a contender wrote: how many bytes, and whether the rows are those that it was given.

Rows of parquet are compared in all columns, as DuckDB prints their values. In JSON every contender has its own way to write
values, so there the columns are compared that tell a row from the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb

from benchmarks.inputs import Input

ENDINGS = {"parquet": ".parquet", "copy": ".parquet", "json": (".json.gz", ".jsonl.gz")}


def files_in(folder: Path, form: str) -> list[Path]:
    """The files of rows that were written; what a contender notes beside them is not counted."""
    found = [file for file in folder.rglob("*") if file.name.endswith(ENDINGS[form])]
    return [file for file in found if not any(part.startswith("_dlt") for part in file.parts)]


def require_equal(given: Sequence[Path], written: Sequence[Path], form: str, table: Input) -> None:
    """Raises RuntimeError when `written` has other rows than `given`."""
    with duckdb.connect(config={"threads": 2, "memory_limit": "2GB"}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        columns = _columns(connection, _parquet(given))
        kinds = [kind for name, kind in columns if form != "json" or name in table.key]
        wanted = _fingerprint(connection, _parquet(given), table.key if form == "json" else None, kinds)
        relation = _json(written, table) if form == "json" else _parquet(written)
        found = _fingerprint(connection, relation, table.key if form == "json" else None, kinds)
    if found != wanted:
        raise RuntimeError(f"{found[0]} rows were written of {wanted[0]}, or not the same: {found} is not {wanted}.")


def _columns(connection: duckdb.DuckDBPyConnection, relation: str) -> list[tuple[str, str]]:
    found = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    return [(name, kind) for name, kind, *_ in found]


def _fingerprint(
    connection: duckdb.DuckDBPyConnection, relation: str, names: Sequence[str] | None, kinds: Sequence[str]
) -> tuple[int, int]:
    """Number of rows, and a sum over all of them in which their order does not matter. Columns have their places in common, and
    not always their names, and are compared as values of `kinds`: Spark's moments have no time zone."""
    names = names or [name for name, _ in _columns(connection, relation)]
    texts = ", ".join(
        f"""coalesce("{name}"::{kind}::VARCHAR, 'null')""" for name, kind in zip(names, kinds, strict=True)
    )
    query = f"SELECT count(*), sum(hash(concat_ws('|', {texts}))::HUGEINT) FROM {relation}"
    rows, total = connection.execute(query).fetchall()[0]
    return rows, int(total)


def _parquet(files: Sequence[Path]) -> str:
    return f"read_parquet([{_list(files)}])"


def _json(files: Sequence[Path], table: Input) -> str:
    kinds = {"duration": "BIGINT", "l_orderkey": "BIGINT", "l_linenumber": "BIGINT"}
    columns = ", ".join(f"'{name}': '{kinds.get(name, 'VARCHAR')}'" for name in table.key)
    return f"read_json([{_list(files)}], format = 'newline_delimited', compression = 'gzip', columns = {{{columns}}})"


def _list(files: Sequence[Path]) -> str:
    return ", ".join(f"'{file}'" for file in files)
