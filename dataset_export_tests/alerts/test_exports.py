"""What a run of a dataflow gives rise to."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dataset_export.alerts.alert import AlertRules, Event, Route
from dataset_export.alerts.exports import Delivery, ExportRun, Outcome, run_alerts
from dataset_export.alerts.outbox import Outbox

AT = datetime(2026, 11, 2, 2, tzinfo=UTC)
ORDERS = Delivery(
    "orders", records=1_200, excluded=0, files=3, bytes=45_000, place="s3://b/orders/exportTime=202611020200"
)
DONE = ExportRun(
    dataflow="flow",
    export_time=AT,
    run_id="2",
    root_run_id="1",
    started_at=AT + timedelta(seconds=5),
    ended_at=AT + timedelta(minutes=2),
    outcome=Outcome.SUCCEEDED,
    deliveries=(ORDERS,),
)
FAILED = replace(DONE, outcome=Outcome.FAILED, deliveries=(), faults=("orders, publish: there is no bucket 'b'",))


def events(run: ExportRun) -> list[Event]:
    return [alert.event for alert in run_alerts(run)]


def test_s8_an_export_that_started_and_succeeded() -> None:
    started, succeeded = run_alerts(DONE)
    assert (started.event, started.title) == (Event.STARTED, "flow: export of 2026-11-02 02:00 UTC started")
    assert started.happened_at == DONE.started_at
    assert (succeeded.event, succeeded.title) == (Event.SUCCEEDED, "flow: export of 2026-11-02 02:00 UTC succeeded")
    assert succeeded.text == (
        "orders: 1,200 records, 3 files, 45,000 bytes, in s3://b/orders/exportTime=202611020200\nRun 2."
    )


def test_s8_an_export_that_failed_says_why() -> None:
    _, failed = run_alerts(FAILED)
    assert (failed.event, failed.title) == (Event.FAILED, "flow: export of 2026-11-02 02:00 UTC failed")
    assert failed.text == "orders, publish: there is no bucket 'b'\nRun 2."
    part = replace(FAILED, deliveries=(ORDERS,))
    assert "Delivered all the same:\norders: 1,200 records" in list(run_alerts(part))[-1].text
    mute = replace(FAILED, faults=())
    assert list(run_alerts(mute))[-1].text == "The run ended without saying why.\nRun 2."


@pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.FAILED])
def test_s8_a_check_that_failed_is_told_as_a_failure(outcome: Outcome) -> None:
    run = replace(DONE, outcome=outcome, failed_checks=("orders, check files_match_manifest: 2 of 3 files",))
    _, failed = run_alerts(run)
    assert failed.event is Event.FAILED
    assert failed.title == "flow: export of 2026-11-02 02:00 UTC was delivered, but a check of it failed"
    assert failed.text.startswith("orders, check files_match_manifest: 2 of 3 files\norders: 1,200 records")


def test_s8_runs_that_dagster_retries_start_and_fail_once() -> None:
    first = replace(FAILED, run_id="1", retried=True)
    told = {alert.keys[0] for run in (first, FAILED) for alert in run_alerts(run)}
    assert told == {"started:1", "failed:2"}


def test_s8_a_failure_that_comes_again_for_the_same_reason_is_told_once_and_once_more_when_it_is_given_up() -> None:
    again = replace(FAILED, run_id="3", root_run_id="3")
    other = replace(again, run_id="4", faults=("orders, publish: the password is wrong",))
    last = replace(again, run_id="5", given_up=True)
    box = Outbox(since=AT)
    for run in (FAILED, again, other, again, last):
        box = box.with_alerts(run_alerts(run), AlertRules((Route("ops", (Event.FAILED,)),)), AT)
    assert [entry.alert.keys[0] for entry in box.entries] == ["failed:2", "failed:4", "failed:5"]
    given_up = box.entries[-1].alert
    assert given_up.title == "flow: export of 2026-11-02 02:00 UTC failed, and is not tried again"
    assert "correct the cause, then: dataset-export run flow --export-time 202611020200\n" in given_up.text


def test_a_run_that_goes_on_or_was_cancelled() -> None:
    assert events(replace(DONE, ended_at=None, outcome=None)) == [Event.STARTED]
    assert events(replace(DONE, ended_at=None, outcome=None, started_at=None)) == []
    assert events(replace(FAILED, outcome=Outcome.CANCELED)) == [Event.STARTED]


def test_s8_excluded_rows_are_told_once_for_an_export_time() -> None:
    run = replace(DONE, deliveries=(replace(ORDERS, excluded=70),))
    [told] = [alert for alert in run_alerts(run) if alert.event is Event.EXCLUDED_ROWS]
    assert told.title == "flow: export of 2026-11-02 02:00 UTC left out 70 records of orders"
    assert "1,200 records, 3 files, 45,000 bytes, 70 records left out" in told.text
    [resent] = [alert for alert in run_alerts(replace(run, run_id="9")) if alert.event is Event.EXCLUDED_ROWS]
    assert resent.keys == told.keys


def test_s8_schema_drift_and_volume_anomaly() -> None:
    odd = replace(ORDERS, schema_change="added: price (double)", earlier_records=(10,) * 28)
    drift, anomaly = list(run_alerts(replace(DONE, deliveries=(odd,))))[1:3]
    assert (drift.event, anomaly.event) == (Event.SCHEMA_DRIFT, Event.VOLUME_ANOMALY)
    assert drift.text.startswith("added: price (double)\n")
    assert anomaly.title == "flow: export of 2026-11-02 02:00 UTC has unusually many records of orders"
    assert "1,200 records; the 28 exports before had 10 in the median, 10 to 10." in anomaly.text
    few = replace(ORDERS, records=0, earlier_records=(10,) * 28)
    titles = [alert.title for alert in run_alerts(replace(DONE, deliveries=(few,)))]
    assert "flow: export of 2026-11-02 02:00 UTC has unusually few records of orders" in titles
