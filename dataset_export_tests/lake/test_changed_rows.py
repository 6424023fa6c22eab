"""Rows of a file that came or went with what marks them, against a model of sets of positions."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dataset_export.lake.changed_rows import Marked, back_and_gone
from dataset_export.lake.table import RowSelection, SourceFile

MARKS = {f"m{number}": set(positions) for number, positions in enumerate([(0, 1), (1, 2, 5), (3,), (), (0, 3, 4)])}
"""What each mark marks."""
chosen = st.frozensets(st.sampled_from(sorted(MARKS)), max_size=3)


def marked(marks: frozenset[str]) -> set[int]:
    return set[int]().union(*(MARKS[mark] for mark in marks))


def positions(text: str) -> np.ndarray:
    return np.array(sorted(marked(frozenset(text.split(",")))), np.int64)


def at_a_version(marks: frozenset[str], *, known: bool) -> Marked:
    file = SourceFile("a", 1, deletes=",".join(sorted(marks)) or None)
    return Marked(file, marks, len(marked(marks)) if known else None)


def counting(file: SourceFile, rows: int) -> set[int]:
    found = RowSelection.of(file, positions)
    kept = range(rows) if found is None or found.only is None else found.only.tolist()
    return set(kept) - set(found.dropped.tolist() if found is not None else ())


@given(chosen, chosen, st.booleans())
def test_the_rows_that_are_back_and_those_that_are_gone(
    earlier: frozenset[str], later: frozenset[str], known: bool
) -> None:
    pair = at_a_version(earlier, known=known), at_a_version(later, known=known)
    back, gone = back_and_gone([pair], lambda file: positions(file.deletes or ""))
    for files, expected in ((back, marked(earlier) - marked(later)), (gone, marked(later) - marked(earlier))):
        assert [counting(file, 6) for file in files if counting(file, 6)] == ([expected] if expected else [])
        if known:
            assert [file.rows for file in files] == ([len(expected)] if expected else [])


def test_marks_are_read_of_files_alone_that_had_others_before() -> None:
    asked: list[str | None] = []
    pairs = [
        (at_a_version(frozenset(before), known=True), at_a_version(frozenset(after), known=True))
        for before, after in ([["m0"], ["m0"]], [[], ["m1"]], [["m1"], []], [["m0"], ["m1"]])
    ]

    def deleted_rows(file: SourceFile) -> np.ndarray:
        asked.append(file.deletes)
        return positions(file.deletes or "")

    back, gone = back_and_gone(pairs, deleted_rows)
    assert sorted(map(str, asked)) == ["m0", "m1"]
    assert [file.rows for file in back] == [3, 1]
    assert [file.rows for file in gone] == [3, 2]
