"""Fingerprints of sets of files: which files differ is told exactly, or that more do than can be told."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_export.errors import IntegrityError
from dataset_export.lake.fingerprint import Record, difference, fingerprint
from dataset_export.lake.folder_files import DataFile
from dataset_export_tests.lake.delta_tables import day

file = st.builds(
    DataFile,
    st.text(min_size=1, max_size=8),
    st.integers(0, 2**40),
    st.integers(0, 10**12).map(lambda micros: day(1) + timedelta(microseconds=micros)),
)


def files(count: int, prefix: str = "") -> list[DataFile]:
    return [DataFile(f"{prefix}{at}", at, day(1)) for at in range(count)]


@given(st.sets(file, max_size=30), st.sets(file, max_size=20), st.sets(file, max_size=20))
def test_what_differs_is_told(both: set[DataFile], before: set[DataFile], after: set[DataFile]) -> None:
    found = difference(fingerprint(both | before), both | after)
    came, gone = (both | after) - (both | before), (both | before) - (both | after)
    if found is None:
        assert not came
        assert not gone
        return
    # Nothing that is told is wrong; that few differences cannot all be told is rare.
    assert {*found.came} <= {Record.of(one) for one in came}
    assert {*found.gone} <= {Record.of(one) for one in gone}
    if found.complete:
        assert {*found.came} == {Record.of(one) for one in came}
        assert {*found.gone} == {Record.of(one) for one in gone}


@pytest.mark.parametrize("count", [1, 2, 5, 12])
def test_few_differences_among_many_files_are_all_told(count: int) -> None:
    many = files(3_000)
    found = difference(fingerprint(many), [*many[count:], *files(count, "late-")])
    assert found is not None
    assert found.complete
    assert {record.path for record in found.came} == {Record.of(one).path for one in files(count, "late-")}
    assert {*found.gone} == {Record.of(one) for one in many[:count]}


def test_many_differences_are_not_all_told() -> None:
    found = difference(fingerprint(files(500)), files(500, "other-"))
    assert found is not None
    assert not found.complete


def test_order_does_not_count_and_the_size_does_not_grow() -> None:
    assert fingerprint(files(100)) == fingerprint(reversed(files(100)))
    assert difference(fingerprint([]), []) is None
    assert len(fingerprint(files(3_000))) < 2_200


@pytest.mark.parametrize("text", ["", "?", "AAAA", "eJwDAAAAAAE="])
def test_what_is_no_fingerprint(text: str) -> None:
    with pytest.raises(IntegrityError, match="is none"):
        difference(text, [])
