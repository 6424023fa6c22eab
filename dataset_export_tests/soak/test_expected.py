"""What the soak expects to be told: its own account of the rules, which must not be one that accepts anything."""

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from dataset_export.alerts.volume import volume_anomaly
from dataset_export_tests.export.exporter import START
from dataset_export_tests.soak.declarations import Flow
from dataset_export_tests.soak.expected import Expected, stands_out
from dataset_export_tests.soak.facts import MAX_ATTEMPTS, Delivery, Facts, Run

HOUR = timedelta(hours=1)
DATASET = frozenset({"orders"})


class World:
    """A daily dataflow, and what is expected to be told of it."""

    def __init__(self, end: datetime | None = None) -> None:
        self.flow = Flow("flow", ("orders",), "partner", START, timedelta(days=1), end, {})
        self.facts = Facts({"flow": self.flow})
        self.expected = Expected(self.facts, START - HOUR)

    def fails(self, reason: str = "no bucket") -> None:
        self.facts.note(Run("flow", START, True, DATASET, False, (reason,), (), ()))

    def delivers(self, at: datetime, excluded: int = 0) -> None:
        delivery = Delivery(self.flow, "orders", START, at, 9, excluded, other_columns=False, increment=False)
        self.facts.note(Run("flow", START, True, DATASET, True, (), (), (delivery,)))

    def heard_after(self, *hours: float) -> list[str]:
        before = self.expected.told.copy()
        for passed in hours:
            self.expected.tick(START + passed * HOUR)
        return sorted(what for _, what in (self.expected.told - before).elements())


EXPORT = f"flow: export of {START:%Y-%m-%d %H:%M} UTC"
LATE = f"flow is late: {START:%Y-%m-%d %H:%M} UTC: orders"


def test_a_run_is_told_once() -> None:
    world = World()
    world.delivers(START + HOUR, excluded=3)
    told = [f"{EXPORT} left out 3 records of orders", f"{EXPORT} started", f"{EXPORT} succeeded"]
    assert world.heard_after(1) == told
    assert world.heard_after(2, 3) == []


def test_a_failure_is_told_once_for_each_reason_and_once_more_when_it_is_given_up() -> None:
    world = World()
    world.fails()
    assert world.heard_after(1) == [f"{EXPORT} failed", f"{EXPORT} started"]
    world.fails()
    assert world.heard_after(2) == [f"{EXPORT} started"]
    world.fails("another one")
    assert f"{EXPORT} failed" in world.heard_after(2.4)
    for _ in range(MAX_ATTEMPTS - 3):
        world.fails()
    assert f"{EXPORT} failed, and is not tried again" in world.heard_after(2.4)


def test_an_export_is_late_when_it_is_not_there_in_time_and_said_so_once() -> None:
    world = World()
    assert world.heard_after(2) == []
    assert world.heard_after(3) == [LATE]
    assert world.heard_after(4, 5) == []


def test_an_export_that_came_too_late_between_two_looks_is_late() -> None:
    world = World()
    world.delivers(START + 2.6 * HOUR)
    assert LATE in world.heard_after(2, 3)


def test_an_end_is_near_once_and_has_come_when_all_is_delivered() -> None:
    world = World(end=START + 47 * HOUR)
    assert world.heard_after(2) == []
    near = "flow: the end is near, " + f"{START + 47 * HOUR:%Y-%m-%d %H:%M} UTC"
    assert near in world.heard_after(23.5)
    assert near not in world.heard_after(24.5, 30)
    assert not any("ended on" in what for what in world.heard_after(48))  # two exports are not there yet


def test_an_end_is_told_when_all_that_was_due_is_delivered() -> None:
    world = World(end=START + HOUR)
    assert world.heard_after(0.5, 1.5) == []
    world.delivers(START + 1.6 * HOUR)
    ended = f"flow: ended on {START + HOUR:%Y-%m-%d %H:%M} UTC"
    assert ended in world.heard_after(2)
    assert world.heard_after(3) == []


def test_an_export_that_came_after_a_later_one_is_no_measure_and_does_not_stand_out() -> None:
    world = World()

    def delivers(day: int, records: int) -> None:
        time = START + timedelta(days=day)
        delivery = Delivery(world.flow, "orders", time, time, records, 0, False, True, no_versions=not records)
        world.facts.note(Run("flow", time, True, DATASET, True, (), (), (delivery,)))

    for day in (0, 1, 2, 3, 4, 6, 7):
        delivers(day, 10)
    delivers(5, 0)
    assert not any("unusually" in what for what in world.heard_after(180))
    delivers(8, 0)
    delivers(9, 10)
    odd = [what for what in world.heard_after(230) if "unusually" in what]
    assert odd == [
        f"flow: export of {START + timedelta(days=8):%Y-%m-%d %H:%M} UTC has unusually few records of orders"
    ]


@given(st.lists(st.integers(0, 60), max_size=30), st.integers(0, 200))
def test_a_volume_stands_out_for_both_accounts_or_for_none(before: list[int], records: int) -> None:
    found = volume_anomaly(records, before)
    side = 0 if found is None else (1 if records > found.median else -1)
    assert stands_out(records, before[-28:]) == side
