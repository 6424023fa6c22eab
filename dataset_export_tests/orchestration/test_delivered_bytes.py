"""Bytes by day, counted from the history: rightly, whenever somebody counts, and without reading it all again."""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from dagster._core.test_utils import freeze_time
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_export.destinations.io_manager import MANIFEST_PATH_KEY
from dataset_export.orchestration.delivered_bytes import FIRST_PAGE, KEPT, PAGE, SETTLED, delivered_bytes
from dataset_export.orchestration.ledger import BYTES_SENT_KEY

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
DAY = BEGIN.date()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def hour(number: float) -> datetime:
    return BEGIN + timedelta(hours=number)


def deliver(
    instance: dg.DagsterInstance, at: datetime, sent: int, *key: str, metadata: Mapping[str, Any] | None = None
) -> None:
    """What an export leaves in the history."""
    recorded = {MANIFEST_PATH_KEY: "m.json", BYTES_SENT_KEY: sent} if metadata is None else metadata
    with freeze_time(at):
        instance.report_runless_asset_event(
            dg.AssetMaterialization(dg.AssetKey(key or ("flow", "orders")), partition="202611010800", metadata=recorded)
        )


def count(instance: dg.DagsterInstance, now: datetime, since: date = DAY) -> dict[str, dict[date, int]]:
    return {"/".join(key): dict(days) for key, days in delivered_bytes(instance, since, now).items()}


class Reads:
    """How many materializations were read."""

    def __init__(self, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
        self.records = 0
        fetch = instance.fetch_materializations

        def counted(*args: Any, **options: Any) -> Any:
            result = fetch(*args, **options)
            self.records += len(result.records)
            return result

        monkeypatch.setattr(instance, "fetch_materializations", counted)

    def take(self) -> int:
        taken, self.records = self.records, 0
        return taken


def test_s9_bytes_are_counted_by_dataflow_dataset_and_day(instance: dg.DagsterInstance) -> None:
    deliver(instance, hour(-1), 1)
    deliver(instance, hour(0), 2)
    deliver(instance, hour(23.9), 3)
    deliver(instance, hour(24), 4)
    deliver(instance, hour(25), 5, "flow", "events")
    deliver(instance, hour(25), 6, "other", "orders")
    assert count(instance, hour(30)) == {
        "flow/events": {date(2026, 11, 2): 5},
        "flow/orders": {DAY: 5, date(2026, 11, 2): 4},
        "other/orders": {date(2026, 11, 2): 6},
    }


def test_what_is_no_export_is_not_counted(instance: dg.DagsterInstance) -> None:
    deliver(instance, hour(1), 0, "mine", metadata={"bytes": 7})
    deliver(instance, hour(1), 0, "my", "table", metadata={"bytes": 7})
    assert count(instance, hour(9)) == {}
    # By hand in the UI, between two exports.
    deliver(instance, hour(2), 5)
    deliver(instance, hour(3), 0, metadata={})
    deliver(instance, hour(4), 6)
    assert count(instance, hour(9)) == {"flow/orders": {DAY: 11}}


def test_exports_that_earlier_versions_recorded_count_in_full(instance: dg.DagsterInstance) -> None:
    deliver(instance, hour(1), 0, metadata={MANIFEST_PATH_KEY: "m.json", "bytes": 7})
    assert count(instance, hour(9)) == {"flow/orders": {DAY: 7}}


def test_s9_counting_reads_only_what_is_new(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    exports = PAGE + FIRST_PAGE + 50
    for number in range(exports):
        deliver(instance, hour(number / 100), 1)
    deliver(instance, hour(1), 1, "flow", "events")
    reads = Reads(instance, monkeypatch)
    now = hour(exports / 100 + 2)
    expected = {"flow/events": {DAY: 1}, "flow/orders": {DAY: exports}}
    assert count(instance, now) == expected
    assert reads.take() == exports + 1
    assert count(instance, now) == expected
    assert reads.take() == 0
    deliver(instance, now, 3)
    assert count(instance, now + timedelta(minutes=1)) == {"flow/events": {DAY: 1}, "flow/orders": {DAY: exports + 3}}
    assert reads.take() <= FIRST_PAGE


def test_what_is_recorded_late_is_counted(instance: dg.DagsterInstance) -> None:
    """By a machine whose clock is behind, or a database that took its time."""
    deliver(instance, hour(1), 1)
    deliver(instance, hour(5), 2)
    assert count(instance, hour(5.5)) == {"flow/orders": {DAY: 3}}
    deliver(instance, hour(5.5) - SETTLED + timedelta(minutes=1), 4)
    for now in (hour(5.6), hour(9), hour(12)):
        assert count(instance, now) == {"flow/orders": {DAY: 7}}


def test_s9_what_was_counted_stays_counted_when_an_asset_is_wiped(instance: dg.DagsterInstance) -> None:
    deliver(instance, hour(1), 5)
    assert count(instance, hour(9)) == {"flow/orders": {DAY: 5}}
    with freeze_time(hour(9)):
        instance.wipe_assets([dg.AssetKey(["flow", "orders"])])
    assert count(instance, hour(9)) == {"flow/orders": {DAY: 5}}
    deliver(instance, hour(10), 2)
    for _ in range(2):
        assert count(instance, hour(12)) == {"flow/orders": {DAY: 7}}


def test_an_earlier_first_day_is_counted_anew_and_a_later_one_is_not(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = DAY - timedelta(days=1)
    deliver(instance, hour(-1), 1)
    deliver(instance, hour(1), 2)
    assert count(instance, hour(9)) == {"flow/orders": {DAY: 2}}
    assert count(instance, hour(9), before) == {"flow/orders": {before: 1, DAY: 2}}
    reads = Reads(instance, monkeypatch)
    assert count(instance, hour(9)) == {"flow/orders": {DAY: 2}}
    assert count(instance, hour(9), before) == {"flow/orders": {before: 1, DAY: 2}}
    assert reads.take() == 0


def test_days_of_earlier_licence_years_are_dropped_from_tallies(instance: dg.DagsterInstance) -> None:
    deliver(instance, hour(1), 1)
    count(instance, hour(9))
    later = BEGIN + KEPT + timedelta(days=9)
    deliver(instance, later, 2)
    assert count(instance, later + timedelta(hours=5), later.date()) == {"flow/orders": {later.date(): 2}}
    [text] = instance.daemon_cursor_storage.get_cursor_values({"dataset_export/delivered_bytes/flow/orders"}).values()
    assert "2026-11-01" not in text


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("deliver"), st.sampled_from(["orders", "events"]), st.integers(0, 100)),
        st.tuples(st.just("count"), st.just(""), st.just(0)),
        st.tuples(st.just("wait"), st.just(""), st.integers(1, 2000)),
    ),
    max_size=25,
)


@settings(max_examples=25)
@given(EVENTS)
def test_s9_the_count_does_not_depend_on_when_somebody_counted(happened: list[tuple[str, str, int]]) -> None:
    now = hour(1)
    expected: dict[str, dict[date, int]] = {}
    with dg.DagsterInstance.ephemeral() as instance:
        for what, dataset, number in happened:
            now += timedelta(minutes=number if what == "wait" else 1)
            if what == "deliver":
                deliver(instance, now, number, "flow", dataset)
                days = expected.setdefault(f"flow/{dataset}", {})
                if number:
                    days[now.date()] = days.get(now.date(), 0) + number
            elif what == "count":
                assert count(instance, now) == expected
        assert count(instance, now) == expected
