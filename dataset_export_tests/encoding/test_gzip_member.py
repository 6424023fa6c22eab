"""A gzip member is what gzip readers expect, and the same in every process."""

import gzip
import subprocess
import sys
import zlib
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_export.encoding.gzip_member import BLOCK, GzipMaker

PIECES = st.lists(
    st.tuples(st.binary(max_size=12), st.integers(0, 400)).map(lambda piece: piece[0] * piece[1]), max_size=6
)


@settings(max_examples=200)
@given(PIECES)
def test_readers_find_the_data(pieces: list[bytes]) -> None:
    maker = GzipMaker()
    written = b"".join(maker.compress(memoryview(piece)) for piece in pieces) + maker.finish()
    for data in (written, maker.member(b"".join(pieces))):
        assert gzip.decompress(data) == b"".join(pieces)
        reader = zlib.decompressobj(31)
        reader.decompress(data)
        assert (reader.eof, reader.unused_data) == (True, b"")


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 70_000, BLOCK + 7, BLOCK + 8, BLOCK + 9, 3 * BLOCK])
def test_small_and_large(size: int) -> None:
    maker = GzipMaker()
    for data in (bytes(n % 251 for n in range(size)), Random(1).randbytes(size)):
        assert gzip.decompress(maker.member(data)) == data


def test_a_block_finds_matches_in_the_one_before_it() -> None:
    noise = Random(1).randbytes(30_000)
    maker = GzipMaker()
    written = maker.compress(noise)
    again = maker.compress(noise)
    assert len(written) >= 30_000
    assert len(again) < 1000
    assert gzip.decompress(written + again + maker.finish()) == noise * 2


def test_bytes_that_begin_like_the_history_are_no_matches_before_it() -> None:
    for byte in range(256):
        data = bytes([byte]) * 3 + b"abcabcabc" + bytes([byte]) * 300
        assert gzip.decompress(GzipMaker().member(data)) == data


MANY = """
import hashlib
from random import Random
from dataset_export.encoding.gzip_member import GzipMaker

random = Random(7)
found = hashlib.sha256()
for size in [*range(200), *(random.randrange(200, 20_000) for _ in range(60))]:
    words = [random.randbytes(random.randrange(1, 8)) for _ in range(3)]
    found.update(GzipMaker().member(b"".join(random.choice(words) for _ in range(size // 4 + 1))[:size]))
print(found.hexdigest())
"""


def test_p4_every_process_makes_the_same_bytes() -> None:
    """Six processes: by itself isal makes other bytes of this in two of three."""
    processes = [subprocess.Popen([sys.executable, "-c", MANY], stdout=subprocess.PIPE) for _ in range(6)]
    found = {process.communicate()[0] for process in processes}
    assert [process.returncode for process in processes] == [0] * 6
    assert len(found) == 1
