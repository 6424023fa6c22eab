"""The end of a dataflow, tick by tick of the sensor, at times that the tests pass in. With a real daemon: `test_life.py`."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import dagster as dg
import pytest
from dagster._core.remote_representation.external import RemoteRepository, RemoteSchedule
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._core.remote_representation.handle import RepositoryHandle
from dagster._core.test_utils import freeze_time
from hypothesis import given
from hypothesis import strategies as st

from dataset_export.destinations.io_manager import MANIFEST_PATH_KEY
from dataset_export.destinations.local import LocalDestination
from dataset_export.export.dataflow import Dataflow
from dataset_export.export.schedule import Frequency, make_schedule
from dataset_export.governance.licenses import Application, License, Licenses, Thresholds, Tier
from dataset_export.orchestration.backlog import MAX_ATTEMPTS
from dataset_export.orchestration.dataflow import build_dataflow
from dataset_export.orchestration.ending import WARN_DAYS, LifeTick, attend
from dataset_export.orchestration.lake_asset import lake_asset
from dataset_export.orchestration.ledger import BYTES_SENT_KEY
from dataset_export.orchestration.life import life_definitions
from dataset_export.orchestration.life_record import LifeRecord, LifeRecords, Standing
from dataset_export.orchestration.names import DATAFLOW_TAG, PARTITION_TAG
from dataset_export.orchestration.notices import Notice, NoticeKind
from dataset_export.orchestration.stored_schedules import StoredSchedules
from dataset_export_tests.instances import new_instance
from dataset_export_tests.orchestration.hourly import (
    EVENTS,
    ORDERS,
    add_run,
    dataflow,
    fail_run,
    hour,
    key,
    materialize,
    times,
)

# Dagster's own, where it describes a repository.
pytestmark = pytest.mark.filterwarnings("ignore:Property `ScheduleDefinition.environment_vars`")

SCHEDULE = "flow_schedule"
NOTHING = "nothing to do for 1 dataflow(s)"
ENDED = "dataflow flow has ended on 2026-11-01 14:00 UTC; all that was due is delivered; declare a later end to go on"


class World:
    """The dataflow `flow`, hourly for six hours, its schedule as the daemon knows it, and the sensor."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.flow = dataflow()
        self.notices: list[Notice] = []
        self.licenses: Licenses | None = None

    def declare(self, **changes: object) -> None:
        """Another version of the declaration is deployed."""
        self.flow = replace(self.flow, **changes)  # pyright: ignore[reportArgumentType]

    def extend(self, hours: int) -> None:
        self.declare(schedule=replace(self.flow.schedule, end=hour(hours)))

    def remote(self) -> RemoteRepository:
        shared = dg.Definitions(
            assets=[lake_asset(dataset) for dataset in self.flow.datasets],
            resources={"partner": LocalDestination(folder="/tmp/nowhere")},
        )
        built = dg.Definitions.merge(build_dataflow(self.flow), shared)
        repository = dg.Definitions.merge(built, life_definitions([self.flow], built)).get_repository_def()
        handle = RepositoryHandle.for_test(location_name="test", repository_name=repository.name)
        return RemoteRepository(
            RepositorySnap.from_def(repository), repository_handle=handle, auto_materialize_use_sensors=True
        )

    @property
    def schedule(self) -> RemoteSchedule:
        return self.remote().get_schedule(SCHEDULE)

    def daemon_looks(self) -> None:
        """The daemon stores the state of a schedule that it sees for the first time."""
        self.instance.reset_schedule(self.schedule)

    def person_stops(self) -> None:
        schedule = self.schedule
        self.instance.stop_schedule(schedule.get_remote_origin_id(), schedule.selector_id, schedule)

    def person_starts(self) -> None:
        self.instance.start_schedule(self.schedule)

    @property
    def running(self) -> bool:
        [state] = self.instance.all_instigator_state()
        return state.is_running

    def notify(self, instance: dg.DagsterInstance, notice: Notice) -> None:
        self.notices.append(notice)

    def tick(self, now: datetime, notify: Sequence[object] | None = None) -> list[dg.RunRequest] | str:
        """What the sensor asks for, or what it says."""
        definitions = life_definitions(
            [self.flow],
            build_dataflow(self.flow),
            self.licenses,
            notify=notify or [self.notify],  # type: ignore[arg-type]
            clock=lambda: now,
        )
        [sensor] = definitions.sensors or []
        assert isinstance(sensor, dg.SensorDefinition)
        result = sensor(dg.build_sensor_context(instance=self.instance))
        if isinstance(result, dg.SkipReason):
            return result.skip_message or ""
        assert isinstance(result, dg.SensorResult)
        return list(result.run_requests or [])

    def forget(self) -> None:
        """The sensor has never seen the dataflow."""
        LifeRecords(self.instance, [self.flow]).put(self.flow, LifeRecord())

    def delete_runs(self) -> None:
        for run in self.instance.get_runs():
            self.instance.delete_run(run.run_id)

    def deliver(self, *numbers: int) -> None:
        for number in numbers:
            materialize(self.instance, number)

    def texts(self, kind: NoticeKind = NoticeKind.ENDED) -> list[str]:
        return [notice.text for notice in self.notices if notice.kind is kind]


@pytest.fixture(scope="module")
def home() -> Iterator[dg.DagsterInstance]:
    queued = {"module": "dagster._core.run_coordinator", "class": "QueuedRunCoordinator"}
    with new_instance({"run_coordinator": queued}) as instance:
        yield instance


@pytest.fixture
def world(home: dg.DagsterInstance) -> World:
    """Empty: one instance for all tests takes less time than one for each."""
    for run in home.get_runs():
        home.delete_run(run.run_id)
    home.wipe_assets([ORDERS, EVENTS])
    for state in home.all_instigator_state():
        home.delete_instigator_state(state.instigator_origin_id, state.selector_id)
    world = World(home)
    LifeRecords(home, [world.flow]).put(world.flow, LifeRecord(Standing.NORMAL))
    world.daemon_looks()
    return world


def ended(world: World) -> World:
    """The end was reached, everything delivered, the schedule stopped."""
    world.deliver(*range(6))
    world.tick(hour(6.5))
    assert not world.running
    return world


def test_s5_after_the_end_what_is_missing_is_delivered_then_the_schedule_stops_and_ended_is_said_once(
    world: World,
) -> None:
    world.deliver(0, 1, 2, 3)
    assert times(world.tick(hour(6.5))) == [key(4), key(5)]
    add_run(world.instance, 4, dg.DagsterRunStatus.STARTED)
    assert world.tick(hour(6.6)) == NOTHING, "the next portion comes when this one is done"
    assert world.running
    assert world.texts() == []
    world.delete_runs()
    world.deliver(4, 5)
    assert world.tick(hour(6.7)) == f"stopped the schedule of flow; {ENDED}"
    assert not world.running
    for later in (hour(6.8), hour(7), hour(1000)):
        assert world.tick(later) == NOTHING
    assert world.texts() == [ENDED]
    assert not world.running


def test_s5_before_the_end_the_sensor_asks_for_nothing_that_the_schedule_asks_for(world: World) -> None:
    assert world.tick(hour(4.5)) == NOTHING


def test_s5_at_the_moment_of_a_tick_what_is_missing_is_left_to_the_schedule(world: World) -> None:
    assert world.tick(hour(7)) == NOTHING
    assert world.running
    assert times(world.tick(hour(7.1))) == [key(number) for number in range(6)]


def test_s9_while_exports_are_stopped_nothing_is_asked_for_and_the_schedule_is_kept(world: World) -> None:
    with freeze_time(hour(1)):
        metadata = {MANIFEST_PATH_KEY: "m.json", BYTES_SENT_KEY: 500_000}
        used = dg.AssetMaterialization(dg.AssetKey(["other", "x"]), partition=key(0), metadata=metadata)
        world.instance.report_runless_asset_event(used)
    profiles = License(Application.REAL_TIME_CDP, Tier.PRIME, 1)
    world.licenses = Licenses((profiles,), thresholds=Thresholds(block=1.0))
    world.deliver(0, 1, 2, 3)
    said = world.tick(hour(6.5))
    assert "the organization's threshold block is 100%, so no export starts before 2027-01-01" in said
    assert world.running
    assert world.texts() == []
    world.licenses = Licenses((replace(profiles, profiles=2),), thresholds=Thresholds(block=1.0))
    assert times(world.tick(hour(6.6))) == [key(4), key(5)], "nothing is lost"


def test_s5_between_the_last_export_time_and_the_end_it_has_not_ended_yet(world: World) -> None:
    world.extend(48)
    world.declare(schedule=replace(world.flow.schedule, cron="0 8 * * *"))
    world.deliver(0, 24)
    world.tick(hour(47.9))
    assert world.running
    assert world.texts() == []
    world.tick(hour(48.1))
    assert not world.running
    assert len(world.texts()) == 1


def test_s5_what_is_running_past_the_end_is_waited_for(world: World) -> None:
    world.deliver(*range(5))
    add_run(world.instance, 5, dg.DagsterRunStatus.STARTED)
    assert world.tick(hour(6.5)) == NOTHING
    assert world.running


def test_s5_what_failed_to_the_last_attempt_is_named_when_the_dataflow_ends(world: World) -> None:
    world.deliver(*range(5))
    for _ in range(MAX_ATTEMPTS):
        fail_run(world.instance, 5, hour(5))
    world.tick(hour(6.5))
    assert not world.running
    assert world.texts() == [
        f"dataflow flow has ended on 2026-11-01 14:00 UTC; not delivered: {key(5)} failed {MAX_ATTEMPTS} times; "
        "`dataset-export run flow` delivers what is missing; declare a later end to go on"
    ]


def test_s5_a_later_end_starts_the_schedule_again_and_nothing_of_the_gap_is_lost(world: World) -> None:
    """The daemon evaluates no tick that passed while a schedule was stopped."""
    ended(world)
    world.extend(48)
    assert world.tick(hour(20.1)) == "started the schedule of flow again, which was declared anew"
    assert world.running
    assert times(world.tick(hour(20.2))) == [key(number) for number in range(6, 21)]
    world.deliver(*range(6, 21))
    for later in (20.3, 21.5):
        assert world.tick(hour(later)) == NOTHING, "what comes now is the schedule's to ask for"
    world.deliver(*range(21, 48))
    world.tick(hour(48.5))
    assert not world.running
    assert world.texts() == [ENDED, ENDED.replace("11-01 14:00", "11-03 08:00")]


def test_s5_a_later_end_that_has_passed_too_is_caught_up_with(world: World) -> None:
    ended(world)
    world.extend(9)
    for later in (20.1, 20.2):
        requests = world.tick(hour(later))
    assert times(requests) == [key(6), key(7), key(8)]
    world.deliver(6, 7, 8)
    world.tick(hour(20.3))
    assert not world.running
    assert world.texts() == [ENDED, ENDED.replace("14:00", "17:00")]


@pytest.mark.parametrize("wrote", ["stopped", "running"])
def test_s5_what_the_daemon_writes_over_is_repeated(world: World, wrote: str) -> None:
    """It writes a state back that it had read before, with the time of its last look."""
    [running] = world.instance.all_instigator_state()
    ended(world)
    if wrote == "running":
        world.instance.update_instigator_state(running)
        world.tick(hour(6.6))
        assert not world.running
    world.tick(hour(6.7))
    [stopped] = world.instance.all_instigator_state()
    world.extend(48)
    world.tick(hour(20.1))
    if wrote == "stopped":
        world.instance.update_instigator_state(stopped)
        world.tick(hour(20.2))
    assert world.running
    assert times(world.tick(hour(20.3)))[0] == key(6)


def test_s5_a_schedule_that_a_person_stopped_stays_stopped(world: World) -> None:
    world.deliver(0, 1)
    world.person_stops()
    for _ in range(2):
        world.tick(hour(6.5))
    assert world.texts() == [
        f"dataflow flow has ended on 2026-11-01 14:00 UTC; not delivered: {key(2)}, {key(3)}, {key(4)}, {key(5)} were not "
        "tried again, since its schedule was stopped by hand; `dataset-export run flow` delivers what is missing; declare a "
        "later end to go on"
    ]
    world.extend(48)
    world.tick(hour(20))
    assert not world.running, "a person decided that"


def test_s5_a_schedule_that_a_person_starts_after_the_end_is_theirs(world: World) -> None:
    ended(world)
    world.tick(hour(6.6))
    world.person_starts()
    for later in (6.7, 6.8, 30):
        world.tick(hour(later))
        assert world.running
    world.person_stops()
    world.extend(48)
    world.tick(hour(31))
    assert not world.running, "their stop came after ours"


@pytest.mark.parametrize("broken", ["stop", "put after stop"])
def test_s5_a_crash_between_the_steps_loses_neither_the_stop_nor_whose_it_is(
    world: World, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.deliver(*range(6))
    with monkeypatch.context() as patch:
        if broken == "stop":
            patch.setattr(StoredSchedules, "stop", crash)
        else:
            patch.setattr("dataset_export.orchestration.ending._say", crash)
        with pytest.raises(ZeroDivisionError):
            world.tick(hour(6.5))
    world.tick(hour(6.6))
    world.tick(hour(6.7))
    assert not world.running
    assert world.texts() == [ENDED]
    world.extend(9)
    with monkeypatch.context() as patch:
        patch.setattr(LifeRecords, "put", crash)
        with pytest.raises(ZeroDivisionError):
            world.tick(hour(7))
    world.tick(hour(7.1))
    world.tick(hour(7.2))
    assert world.running


def crash(*_: object, **__: object) -> None:
    raise ZeroDivisionError


def test_s5_until_the_daemon_has_seen_the_schedule_nothing_is_done(world: World) -> None:
    [state] = world.instance.all_instigator_state()
    world.instance.delete_instigator_state(state.instigator_origin_id, state.selector_id)
    assert world.tick(hour(6.5)) == NOTHING
    assert world.texts() == []


def test_s5_once_is_over_when_its_export_time_is_delivered(world: World) -> None:
    world.declare(schedule=make_schedule(Frequency.ONCE, hour(0)))
    assert world.tick(hour(-1.5)) == NOTHING
    assert times(world.tick(hour(0.5))) == [key(0)]
    world.deliver(0)
    world.tick(hour(0.6))
    assert world.texts() == ["dataflow flow, which exports once, is over; all that was due is delivered"]
    assert not world.running


def test_s4_a_dataflow_that_is_seen_for_the_first_time_does_not_wait_for_the_next_tick(world: World) -> None:
    """Of a daily dataflow that is declared, or a daemon that is started, a minute after its export time."""
    world.forget()
    world.declare(schedule=make_schedule(Frequency.DAILY, hour(0), end="never"))
    assert times(world.tick(hour(25))) == [key(0), key(24)]
    add_run(world.instance, 0, dg.DagsterRunStatus.STARTED)
    assert world.tick(hour(25.1)) == NOTHING
    world.delete_runs()
    world.deliver(0)
    assert times(world.tick(hour(25.2))) == [key(24)]
    world.deliver(24)
    world.tick(hour(25.3))
    assert world.tick(hour(49)) == NOTHING, "from now on the schedule asks"


def test_s4_a_disabled_dataflow_is_left_alone_and_catches_up_when_it_is_enabled(world: World) -> None:
    world.declare(enabled=False)
    for later in (2.5, 30):
        assert world.tick(hour(later)) == NOTHING
    world.extend(48)
    world.declare(enabled=True)
    assert times(world.tick(hour(4.5))) == [key(number) for number in range(5)]


def test_s4_a_schedule_that_a_person_stopped_does_not_catch_up(world: World) -> None:
    world.forget()
    world.person_stops()
    assert world.tick(hour(3.5)) == NOTHING
    world.person_starts()
    assert world.tick(hour(3.6)) == NOTHING


def test_s5_a_notice_that_nobody_takes_is_handed_over_again(world: World) -> None:
    world.deliver(*range(6))
    said = world.tick(hour(6.5), notify=[crash])
    assert "could not hand over: dataflow flow has ended" in said
    assert not world.running, "what has to be done is done"
    world.tick(hour(6.6))
    world.tick(hour(6.7))
    assert world.texts() == [ENDED]


@pytest.mark.parametrize(("end", "canceled"), [(3, {3, 4}), (5, set())])
def test_s5_runs_queued_past_an_end_that_came_nearer_are_taken_out_of_the_queue(
    world: World, end: int, canceled: set[int]
) -> None:
    world.deliver(0, 1)
    origin = world.remote().get_full_job("flow").get_remote_origin()
    ids: dict[int, str] = {}
    for number in range(2, 5):
        ids[number] = str(uuid4())
        tags = {DATAFLOW_TAG: "flow", PARTITION_TAG: key(number)}
        queued = dg.DagsterRunStatus.QUEUED
        world.instance.add_run(dg.DagsterRun("flow", ids[number], status=queued, tags=tags, remote_job_origin=origin))
    world.extend(end)
    said = world.tick(hour(3.5))
    statuses = {number: world.instance.get_run_by_id(id_) for number, id_ in ids.items()}
    gone = {number for number, run in statuses.items() if run and run.status is dg.DagsterRunStatus.CANCELED}
    assert gone == canceled
    for number in canceled:
        assert (
            f"took run {ids[number]} of flow out of the queue: export time {key(number)} is at or after the end" in said
        )


def test_s4_a_failed_export_time_is_tried_again_between_the_ticks_of_its_schedule(world: World) -> None:
    """Of a daily dataflow the next tick is tomorrow."""
    world.declare(schedule=make_schedule(Frequency.DAILY, hour(0), end="never"))
    fail_run(world.instance, 0, hour(0.1))
    assert world.tick(hour(0.15)) == NOTHING
    assert times(world.tick(hour(0.2))) == [key(0)]
    fail_run(world.instance, 0, hour(0.3))
    assert world.tick(hour(0.5)) == NOTHING
    assert times(world.tick(hour(0.7))) == [key(0)]
    world.person_stops()
    assert world.tick(hour(0.8)) == NOTHING


def test_s4_what_was_never_tried_is_the_schedules_to_ask_for(world: World) -> None:
    world.declare(schedule=make_schedule(Frequency.DAILY, hour(0), end="never"))
    fail_run(world.instance, 0, hour(20))
    assert times(world.tick(hour(30))) == [key(0)]


# Warnings


START = datetime(2026, 1, 1, 2, tzinfo=UTC)
END = START + timedelta(days=90)


class Nowhere(StoredSchedules):
    """Schedules that nobody has looked at."""

    def running(self, dataflow: Dataflow) -> bool | None:
        return None


INSTANCE = dg.DagsterInstance.ephemeral()


def warnings(flow: Dataflow, moments: Sequence[datetime]) -> list[Notice]:
    """The notices of a sensor that ticks at these moments and has never seen this dataflow."""
    LifeRecords(INSTANCE, [flow]).put(flow, LifeRecord())
    heard: list[Notice] = []
    for now in moments:
        tick_once(flow, now, heard)
    return heard


def tick_once(flow: Dataflow, now: datetime, heard: list[Notice]) -> None:
    records, schedules = LifeRecords(INSTANCE, [flow]), Nowhere(INSTANCE, {})
    attend(flow, LifeTick(INSTANCE, schedules, records, [lambda _, notice: heard.append(notice)], now))


def daily(end: datetime | str = END) -> Dataflow:
    return replace(dataflow(), schedule=make_schedule(Frequency.DAILY, START, end=end))


def test_s5_an_end_is_warned_of_30_7_and_1_days_ahead_each_once() -> None:
    every_hour = [START + timedelta(hours=number) for number in range(24 * 100)]
    heard = warnings(daily(), every_hour)
    assert [(notice.kind, notice.days) for notice in heard] == [(NoticeKind.END_NEAR, days) for days in (30, 7, 1)]
    assert [notice.text for notice in heard] == [
        f"dataflow flow ends on 2026-04-01 02:00 UTC, in {ahead}; declare a later end, or end: never, to go on"
        for ahead in ("30 days", "7 days", "1 day")
    ]


@given(st.lists(st.integers(0, 100 * 24 * 60), max_size=8).map(sorted))
def test_s5_whenever_the_sensor_runs_each_warning_comes_at_most_once_and_the_newest_is_never_missed(
    minutes: list[int],
) -> None:
    moments = [START + timedelta(minutes=minute) for minute in minutes]
    heard = warnings(daily(), moments)
    said = [notice.days for notice in heard]
    assert said == sorted(set(said), key=lambda days: -(days or 0))
    expected: list[int] = []
    for now in moments:
        if now < END:
            reached = [days for days in WARN_DAYS if END - timedelta(days=days) <= now]
            if reached and reached[-1] not in expected:
                expected.append(reached[-1])
    assert said == expected


def test_s5_another_end_is_warned_of_anew() -> None:
    """And one that was declared before is not, when a mistake is taken back."""
    later = END + timedelta(days=30)
    heard = warnings(daily(END), [END - timedelta(days=1)])
    for end, now in [
        (later, END - timedelta(days=1)),
        (END, END - timedelta(hours=20)),
        (later, later - timedelta(days=2)),
    ]:
        tick_once(daily(end), now, heard)
    assert [(notice.when, notice.days) for notice in heard] == [(END, 1), (later, 7)]


def test_s5_a_dataflow_that_lives_for_ten_days_is_not_warned_of_30_days_ahead() -> None:
    every_hour = [START + timedelta(hours=number) for number in range(24 * 11)]
    assert [notice.days for notice in warnings(daily(START + timedelta(days=10)), every_hour)] == [7, 1]


@pytest.mark.parametrize("schedule", [("daily", "never"), ("once", None)])
def test_s5_what_has_no_end_is_not_warned_of(schedule: tuple[str, str | None]) -> None:
    frequency, end = schedule
    flow = replace(dataflow(), schedule=make_schedule(Frequency(frequency), START, end=end))
    assert warnings(flow, [START - timedelta(days=1), START + timedelta(days=180)]) == []


def test_s5_the_last_hours_are_counted_in_hours() -> None:
    [notice] = warnings(daily(), [END - timedelta(hours=3)])
    assert "in 3 hours" in notice.text
