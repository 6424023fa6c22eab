"""The input of the benchmarks: a nested event table, made from a seed.

Shaped as experience events are: an identity struct, a list of product structs, a map of attributes, strings of high and
low cardinality, a UTC timestamp, decimals, and nulls everywhere but in the id.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FILES = 8
ROWS = 2_000_000
SEED = 20261101


def make(folder: Path, *, scale: int = 1) -> list[Path]:
    """Write `FILES` zstd parquet files of `scale` * `ROWS` / `FILES` rows each, or return those made before. With more than
    one `scale` the rows of a file come again and again, so that making them does not take longer than measuring."""
    rows = ROWS * scale // FILES
    paths = [folder / f"events-{scale}x-{number}.parquet" for number in range(FILES)]
    folder.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(paths):
        if not path.exists():
            partial = path.with_suffix(".partial")
            _write(partial, rows, np.random.default_rng((SEED, 1, number)))
            partial.rename(path)
    return paths


def _write(path: Path, rows: int, rng: np.random.Generator) -> None:
    step = 125_000
    kinds = [_events(step, rng) for _ in range(ROWS // FILES // step)]
    with pq.ParquetWriter(path, kinds[0].schema, compression="zstd") as writer:
        for start in range(0, rows, step):
            writer.write_table(kinds[start // step % len(kinds)].slice(0, rows - start))


def _events(rows: int, rng: np.random.Generator) -> pa.Table:
    moments = np.sort(rng.integers(1_762_000_000_000_000, 1_764_000_000_000_000, rows))
    return pa.table(
        {
            "_id": _hex(rows, rng),
            "timestamp": pa.array(moments, pa.timestamp("us", tz="UTC")),
            "eventType": _choice(
                rows, rng, [f"commerce.{word}" for word in ("view", "add", "remove", "purchase", "save")]
            ),
            "sessionId": _nulls(_hex(rows, rng), rng, 0.1),
            "identity": pa.StructArray.from_arrays(
                [
                    _hex(rows, rng, 200_000),
                    _choice(rows, rng, ["ECID", "email", "crm"]),
                    pa.array(rng.random(rows) < 0.8),
                ],
                names=["id", "namespace", "primary"],
            ),
            "products": _products(rows, rng),
            "attributes": _attributes(rows, rng),
            "page": _nulls(
                _choice(rows, rng, [f"https://shop.example/department/{i}/item" for i in range(4000)]), rng, 0.2
            ),
            "revenue": _nulls(pa.array(np.round(rng.gamma(2.0, 40.0, rows), 2)), rng, 0.6),
            "duration": pa.array(rng.integers(0, 90_000, rows), pa.int32()),
            "referrer": _nulls(_choice(rows, rng, [f"campaign {i}" for i in range(300)]), rng, 0.5),
        }
    )


def _products(rows: int, rng: np.random.Generator) -> pa.Array:
    counts = rng.choice([0, 1, 2, 3], rows, p=[0.45, 0.3, 0.15, 0.1])
    total = int(counts.sum())
    product = pa.StructArray.from_arrays(
        [
            _choice(total, rng, [f"SKU-{i:06d}" for i in range(20_000)]),
            pa.array(rng.integers(1, 6, total), pa.int32()),
            _nulls(pa.array(np.round(rng.gamma(2.0, 25.0, total), 2)), rng, 0.1),
        ],
        names=["sku", "quantity", "price"],
    )
    return pa.ListArray.from_arrays(_offsets(counts), product)


def _attributes(rows: int, rng: np.random.Generator) -> pa.Array:
    counts = rng.integers(0, 3, rows)
    total = int(counts.sum())
    starts = _offsets(counts)
    names = np.array(["browser", "plan", "region"])
    place = np.arange(total) - np.repeat(starts[:-1], counts)
    keys = pa.array(names[place])
    return pa.MapArray.from_arrays(starts, keys, _choice(total, rng, [f"value-{i}" for i in range(50)]))


def _offsets(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)


def _choice(rows: int, rng: np.random.Generator, words: list[str]) -> pa.Array:
    return pa.array(words).take(pa.array(rng.integers(0, len(words), rows)))


def _hex(rows: int, rng: np.random.Generator, distinct: int | None = None) -> pa.Array:
    high, low = rng.integers(0, 2**63, (2, distinct or rows)).tolist()
    words = [f"{left:016x}{right:016x}" for left, right in zip(high, low, strict=True)]
    return pa.array(words) if distinct is None else pa.array(words).take(pa.array(rng.integers(0, distinct, rows)))


def _nulls(values: pa.Array, rng: np.random.Generator, share: float) -> pa.Array:
    import pyarrow.compute as pc

    return pc.if_else(pa.array(rng.random(len(values)) >= share), values, pa.scalar(None, values.type))
