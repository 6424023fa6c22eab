"""The compiled writer writes what arrow-rs writes, byte for byte, whatever slices and nulls there are."""

import importlib.util
import io
import os
import shutil
import struct
import subprocess
import sys
import sysconfig
from decimal import Decimal
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from arro3.io import write_ndjson
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_export import __version__, encoding
from dataset_export.cli.main import cli
from dataset_export.encoding import ndjson_text
from dataset_export.encoding.conform import plain_schema
from dataset_export.encoding.json_values import json_values
from dataset_export.encoding.ndjson_text import Pieces, native_writer
from dataset_export.errors import UnsupportedTable
from dataset_export_tests.encoding import test_json_values
from dataset_export_tests.encoding.tables import KEYS, LEAVES, tables

SOURCES = Path(ndjson_text.__file__).parent / "native"
PURE = os.environ.get("DATASET_EXPORT_PURE") == "1"
needs_native = pytest.mark.skipif(PURE, reason="DATASET_EXPORT_PURE is 1")


def by_arrow_rs(batch: pa.RecordBatch) -> bytes:
    text = io.BytesIO()
    write_ndjson(json_values(batch), text)
    return text.getvalue()


def require_same(batch: pa.RecordBatch, first: int) -> None:
    """The text of the batch, of a slice of it, and of rows of the whole array."""
    writer = native_writer(batch.schema)
    if writer is None:
        return
    cut = batch.slice(first)
    wanted = b"".join(by_arrow_rs(batch).splitlines(keepends=True)[first:])
    assert writer.text(cut.__arrow_c_array__()[1], 0, cut.num_rows) == wanted
    assert writer.text(batch.__arrow_c_array__()[1], first, cut.num_rows) == wanted
    require_anchors(wanted, writer.anchors())


def require_anchors(text: bytes, anchors: bytes) -> None:
    places = [at for at, _, _ in struct.iter_unpack("III", anchors)]
    assert places == sorted(places)
    assert all(text[at : at + 1] in (b"{", b",", b"[", b":") for at in places)


@needs_native
def test_it_was_built() -> None:
    assert ndjson_text.is_built()
    assert native_writer(pa.schema([("c", pa.int64())])) is not None


@needs_native
@settings(max_examples=200, deadline=None)
@given(tables(), st.integers(0, 4))
def test_both_write_the_same(table: pa.Table, first: int) -> None:
    for batch in table.cast(plain_schema(table.schema)).combine_chunks().to_batches():
        require_same(batch, min(first, batch.num_rows))


ODD = [
    (pa.time32("s"), st.integers(0, 86_399)),
    (pa.time32("ms"), st.integers(0, 86_399_999)),
    (pa.time64("ns"), st.integers(0, 86_400 * 10**9 - 1)),
    (pa.timestamp("s"), st.integers(-8_334_601_228_800, 8_210_266_876_799)),
    (pa.date32(), st.integers(-96_465_291, 95_026_236)),
    (pa.uint8(), st.integers(0, 255)),
    (pa.int16(), st.integers(-(2**15), 2**15 - 1)),
    (pa.uint32(), st.integers(0, 2**32 - 1)),
    (pa.string(), st.text(st.characters(max_codepoint=130), max_size=60)),
    (pa.string_view(), st.text(max_size=30)),
    (pa.large_binary(), st.binary(max_size=40)),
    (pa.null(), st.none()),
    (pa.list_(pa.int8(), 2), st.lists(st.integers(-128, 127), min_size=2, max_size=2)),
]


@needs_native
@settings(max_examples=200, deadline=None)
@given(st.sampled_from(ODD).flatmap(lambda odd: st.tuples(st.just(odd[0]), st.lists(st.none() | odd[1]))))
def test_types_that_are_rare(found: tuple[pa.DataType, list]) -> None:
    kind, column = found
    if pa.types.is_temporal(kind):
        integers = pa.int32() if kind.bit_width == 32 else pa.int64()
        array = pa.array(column, integers).view(kind)
    else:
        array = pa.array(column, kind)
    require_same(pa.record_batch({"c": array, 'a "name"\n': array}), len(column) // 3)


@needs_native
@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(-(10**38) + 1, 10**38 - 1) | st.integers(-(10**19), 10**19)), st.integers(-40, 40))
def test_decimals(numbers: list[int], scale: int) -> None:
    raw = b"".join(number.to_bytes(16, "little", signed=True) for number in numbers)
    buffers = [None, pa.py_buffer(raw)]
    array = pa.Array.from_buffers(pa.decimal128(38, min(scale, 38)), len(numbers), buffers)
    require_same(pa.record_batch({"c": array}), 0)


@needs_native
def test_every_leaf_and_every_key_is_written_natively() -> None:
    for kind in [*LEAVES, *(pa.map_(key, pa.int8()) for key in KEYS)]:
        assert native_writer(pa.schema([("c", pa.list_(pa.struct([("f", kind)])))])) is not None


def test_other_types_are_for_arrow_rs() -> None:
    float_keys = [pa.map_(key, pa.int8()) for key in (pa.float16(), pa.float32(), pa.float64())]
    for kind in (pa.decimal256(40, 2), pa.dictionary(pa.int8(), pa.string()), *float_keys):
        assert native_writer(pa.schema([("c", kind)])) is None


@needs_native
@pytest.mark.parametrize("array", [pa.array([2**62], pa.timestamp("ms")), pa.array([-(2**31)], pa.date32())])
def test_a_moment_without_text_is_refused_by_name(array: pa.Array) -> None:
    batch = pa.record_batch({"c": array})
    with pytest.raises(UnsupportedTable, match="Column c"):
        Pieces(batch.schema).next(batch)


@needs_native
def test_arrays_that_are_not_as_the_schema_says_are_refused() -> None:
    writer = native_writer(pa.schema([("c", pa.string())]))
    assert writer is not None
    array = pa.record_batch({"c": ["a", "b"]}).__arrow_c_array__()[1]
    for first, rows in ((0, 3), (-1, 1), (2, 1), (0, -1), (2**62, 2**62)):
        with pytest.raises(ValueError, match="no text"):
            writer.text(array, first, rows)
    with pytest.raises(ValueError, match="no text"):
        writer.text(pa.record_batch({"c": [1]}).__arrow_c_array__()[1], 0, 1)
    offsets = pa.array([0, 3, 1], pa.int32()).buffers()[1]
    broken = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"abc")])
    with pytest.raises(ValueError, match="no text"):
        writer.text(pa.record_batch({"c": broken}).__arrow_c_array__()[1], 0, 2)


def test_a_file_that_cannot_be_loaded_is_no_writer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / f"ndjson_native{EXTENSION_SUFFIXES[0]}").write_bytes(b"built for another machine")
    monkeypatch.setattr(encoding, "__path__", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "dataset_export.encoding.ndjson_native", raising=False)
    assert not ndjson_text.is_built()
    assert native_writer(pa.schema([("c", pa.int64())])) is None
    said = CliRunner().invoke(cli, ["--version"])
    assert said.output == f"dataset-export, version {__version__} (without the compiled NDJSON writer)\n"


def test_without_it_arrow_rs_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dataset_export.encoding.ndjson_native", None)
    assert native_writer(pa.schema([("c", pa.int64())])) is None
    assert test_json_values.deliver(pa.table({"c": [Decimal("1.50")]})) == ['{"c":1.50}']


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_no_byte_beside_the_buffers_is_touched(tmp_path: Path) -> None:
    module = tmp_path / "ndjson_native.abi3.so"
    flags = ["-std=c11", "-O1", "-g", "-fPIC", "-shared", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    command = ["gcc", *flags, "-Wall", "-Wextra", "-Werror", "-I", sysconfig.get_path("include")]
    subprocess.run([*command, *map(str, SOURCES.glob("*.c")), "-o", str(module)], check=True)
    libraries = [
        subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    environment = {**os.environ, "LD_PRELOAD": " ".join(libraries), "ASAN_OPTIONS": "detect_leaks=0"}
    program = [sys.executable, "-m", __name__, str(module)]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.strip() == "same"


def main(module: str) -> None:
    """Compare with the module of that file in the place of the one that is installed."""
    from dataset_export_tests.encoding import test_json_floats, test_ndjson_pieces

    name = "dataset_export.encoding.ndjson_native"
    spec: Any = importlib.util.spec_from_file_location(name, module)
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
    assert sys.modules[name].__file__ == module
    test_both_write_the_same()
    test_types_that_are_rare()
    test_decimals()
    test_json_floats.test_s6_floats_are_written_as_by_arrow_rs()
    test_json_floats.test_s6_what_is_not_a_number_is_absent()
    test_ndjson_pieces.test_pieces_are_a_member()
    for kind in test_ndjson_pieces.KINDS:
        test_ndjson_pieces.test_large_pieces_and_many_of_them(kind, 700)
    test_ndjson_pieces.test_a_value_of_megabytes()
    test_ndjson_pieces.test_text_that_is_looked_at_does_not_change()
    test_arrays_that_are_not_as_the_schema_says_are_refused()
    print("same")


if __name__ == "__main__":
    main(sys.argv[1])
