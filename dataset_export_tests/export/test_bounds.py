"""Rules 1 to 4 of "Which rows belong to an export", against a model, and the names of files."""

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from dataset_export.export.bounds import Bounds, choose_bounds, still_valid
from dataset_export.export.destination_ledger import DestinationLedger
from dataset_export.export.file_names import file_name, name_mark
from dataset_export.export.ledger import Delivered, LedgerWith
from dataset_export_tests.export.exporter import START, MemoryLedger


def delivered(hour: int, lower: int | None, upper: int | None) -> Delivered:
    return Delivered(START + timedelta(hours=hour), lower, upper, str(uuid4()), f"m{hour}", "0" * 64)


@given(order=st.permutations(range(6)), commits=st.lists(st.integers(-2, 7), max_size=12))
def test_slices_tile_the_versions_whatever_the_order(order: list[int], commits: list[int]) -> None:
    """Commits become visible one by one between exports, each stamped with any hour."""
    ledger, visible = MemoryLedger(), [-5]
    waiting = list(commits)

    def newest_before(moment: datetime, at_least: int | None) -> int | None:
        numbers = [n for n, hour in enumerate(visible) if START + timedelta(hours=hour) < moment]
        found = max(numbers, default=None)
        return None if found is None or (at_least is not None and found < at_least) else found

    for hour in order:
        time = START + timedelta(hours=hour)
        bounds = choose_bounds(ledger, time, newest_before, full=False)
        assert still_valid(bounds, ledger, time, full=False)
        ledger.records[time] = delivered(hour, bounds.lower, bounds.upper)
        assert choose_bounds(ledger, time, newest_before, full=False) == bounds  # rule 4
        visible += [waiting.pop(0)] if waiting else []
    covered: list[int] = []
    for time in sorted(ledger.records):
        record = ledger.records[time]
        if record.upper is not None:
            covered += range(-1 if record.lower is None else record.lower, record.upper)
    assert covered == list(range(-1, len(covered) - 1)), "no version is skipped or delivered twice"


def test_a_plan_goes_stale_when_an_export_between_is_recorded() -> None:
    ledger = MemoryLedger()
    planned = Bounds(None, 3)
    assert still_valid(planned, ledger, START + timedelta(hours=2), full=False)
    ledger.records[START] = delivered(0, None, 2)
    assert not still_valid(planned, ledger, START + timedelta(hours=2), full=False)


def test_an_unrecorded_export_is_part_of_the_ledger_and_records_win() -> None:
    recorded, unrecorded = delivered(0, None, 1), delivered(1, 1, 2)
    ledger = LedgerWith(MemoryLedger({START: recorded}), (unrecorded, delivered(0, None, 9)))
    assert ledger.at(START) is recorded
    assert ledger.nearest_before(START + timedelta(hours=2)) is unrecorded
    assert ledger.nearest_before(START + timedelta(hours=1)) is recorded
    assert ledger.nearest_after(START) is unrecorded


@given(ordinal=st.integers(0, 99_999))
def test_s6_names_look_like_the_originals_and_p4_are_the_same_again(ordinal: int) -> None:
    run_id = str(uuid4())
    mark = name_mark("flow", "dataset", START, run_id)
    name = file_name("part", mark, ordinal, ".gz.parquet")
    pattern = r"part-\d{5}-tid-[1-9]\d{18}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-\d{6}-1-c000\.gz\.parquet"
    assert re.fullmatch(pattern, name)
    assert name == file_name("part", name_mark("flow", "dataset", START, run_id), ordinal, ".gz.parquet")
    others = [("flow2", "dataset", START, run_id), ("flow", "d", START, run_id), ("flow", "dataset", START, "other")]
    assert len({mark, *(name_mark(*other) for other in others)}) == 4


@given(places=st.lists(st.sampled_from("xyz"), min_size=1, max_size=10), order=st.randoms())
def test_p7_slices_tile_the_versions_at_every_destination(places: list[str], order: Random) -> None:
    """Each export goes to one of three places; the hours in between are launched in any order."""
    ledger, newest = MemoryLedger(), -1
    hours = list(range(len(places)))
    order.shuffle(hours)
    for hour, place in zip(hours, places, strict=True):
        newest += 1
        here = DestinationLedger(ledger, Place(f"place:{place}"))  # type: ignore[arg-type]
        time = START + timedelta(hours=hour)
        bounds = choose_bounds(here, time, lambda _, at_least, n=newest: n, full=False)
        ledger.records[time] = replace(delivered(hour, bounds.lower, bounds.upper), address=f"place:{place}")
    for place in set(places):
        there = [one for one in ledger.records.values() if one.address == f"place:{place}"]
        covered: list[int] = []
        for one in sorted(there, key=lambda one: one.export_time):
            if one.upper is not None:
                covered += range(-1 if one.lower is None else one.lower, one.upper)
        assert covered == list(range(-1, len(covered) - 1)), "no version is skipped or delivered twice"


@dataclass(frozen=True)
class Place:
    """A store that is asked for its address, and has nothing."""

    address: str

    def uri(self, path: str) -> str:
        return self.address + path

    def open(self, path: str) -> None:
        raise FileNotFoundError(path)
