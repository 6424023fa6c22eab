"""Memory does not grow with the size of a file."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

MEASURE = """
import sys
import pyarrow.parquet as pq
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from dataset_export.encoding.contract import Compression, Encoding, Format, Source, Target
from dataset_export.encoding.encode import encode

path, form, compression = Path(sys.argv[1]), Format(sys.argv[2]), Compression(sys.argv[3])
schema = pq.read_schema(path)
if sys.argv[4] == "rewrite":
    schema = schema.append(schema.field(0).with_name("later"))
source = Source(open=lambda: path.open("rb"), name=path.name, bytes=path.stat().st_size)
encoded = encode([source], Target(Encoding(form, compression), schema), lambda data: None)
assert encoded.way == sys.argv[4]
print(getrusage(RUSAGE_SELF).ru_maxrss)
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two files of random rows; the second holds four times as many, in one row group each."""
    folder = tmp_path_factory.mktemp("memory")
    rng = np.random.default_rng(1)
    paths = [folder / "1x.parquet", folder / "4x.parquet"]
    for path, rows in zip(paths, (200_000, 800_000), strict=True):
        columns = {f"c{place}": rng.integers(0, 2**62, rows) for place in range(30)}
        pq.write_table(pa.table(columns), path, compression="zstd", row_group_size=rows, use_dictionary=False)
    return paths


@pytest.mark.parametrize(
    ("form", "compression", "way"),
    [
        ("parquet", "zstd", "pass-through"),
        ("parquet", "gzip", "page transcode"),
        ("parquet", "snappy", "rewrite"),
        ("json", "gzip", "ndjson"),
    ],
)
def test_memory_is_flat(files: list[Path], form: str, compression: str, way: str) -> None:
    small, large = (
        int(
            subprocess.run(
                [sys.executable, "-c", MEASURE, path, form, compression, way], check=True, capture_output=True
            ).stdout
        )
        for path in files
    )
    grown = (large - small) * 1024
    assert grown < (files[1].stat().st_size - files[0].stat().st_size) / 2
