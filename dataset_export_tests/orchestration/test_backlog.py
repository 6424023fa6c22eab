"""What of a dataflow is due and not delivered, and when it is tried again."""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_export.orchestration.backlog import LONGEST_WAIT, MAX_ATTEMPTS, Backlog, backlog_of, wait_after
from dataset_export_tests.orchestration.hourly import (
    EVENTS,
    ORDERS,
    add_run,
    dataflow,
    fail_run,
    hour,
    key,
    materialize,
)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def ready(backlog: Backlog) -> list[str]:
    return [due.export_time for due in backlog.ready]


def test_the_backlog_is_what_is_due_missing_and_not_in_flight(instance: dg.DagsterInstance) -> None:
    materialize(instance, 0, EVENTS)
    add_run(instance, 2, dg.DagsterRunStatus.STARTED)
    backlog = backlog_of(dataflow(), instance, hour(2.5))
    assert [(due.export_time, set(due.missing)) for due in backlog.ready] == [
        (key(0), {ORDERS}),
        (key(1), {ORDERS, EVENTS}),
    ]
    assert backlog.in_flight == (key(2),)
    assert backlog.pending


def test_s4_a_failed_export_time_is_tried_again_after_waits_that_grow_until_the_limit(
    instance: dg.DagsterInstance,
) -> None:
    now, minute = hour(0), timedelta(minutes=1)
    for failed in range(1, MAX_ATTEMPTS):
        fail_run(instance, 0, now)
        wait = wait_after(failed)
        resting = backlog_of(dataflow(), instance, min(now + wait - minute, hour(0.99)))
        assert resting.waiting == {key(0): now + wait}
        now += wait
        assert ready(backlog_of(dataflow(), instance, now))[0] == key(0)
    fail_run(instance, 0, now)
    backlog = backlog_of(dataflow(), instance, now + timedelta(days=365))
    assert backlog.given_up == (key(0),)
    assert key(0) not in ready(backlog)


def test_s4_the_waits_add_up_to_a_weekend() -> None:
    waits = [wait_after(failed) for failed in range(1, MAX_ATTEMPTS)]
    assert waits[:4] == [timedelta(minutes=minutes) for minutes in (5, 20, 80, 320)]
    assert timedelta(days=3) < sum(waits, timedelta()) < timedelta(days=4)


@given(st.integers(1, 1000))
def test_s4_a_wait_is_never_shorter_than_the_one_before(failed: int) -> None:
    assert timedelta(0) < wait_after(failed) <= wait_after(failed + 1) <= LONGEST_WAIT


def test_s4_the_wait_counts_from_the_last_failure(instance: dg.DagsterInstance) -> None:
    """A run that fails after hours rests as long as one that fails at once."""
    fail_run(instance, 0, hour(3))
    fail_run(instance, 0, hour(0))
    assert backlog_of(dataflow(), instance, hour(3)).waiting == {key(0): hour(3) + timedelta(minutes=20)}


def test_s4_a_failed_export_time_holds_back_no_later_one_and_comes_first_again(instance: dg.DagsterInstance) -> None:
    fail_run(instance, 0, hour(1))
    assert ready(backlog_of(dataflow(), instance, hour(1))) == [key(1)]
    assert ready(backlog_of(dataflow(), instance, hour(2))) == [key(0), key(1), key(2)]


def test_retries_of_a_run_are_one_attempt(instance: dg.DagsterInstance) -> None:
    root = fail_run(instance, 0, hour(-3))
    for _ in range(MAX_ATTEMPTS):
        fail_run(instance, 0, hour(-2), root=root)
    assert ready(backlog_of(dataflow(), instance, hour(0))) == [key(0)]


def test_what_a_person_starts_is_no_attempt(instance: dg.DagsterInstance) -> None:
    for _ in range(MAX_ATTEMPTS):
        fail_run(instance, 0, hour(0), scheduled=False)
    assert ready(backlog_of(dataflow(), instance, hour(0))) == [key(0)]


def test_a_run_that_a_person_cancels_is_an_attempt(instance: dg.DagsterInstance) -> None:
    fail_run(instance, 0, hour(0), canceled=True)
    assert backlog_of(dataflow(), instance, hour(0)).waiting == {key(0): hour(0) + timedelta(minutes=5)}


def test_a_run_that_a_person_launched_is_in_flight(instance: dg.DagsterInstance) -> None:
    """From an asset's page: it carries no tag of the dataflow."""
    tags = {"dagster/partition": key(0)}
    started = dg.DagsterRunStatus.STARTED
    instance.add_run(dg.DagsterRun("__ASSET_JOB", status=started, tags=tags, asset_selection=frozenset({ORDERS})))
    assert backlog_of(dataflow(), instance, hour(0)).in_flight == (key(0),)
