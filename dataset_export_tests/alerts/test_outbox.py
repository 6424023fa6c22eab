"""Alerts on their way: told once, tried again, given up and never lost, whatever happens in which order."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from dataset_export.alerts.alert import DEFAULT_EVENTS, Alert, AlertRules, Event, Route, rules_of_all
from dataset_export.alerts.outbox import FIRST_WAIT, KEPT, LONGEST_WAIT, MOST_TRIES, REMEMBERED, Outbox, State
from dataset_export.alerts.saved import alerts_from, alerts_text, outbox_from, outbox_text

NOW = datetime(2026, 11, 2, 8, tzinfo=UTC)
RULES = AlertRules((Route("ops"), Route("boss", (Event.FAILED, Event.STARTED))))
EVENTS = st.sampled_from(Event)


def alert(key: str, event: Event = Event.FAILED) -> Alert:
    return Alert(event, (key,), f"title of {key}", "text", NOW)


ALERTS = st.lists(st.builds(alert, st.sampled_from("abcdefgh"), EVENTS), max_size=20)


def empty() -> Outbox:
    return Outbox(since=NOW)


def test_s8_by_default_a_channel_hears_all_but_what_happens_when_all_is_well() -> None:
    assert set(Event) - set(DEFAULT_EVENTS) == {Event.STARTED, Event.SUCCEEDED}
    assert set(Event) >= {*["started", "succeeded", "failed", "late", "excluded_rows", "end_near", "ended"]}


def test_s8_each_channel_gets_what_it_hears_of() -> None:
    box = empty().with_alerts([alert("f"), alert("s", Event.STARTED), alert("l", Event.LATE)], RULES, NOW)
    assert [(entry.alert.keys[0], entry.channel) for entry in box.entries] == [
        ("f", "ops"),
        ("f", "boss"),
        ("s", "boss"),
        ("l", "ops"),
    ]
    twice = AlertRules((Route("ops", (Event.FAILED,)), Route("ops", (Event.FAILED, Event.LATE))))
    assert twice.channels(Event.FAILED) == ("ops",)
    assert AlertRules().channels(Event.FAILED) == ()
    assert rules_of_all([AlertRules(), RULES, twice]).channels(Event.FAILED) == ("ops", "boss")


@given(st.lists(ALERTS, max_size=6))
def test_s8_an_alert_is_told_once_however_often_it_is_made(ticks: list[list[Alert]]) -> None:
    rules = AlertRules((Route("ops", tuple(Event)),))
    box = empty()
    for number, alerts in enumerate(ticks):
        box = box.with_alerts(alerts, rules, NOW + timedelta(minutes=number))
    first = {one.keys: one for alerts in reversed(ticks) for one in reversed(alerts)}
    told = [entry.alert for entry in box.entries]
    assert len(told) == len(first)
    assert {one.keys: one for one in told} == first


@given(ALERTS, ALERTS)
def test_making_alerts_again_after_a_crash_changes_nothing(before: list[Alert], after: list[Alert]) -> None:
    box = empty().with_alerts(before, RULES, NOW)
    assert box.with_alerts(before, RULES, NOW) == box
    again = box.with_alerts([*before, *after], RULES, NOW)
    assert again == box.with_alerts(after, RULES, NOW)


def test_an_alert_of_which_something_was_told_is_not_told_and_all_of_it_is_known() -> None:
    box = empty().with_alerts([alert("a")], RULES, NOW)
    both = Alert(Event.FAILED, ("a", "b"), "two", "", NOW)
    assert box.with_alerts([both], RULES, NOW).entries == box.entries
    assert box.with_alerts([both], RULES, NOW).knows("b")


def test_s8_waits_double_and_an_alert_is_given_up_after_a_day() -> None:
    box = empty().with_alerts([alert("a")], AlertRules((Route("ops"),)), NOW)
    [entry] = box.entries
    now, waits = NOW, []
    while entry.due_at is not None:
        now = entry.due_at
        entry = entry.failed(now, "the receiver answered 500")
        if entry.due_at is not None:
            waits.append(entry.due_at - now)
    assert waits[:9] == [min(FIRST_WAIT * 2**n, LONGEST_WAIT) for n in range(9)]
    assert waits == sorted(waits)
    assert max(waits) == LONGEST_WAIT
    assert (entry.state, entry.tries, entry.reason) == (State.GIVEN_UP, MOST_TRIES, "the receiver answered 500")
    assert timedelta(hours=23) < now - NOW < timedelta(hours=25)


@given(st.lists(st.booleans(), max_size=MOST_TRIES + 3))
def test_s8_an_alert_is_sent_or_given_up_and_never_lost(answers: list[bool]) -> None:
    box = empty().with_alerts([alert("a")], AlertRules((Route("ops"),)), NOW)
    now, sent = NOW, 0
    for answer in answers:
        due = box.due(now)
        for entry in due:
            box = box.with_entry(entry, entry.sent(now) if answer else entry.failed(now, "no"))
            sent += answer
        assert len(box.entries) == 1
        now += LONGEST_WAIT
    [entry] = box.entries
    assert sent == (entry.state is State.SENT)
    assert sent <= 1
    assert (entry.state is State.PENDING) == box.pending() == (not any(answers) and len(answers) < MOST_TRIES)


def test_what_is_due_is_what_nobody_took_and_whose_wait_is_over() -> None:
    box = empty().with_alerts([alert("a"), alert("b")], AlertRules((Route("ops"),)), NOW)
    first, second = box.entries
    box = box.with_entry(first, first.failed(NOW, "no")).with_entry(second, second.sent(NOW))
    assert box.due(NOW) == []
    assert [entry.alert for entry in box.due(NOW + FIRST_WAIT)] == [first.alert]


def test_old_keys_and_old_entries_go_and_pending_ones_stay() -> None:
    rules = AlertRules((Route("ops"),))
    box = empty().with_alerts([alert(f"{n:03}") for n in range(KEPT + 20)], rules, NOW)
    for number, entry in enumerate(box.entries):
        if number >= 10:
            box = box.with_entry(entry, entry.sent(NOW))
    box = box.with_alerts([alert("long")], AlertRules(), NOW, remembered=2 * REMEMBERED)
    later = NOW + REMEMBERED
    box = box.with_alerts([alert("new")], rules, later)
    pruned = box.pruned(later + timedelta(seconds=1))
    assert set(pruned.told) == {"new", "long"}
    states = [entry.state for entry in pruned.entries]
    assert (states.count(State.PENDING), states.count(State.SENT)) == (11, KEPT)
    assert pruned.entries[10].alert.keys == ("020",)


def test_what_is_made_again_and_again_is_remembered_as_long() -> None:
    rules = AlertRules((Route("ops"),))
    box, now = empty(), NOW
    for _ in range(60):
        box = box.with_alerts([alert("ended", Event.ENDED)], rules, now).pruned(now)
        now += timedelta(hours=12)
    assert len(box.entries) == 1


def test_a_key_that_is_known_is_noted_once_a_day_only() -> None:
    box = empty().with_alerts([alert("a")], RULES, NOW)
    assert box.with_alerts([alert("a")], RULES, NOW + timedelta(hours=23)) == box


@given(ALERTS, st.lists(st.booleans(), max_size=10))
def test_an_outbox_is_read_back_as_it_was_saved(alerts: list[Alert], answers: list[bool]) -> None:
    box = empty().with_alerts(alerts, RULES, NOW)
    for entry, answer in zip(box.entries, answers, strict=False):
        box = box.with_entry(entry, entry.sent(NOW) if answer else entry.failed(NOW, "näin"))
    assert outbox_from(outbox_text(box)) == box
    assert alerts_from(alerts_text(alerts)) == alerts
