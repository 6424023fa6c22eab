"""What is converted: nested events, and the table lineitem of TPC-H, each as 8 zstd parquet files in `.bench/`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks import data

FOLDER = Path(".bench").resolve()


@dataclass(frozen=True)
class Input:
    """Files of one table.

    Attributes:
        name: for options and for those who cannot convert it.
        files: of the same size each.
        key: columns that tell a row from the others.
    """

    name: str
    files: list[Path]
    key: tuple[str, ...]

    @property
    def rows(self) -> int:
        return sum(pq.read_metadata(file).num_rows for file in self.files)

    @property
    def bytes(self) -> int:
        return sum(file.stat().st_size for file in self.files)

    def __str__(self) -> str:
        return f"{self.name}: {len(self.files)} zstd parquet files, {self.rows:,} rows, {self.bytes / 1e6:.0f} MB"


def events(scale: int = 1) -> Input:
    """2 M nested events, times `scale`."""
    name = "events" if scale == 1 else f"events, {scale} times"
    return Input(name, data.make(FOLDER, scale=scale), ("_id", "duration"))


def lineitem() -> Input:
    """The table lineitem of TPC-H at scale 1: 6 M flat rows."""
    folder = FOLDER / "tpch" / "lineitem"
    if not folder.exists():
        made = FOLDER / "tpch.partial"
        shutil.rmtree(made, ignore_errors=True)
        program = Path(sys.executable).with_name("tpchgen-cli")
        subprocess.run(
            [
                *(program, "parquet", "--scale-factor=1", "--tables=lineitem", f"--parts={data.FILES}"),
                *("--compression=ZSTD(1)", "--row-group-bytes=128MB", f"--output-dir={made}"),
            ],
            check=True,
        )
        made.rename(folder.parent)
    return Input("lineitem", sorted(folder.glob("*.parquet")), ("l_orderkey", "l_linenumber", "l_comment"))


INPUTS = {"events": events, "lineitem": lineitem}
