"""The end of a dataflow (spec S5): warned of ahead, reached, said, and left again when a later end is declared."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from logging import getLogger

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from dataset_export.errors import UsageError
from dataset_export.export.dataflow import Dataflow
from dataset_export.export.schedule import parse_export_time
from dataset_export.orchestration.backlog import MAX_ATTEMPTS, Backlog, DueExport, backlog_of, is_run_of, run_requests
from dataset_export.orchestration.life_record import LifeRecords, Standing, declared
from dataset_export.orchestration.names import PARTITION_TAG
from dataset_export.orchestration.notices import Notice, NoticeKind, Notify
from dataset_export.orchestration.pools import keep_limits
from dataset_export.orchestration.schedule import between_ticks, some
from dataset_export.orchestration.stored_schedules import StoredSchedules

LOG = getLogger("dataset_export")

WARN_DAYS = (30, 7, 1)
"""How many days ahead an end is warned of, each once (spec S5)."""


@dataclass
class LifeTick:
    """One tick of the sensor: what it works with, and what it has done.

    Attributes:
        instance: runs, storage and history.
        schedules: as they are stored.
        records: what is remembered of dataflows.
        notify: who takes notices over.
        now: UTC.
        requests: the runs that it asks for.
        did: what it did, a sentence each.
    """

    instance: dg.DagsterInstance
    schedules: StoredSchedules
    records: LifeRecords
    notify: Sequence[Notify]
    now: datetime
    requests: list[dg.RunRequest] = field(default_factory=list[dg.RunRequest])
    did: list[str] = field(default_factory=list[str])

    def stands(self, dataflow: Dataflow, standing: Standing, *, stopped_for: str | None = None) -> None:
        """Remember how sensor and schedule stand."""
        record = self.records.of(dataflow)
        changed = replace(record, standing=standing, stopped_for=stopped_for or record.stopped_for)
        self.records.put(dataflow, changed)


def attend(dataflow: Dataflow, tick: LifeTick) -> None:
    """Do at one tick what the life of a dataflow asks for.

    Before its end: warn, and let a schedule that is new or runs again catch up. After it: deliver what was due and is
    missing, then stop the schedule and say so. When another end is declared: start the schedule again, if it was stopped
    here and not by a person.
    """
    if not dataflow.enabled:
        if tick.records.of(dataflow).standing is Standing.NORMAL:
            tick.stands(dataflow, Standing.CATCHING_UP)  # once it is enabled again
        return
    _settle(dataflow, tick)
    over = is_over(dataflow, tick.now)
    match tick.records.of(dataflow).standing:
        case Standing.STARTING:
            return
        case Standing.STOPPING | Standing.STOPPED | Standing.RELEASED:
            _say_ended(dataflow, tick)
        case Standing.NORMAL | Standing.CATCHING_UP if over:
            _finish(dataflow, tick)
        case Standing.CATCHING_UP:
            _catch_up(dataflow, tick)
        case Standing.NORMAL:
            pass
    if not over:
        _warn_ahead(dataflow, tick)


def is_over(dataflow: Dataflow, now: datetime) -> bool:
    """Whether the end of a dataflow has come; of one that exports once, its export time."""
    schedule = dataflow.schedule
    return schedule.ended(now) if schedule.once else schedule.end is not None and schedule.end <= now


def cancel_what_is_queued_past_the_end(dataflows: Sequence[Dataflow], tick: LifeTick) -> None:
    """Take runs out of the queue whose export time is none of their dataflow's any more, since its end came nearer or its
    start or frequency changed. They would be refused one after the other, and hold up what comes after them.
    """
    for run in tick.instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.QUEUED])):
        dataflow = next((one for one in dataflows if is_run_of(run, one)), None)
        if dataflow is None or PARTITION_TAG not in run.tags:
            continue
        try:
            export_time = parse_export_time(run.tags[PARTITION_TAG])
            dataflow.schedule.check_export_time(export_time, export_time)
        except UsageError as reason:
            tick.instance.report_engine_event(f"Taken out of the queue: {reason}", run)
            tick.instance.run_coordinator.cancel_run(run.run_id)
            tick.did.append(f"took run {run.run_id} of {dataflow.name} out of the queue: {reason}")


def _settle(dataflow: Dataflow, tick: LifeTick) -> None:
    """See to it that what we asked of a schedule has come true, and undo our stop when another end is declared."""
    record, running = tick.records.of(dataflow), tick.schedules.running(dataflow)
    match record.standing:
        case Standing.STOPPING | Standing.STOPPED if record.stopped_for != declared(dataflow) and running is False:
            tick.stands(dataflow, Standing.STARTING)
            tick.schedules.start(dataflow)
            tick.did.append(f"started the schedule of {dataflow.name} again, which was declared anew")
        case Standing.STOPPING | Standing.STOPPED | Standing.RELEASED if record.stopped_for != declared(dataflow):
            tick.stands(dataflow, Standing.CATCHING_UP)
        case Standing.STOPPING if running:
            tick.schedules.stop(dataflow)
        case Standing.STOPPING if running is False:
            tick.stands(dataflow, Standing.STOPPED)
        case Standing.STOPPED if running:
            tick.stands(dataflow, Standing.RELEASED)
        case Standing.STARTING if running:
            tick.stands(dataflow, Standing.CATCHING_UP)
        case Standing.STARTING if running is False:
            tick.schedules.start(dataflow)
        case _:
            pass


def _catch_up(dataflow: Dataflow, tick: LifeTick) -> None:
    running = tick.schedules.running(dataflow)
    if running is None:
        return
    backlog = backlog_of(dataflow, tick.instance, tick.now) if running else Backlog()
    if backlog.ready:
        ask_for(dataflow, backlog.ready, backlog, tick)
    else:
        tick.stands(dataflow, Standing.NORMAL)


def ask_for(dataflow: Dataflow, wanted: Sequence[DueExport], backlog: Backlog, tick: LifeTick) -> None:
    """Ask for what is ready, in portions: the next one when the one before is done."""
    if wanted and not backlog.in_flight and between_ticks(dataflow, tick.now):
        keep_limits(dataflow, tick.instance)
        tick.requests += run_requests(dataflow, wanted, tick.now)


def _warn_ahead(dataflow: Dataflow, tick: LifeTick) -> None:
    end = dataflow.schedule.end
    if end is None or dataflow.schedule.once:
        return
    # Of a dataflow that lives for ten days, nobody wants to hear 30 days ahead.
    due = [days for days in WARN_DAYS if dataflow.schedule.start < end - timedelta(days=days) <= tick.now]
    if not due:
        return
    text = (
        f"dataflow {dataflow.name} ends on {end:%Y-%m-%d %H:%M} UTC, in {_duration(end - tick.now)}; declare a later end, or "
        "end: never, to go on"
    )
    # Of several that became due while nobody looked, only the last is news.
    *missed, newest = (Notice(NoticeKind.END_NEAR, dataflow, text, end, days) for days in due)
    _say(newest, tick, also_said=[notice.key for notice in missed])


def _finish(dataflow: Dataflow, tick: LifeTick) -> None:
    running = tick.schedules.running(dataflow)
    if running is None or (not running and _ended(dataflow, "").key in tick.records.of(dataflow).said):
        return
    backlog = backlog_of(dataflow, tick.instance, tick.now)
    if backlog.in_flight or (running and backlog.pending):
        if running:
            ask_for(dataflow, backlog.ready, backlog, tick)
        return
    if running:
        tick.stands(dataflow, Standing.STOPPING, stopped_for=declared(dataflow))
        tick.schedules.stop(dataflow)
        tick.did.append(f"stopped the schedule of {dataflow.name}")
    _say(_ended(dataflow, _outcome(dataflow, backlog)), tick)


def _say_ended(dataflow: Dataflow, tick: LifeTick) -> None:
    """Again, when handing it over failed."""
    if _ended(dataflow, "").key not in tick.records.of(dataflow).said:
        backlog = backlog_of(dataflow, tick.instance, tick.now)
        _say(_ended(dataflow, _outcome(dataflow, backlog)), tick)


def _ended(dataflow: Dataflow, outcome: str) -> Notice:
    schedule = dataflow.schedule
    if schedule.end is None or schedule.once:
        moment = schedule.first_tick_from(schedule.start)
        text = f"dataflow {dataflow.name}, which exports once, is over; {outcome}"
        return Notice(NoticeKind.ENDED, dataflow, text, moment)
    text = f"dataflow {dataflow.name} has ended on {schedule.end:%Y-%m-%d %H:%M} UTC; {outcome}; declare a later end to go on"
    return Notice(NoticeKind.ENDED, dataflow, text, schedule.end)


def _outcome(dataflow: Dataflow, backlog: Backlog) -> str:
    missing: list[str] = []
    if backlog.given_up:
        missing.append(f"{some(backlog.given_up)} failed {MAX_ATTEMPTS} times")
    left = (*(due.export_time for due in backlog.ready), *(backlog.waiting or {}))
    if left:
        missing.append(f"{some(left)} were not tried again, since its schedule was stopped by hand")
    if missing:
        return f"not delivered: {', '.join(missing)}; `dataset-export run {dataflow.name}` delivers what is missing"
    return "all that was due is delivered"


def _say(notice: Notice, tick: LifeTick, also_said: Sequence[str] = ()) -> None:
    record = tick.records.of(notice.dataflow)
    if notice.key in record.said:
        return
    for notify in tick.notify:
        try:
            notify(tick.instance, notice)
        except Exception:
            # Whatever it is, it must not keep the other dataflows from being attended to.
            LOG.exception("the notice %r could not be handed over; it is tried again", notice.key)
            tick.did.append(f"could not hand over: {notice.text}")
            return
    tick.records.put(notice.dataflow, replace(record, said=(*record.said, *also_said, notice.key)))
    tick.did.append(notice.text)


def _duration(length: timedelta) -> str:
    days = round(length / timedelta(days=1))
    if days:
        return f"{days} day{'s' if days > 1 else ''}"
    hours = max(1, round(length / timedelta(hours=1)))
    return f"{hours} hour{'s' if hours > 1 else ''}"
