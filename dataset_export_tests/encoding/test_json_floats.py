"""Floats of the compiled writer: the text of arrow-rs, and the shortest that reads back equal."""

import math
from collections.abc import Iterable
from decimal import Context, Decimal
from itertools import chain

import numpy as np
import pyarrow as pa
import pytest

from dataset_export.encoding.ndjson_text import native_writer
from dataset_export_tests.encoding.test_ndjson_text import by_arrow_rs, needs_native

EXACT = Context(prec=1200)


def native_text(column: pa.Array) -> bytes:
    batch = pa.record_batch({"c": column})
    writer = native_writer(batch.schema)
    assert writer is not None
    return writer.text(batch.__arrow_c_array__()[1], 0, batch.num_rows)


def require_same(floats: np.ndarray) -> None:
    """The same text as by arrow-rs; the first value that has another is named."""
    column = pa.array(floats)
    ours, theirs = native_text(column), by_arrow_rs(pa.record_batch({"c": column}))
    if ours != theirs:
        lines = zip(column, ours.splitlines(), theirs.splitlines(), strict=True)
        raise AssertionError(next(found for found in lines if found[1] != found[2]))


def random_floats(count: int, bits: type) -> np.ndarray:
    """Any bit patterns, NaNs and infinities among them."""
    floats = {np.uint16: np.float16, np.uint32: np.float32, np.uint64: np.float64}[bits]
    return np.random.default_rng().integers(0, np.iinfo(bits).max, count, bits, endpoint=True).view(floats)


def with_neighbours(floats: np.ndarray) -> np.ndarray:
    bits = floats.view(np.int64 if floats.dtype == np.float64 else np.int32)
    near = np.concatenate([bits + step for step in range(-3, 4)])
    near = near[near >= 0].view(floats.dtype)
    return np.concatenate([near, -near])


def decimals(most_digits: int, exponents: range, count: int) -> np.ndarray:
    """Values as people write them."""
    random = np.random.default_rng()
    digits = random.integers(1, 10 ** random.integers(1, most_digits, count, endpoint=True)).tolist()
    return np.array([float(f"{n}e{e}") for n, e in zip(digits, random.choice(exponents, count), strict=True)])


def edges() -> Iterable[np.ndarray]:
    random = np.random.default_rng()
    yield with_neighbours(np.ldexp(1.0, np.arange(-1074, 1024)))
    yield with_neighbours(np.ldexp(np.float32(1), np.arange(-149, 128)).astype(np.float32))
    yield with_neighbours(np.array([float(f"1e{power}") for power in range(-323, 309)]))
    yield with_neighbours(np.array([np.float32(f"1e{power}") for power in range(-45, 39)], np.float32))
    yield np.arange(2**16, dtype=np.uint16).view(np.float16)
    # Subnormals.
    yield np.concatenate([np.arange(3000), random.integers(0, 2**52, 3000)]).astype(np.uint64).view(np.float64)
    yield np.concatenate([np.arange(3000), random.integers(0, 2**23, 3000)]).astype(np.uint32).view(np.float32)
    # Integers, halves and quarters around where they stop being floats.
    for power in (22, 23, 24, 26, 52, 53, 54, 62, 63, 64):
        steps = np.ldexp(1.0, power) + np.arange(-500, 500) * max(0.25, 2.0 ** (power - 53))
        yield steps
        yield steps.astype(np.float32)
    # Where the exponent begins, and the least of few places.
    yield np.array(
        [0.0, -0.0, 9999999999.5, 12345678901.5, 1e10, 1e-5, 9.999e-6, 1.5e-5, 1e-6, 9e-6, 1e9, 999999999.999999]
    )
    # On the border between two floats, or as close to one digit as to the next: where arrow-rs has ways of its own.
    yield random.integers(1, 10**9, 5000) * 10.0 ** random.integers(8, 22, 5000)
    yield random.integers(2**22, 2**31, 5000).astype(np.float32)
    yield (random.integers(2**22, 2**31, 5000) / 256).astype(np.float32)
    yield random.integers(2**52, 2**53, 5000) / 2.0 ** random.integers(0, 20, 5000)
    yield decimals(17, range(-30, 30), 5000)
    yield decimals(9, range(-20, 20), 5000).astype(np.float32)
    yield decimals(8, range(-8, 1), 5000)
    yield decimals(6, range(-3, 1), 5000).astype(np.float32)


@needs_native
def test_s6_floats_are_written_as_by_arrow_rs() -> None:
    for floats in chain(edges(), [random_floats(20_000, np.uint64), random_floats(20_000, np.uint32)]):
        require_same(floats)


@needs_native
@pytest.mark.slow
@pytest.mark.parametrize("bits", [np.uint32, np.uint64])
def test_s6_a_million_floats_are_written_as_by_arrow_rs(bits: type) -> None:
    require_same(random_floats(1_000_000, bits))
    require_shortest(random_floats(1_000_000, bits))


def require_shortest(floats: np.ndarray) -> None:
    """As Python and numpy have it."""
    finite = floats[np.isfinite(floats)]
    texts = [line[5:-1].decode() for line in native_text(pa.array(finite)).splitlines()]
    assert (np.array(texts, np.float64).astype(finite.dtype) == finite).all()
    wanted = map(str, finite if finite.dtype == np.float32 else finite.tolist())
    for value, text, other in zip(finite, texts, wanted, strict=True):
        if Decimal(text) != Decimal(other):
            assert is_as_close(value, text, other) or is_on_lower_border(value, other), (value, text, other)


def is_as_close(value: np.floating, text: str, other: str) -> bool:
    exact = Decimal(float(value))
    first, second = (len(Decimal(digits).normalize().as_tuple().digits) for digits in (text, other))
    return first == second and abs(EXACT.subtract(Decimal(text), exact)) == abs(EXACT.subtract(Decimal(other), exact))


def is_on_lower_border(value: np.floating, other: str) -> bool:
    """Arrow-rs does not use that it reads back as the even neighbour above."""
    size = abs(value)
    below = np.nextafter(size, size.dtype.type(0))
    sum_of_both = EXACT.add(Decimal(float(size)), Decimal(float(below)))
    return EXACT.multiply(Decimal(other.strip("-")), Decimal(2)) == sum_of_both


@needs_native
@pytest.mark.parametrize("bits", [np.uint32, np.uint64])
def test_s6_floats_are_the_shortest_text_that_reads_back(bits: type) -> None:
    require_shortest(random_floats(20_000, bits))
    few = decimals(9, range(-12, 12), 10_000)
    require_shortest(few if bits is np.uint64 else few.astype(np.float32))


@needs_native
def test_s6_what_is_not_a_number_is_absent() -> None:
    values = [math.nan, 0.5, math.inf, -math.inf, None]
    for kind in (pa.float16(), pa.float32(), pa.float64()):
        cells = pa.array([None if v is None else np.float16(v) for v in values], pa.float16()).cast(kind)
        structs = pa.StructArray.from_arrays([cells], names=["f"])
        lists = pa.ListArray.from_arrays([0, 5], cells)
        maps = pa.MapArray.from_arrays([0, 5], list("abcde"), cells)
        assert native_text(cells) == b'{}\n{"c":0.5}\n{}\n{}\n{}\n'
        assert native_text(structs).splitlines()[:2] == [b'{"c":{}}', b'{"c":{"f":0.5}}']
        assert native_text(lists) == b'{"c":[null,0.5,null,null,null]}\n'
        assert native_text(maps) == b'{"c":{"b":0.5}}\n'
        for column in (cells, cells.slice(1), structs, lists, maps):
            assert native_text(column) == by_arrow_rs(pa.record_batch({"c": column}))
