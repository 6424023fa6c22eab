"""Into which parts a file is cut: what S3 allows, and what memory holds."""

import base64
import hashlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_export.destinations.s3 import S3Store
from dataset_export.destinations.s3_parts import (
    DEFAULT_PART_BYTES,
    MAX_PART_BYTES,
    MAX_PARTS,
    MIN_PART_BYTES,
    Part,
    PartSizes,
    composite_checksum,
)
from dataset_export.errors import ConfigError, StorageFull
from dataset_export_tests.servers.weed import Weed

MIB, GIB, TIB = 1 << 20, 1 << 30, 1 << 40
LARGEST_TESTED = 5 * TIB


def cut(size: int, sizes: PartSizes) -> list[int]:
    """The parts of a file of `size` bytes."""
    parts = list[int]()
    while size > 0:
        parts.append(min(size, sizes.size(len(parts) + 1)))
        size -= parts[-1]
    return parts


hints = st.none() | st.integers(0, LARGEST_TESTED)


@given(st.integers(0, LARGEST_TESTED), hints, st.sampled_from([MIN_PART_BYTES, DEFAULT_PART_BYTES]))
def test_any_file_fits_with_any_hint(size: int, hint: int | None, smallest: int) -> None:
    parts = cut(size, PartSizes.planned(smallest, hint))
    assert len(parts) <= MAX_PARTS
    assert all(smallest <= part <= MAX_PART_BYTES for part in parts[:-1])
    assert sum(parts) == size


def test_the_largest_file_fits_without_a_hint() -> None:
    for smallest in (MIN_PART_BYTES, DEFAULT_PART_BYTES):
        parts = cut(LARGEST_TESTED, PartSizes.planned(smallest, None))
        assert len(parts) <= MAX_PARTS
        assert all(later >= earlier for earlier, later in itertools.pairwise(parts[:-1]))


@given(st.integers(0, LARGEST_TESTED))
def test_a_file_that_its_hint_fits_never_meets_the_growth(size: int) -> None:
    sizes = PartSizes.planned(DEFAULT_PART_BYTES, size)
    parts = cut(size, sizes)
    assert all(part == sizes.first for part in parts[:-1])
    assert sizes.first <= max(DEFAULT_PART_BYTES, size // (MAX_PARTS // 2) + 1)


@given(st.integers(1, MAX_PARTS), hints)
def test_memory(number: int, hint: int | None) -> None:
    sizes = PartSizes.planned(DEFAULT_PART_BYTES, hint)
    held = (sizes.at_once(number) + 1) * sizes.size(number)
    assert held <= max(80 * MIB, 3 * sizes.size(number))
    if hint is not None and hint <= 78 * GIB and number <= sizes.steady:
        assert held == 80 * MIB


def test_composite_checksum() -> None:
    digests = [hashlib.sha256(data).digest() for data in (b"a", b"b")]
    parts = [Part("", base64.b64encode(digest).decode(), 1) for digest in digests]
    expected = base64.b64encode(hashlib.sha256(digests[0] + digests[1]).digest()).decode()
    assert composite_checksum(parts) == f"{expected}-2"


def test_too_many_parts(weed: Weed, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataset_export.destinations.s3_upload.MAX_PARTS", 2)
    store = S3Store(weed.client, bucket, part_size=MIN_PART_BYTES)

    def stage_three() -> None:
        with store.stage("file") as upload:
            upload.write(bytes(3 * MIN_PART_BYTES))

    with pytest.raises(StorageFull, match="limit the bytes per file"):
        stage_three()
    assert list(store.leftovers()) == []


def test_too_small_parts_are_refused() -> None:
    with pytest.raises(ConfigError, match="too small"):
        S3Store(lambda: None, "bucket", part_size=MIB)
