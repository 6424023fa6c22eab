"""Changing a dataflow (spec S4): what is delivered next, with no gap and nothing twice."""

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from dataset_export.encoding.contract import Compression, Encoding, Format
from dataset_export.export.dataflow import ExportMode
from dataset_export.export.folder import FolderTemplate
from dataset_export.export.schedule import Frequency, make_schedule
from dataset_export.orchestration.names import RESEND_TAG
from dataset_export.orchestration.partitions import partitions_of
from dataset_export.orchestration.sweep import sweep_dataflow
from dataset_export_tests.export.exporter import live_manifests, named_files, rows_of, visible_data_files
from dataset_export_tests.orchestration.changing import START, Changing, day, key

A, B = (dg.AssetKey(["flow", id_]) for id_ in "ab")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Changing]:
    """Its instance is kept in memory: Dagster's own storage in files takes most of the time of such small exports."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield Changing(tmp_path, instance)


@pytest.fixture
def two(world: Changing) -> Changing:
    """Of two datasets."""
    world.change(datasets=world.datasets("a", "b"))
    return world


def days(world: Changing, *numbers: int) -> list[list[tuple[str, str]]]:
    """Deliver on each of these days, and let the tables grow after each."""
    done = []
    for number in numbers:
        done.append(world.deliver(day(number)))
        world.grow(number)
    return done


# Datasets


def test_s4_a_dataset_that_is_put_back_goes_on_where_it_stopped(two: Changing) -> None:
    days(two, 0, 1)
    two.change(datasets=two.datasets("a"))
    assert days(two, 2, 3) == [[(key(2), "a")], [(key(3), "a")]]
    two.change(datasets=two.datasets("a", "b"))
    assert two.due(day(3.5)) == [], "days 2 and 3 were not days of b; what was added then comes with the next one"
    assert days(two, 4) == [[(key(4), "a"), (key(4), "b")]]
    assert two.delivered("b") == {key(0): [0], key(1): [1], key(4): [2, 3, 4]}
    two.deliver(day(5))
    assert two.once_each("a")
    assert two.once_each("b")


def test_s4_a_dataset_that_joins_is_delivered_whole_at_the_next_export_time(two: Changing) -> None:
    """And not at all that have passed: the lake need not remember them, and nothing would be left for them."""
    days(two, 0, 1)
    two.change(datasets=two.datasets("a", "b", "c"))
    assert two.due(day(1.5)) == []
    assert days(two, 2) == [[(key(2), "a"), (key(2), "b"), (key(2), "c")]]
    assert two.delivered("c") == {key(2): [0, 1, 2]}
    two.deliver(day(3))
    assert two.once_each("c")


def test_s4_a_dataset_that_takes_the_place_of_another(two: Changing) -> None:
    two.change(datasets=two.datasets("a"))
    days(two, 0, 1)
    two.change(datasets=two.datasets("b"))
    assert days(two, 2) == [[(key(2), "b")]]
    two.change(datasets=two.datasets("a"))
    assert days(two, 3) == [[(key(3), "a")]]
    assert two.delivered("a") == {key(0): [0], key(1): [1], key(3): [2, 3]}


def test_s4_a_dataset_that_failed_while_others_did_not_is_tried_again(two: Changing) -> None:
    """Its export times are its own: it was in the dataflow when they came."""
    shutil.move(two.tables["b"].uri, two.folder / "away")
    for number in (0, 1):
        assert not two.run(key(number), [A, B]).success
        two.grow_one("a", number)
    shutil.move(two.folder / "away", two.tables["b"].uri)
    assert two.deliver(day(1)) == [(key(0), "b"), (key(1), "b")]
    assert two.once_each("b")


def test_s4_a_resend_does_not_change_when_a_dataset_joined(two: Changing) -> None:
    days(two, 0, 1)
    two.change(datasets=two.datasets("a", "b", "c"))
    assert two.run(key(1), [A], **{RESEND_TAG: "true"}).success
    assert two.due(day(1.5)) == []


# The dataflow


def test_s4_disabled_and_enabled_again_it_catches_up_in_order(world: Changing) -> None:
    days(world, 0)
    world.change(enabled=False)
    assert not world.run(key(1), [A]).success
    for number in (1, 2):
        world.grow(number)
    world.change(enabled=True)
    assert world.deliver(day(3)) == [(key(n), "a") for n in (1, 2, 3)]
    assert world.delivered("a") == {key(0): [0], key(1): [1], key(2): [2], key(3): [3]}


def test_s4_a_later_start_takes_the_gap_in_one(world: Changing) -> None:
    days(world, 0, 1)
    world.change(schedule=make_schedule(Frequency.DAILY, day(4), end="never"))
    for number in (2, 3):
        assert world.deliver(day(number)) == []
        world.grow(number)
    assert days(world, 4) == [[(key(4), "a")]]
    assert world.delivered("a") == {key(0): [0], key(1): [1], key(4): [2, 3, 4]}


def test_s4_an_earlier_start_owes_nothing_that_was_delivered_already(world: Changing) -> None:
    world.change(schedule=make_schedule(Frequency.DAILY, day(2), end="never"))
    days(world, 2)
    world.change(schedule=make_schedule(Frequency.DAILY, START, end="never"))
    assert world.due(day(2.5)) == []
    assert world.run(key(0), [A]).success, "asked for by hand, it is an export of nothing"
    days(world, 3)
    assert world.delivered("a") == {key(0): [], key(2): [0], key(3): [1]}


def test_s4_an_end_that_is_extended_loses_nothing_of_the_gap(world: Changing) -> None:
    world.change(schedule=make_schedule(Frequency.DAILY, START, end=day(1, 1)))
    days(world, 0, 1, 2, 3)
    assert list(world.delivered("a")) == [key(0), key(1)]
    world.change(schedule=make_schedule(Frequency.DAILY, START, end="never"))
    assert world.deliver(day(4)) == [(key(n), "a") for n in (2, 3, 4)]
    assert world.once_each("a")


@pytest.mark.parametrize("changed", ["hourly", "cron", "at"])
def test_s4_another_frequency_begins_after_the_last_export(world: Changing, changed: str) -> None:
    days(world, 0, 1)
    world.change(
        schedule={
            "hourly": make_schedule(Frequency.HOURLY, START, every_hours=12, end="never"),
            "cron": make_schedule(Frequency.CRON, START, cron="0 14 * * *", end="never"),
            "at": make_schedule(Frequency.DAILY, START, at="14:00", end="never"),
        }[changed]
    )
    assert world.due(day(1, 11)) == [], "instants between the days that passed were no export times then"
    assert world.deliver(day(1, 13)) == [(key(1, 12), "a")]
    assert world.delivered("a") == {key(0): [0], key(1): [1], key(1, 12): [2]}
    world.grow(2)
    world.deliver(day(3))
    assert world.once_each("a")


def test_s4_a_longer_interval_keeps_what_the_shorter_one_delivered(world: Changing) -> None:
    world.change(schedule=make_schedule(Frequency.HOURLY, START, every_hours=12, end="never"))
    for hours in (0, 12, 24):
        world.deliver(day(0, hours))
    world.grow(1)
    world.change(schedule=make_schedule(Frequency.DAILY, START, end="never"))
    assert world.deliver(day(2)) == [(key(2), "a")]
    assert world.once_each("a")


def test_s4_from_once_to_daily_and_back(world: Changing) -> None:
    world.change(schedule=make_schedule(Frequency.ONCE, START))
    days(world, 0)
    world.change(schedule=make_schedule(Frequency.DAILY, START, end="never"))
    assert days(world, 1) == [[(key(1), "a")]]
    world.change(schedule=make_schedule(Frequency.ONCE, day(2)))
    assert days(world, 2, 3) == [[(key(2), "a")], []]
    assert world.delivered("a") == {key(0): [0], key(1): [1], key(2): [2]}


# Mode, folder, format


def test_s4_dataflows_that_share_a_destination_leave_each_other_alone(world: Changing) -> None:
    """The same dataset in the same folder: each delivers everything, and a resend or a sweep of one keeps the other's."""
    one, other = world.flow, replace(world.flow, name="other", datasets=world.datasets("a", "b"))
    for number in (0, 1):
        for world.flow in (one, other):
            world.deliver(day(number))
        world.grow(number)
    assert world.run(key(1), [dg.AssetKey(["other", "a"])]).success
    store = world.store()
    for flow in (one, other):
        assert sweep_dataflow(flow, store, world.instance, dry_run=False) == []
    ids = [(found.document["dataflow"], found.document["dataset"]["id"]) for found in live_manifests(store)]
    assert Counter(ids) == {("flow", "a"): 2, ("other", "a"): 2, ("other", "b"): 2}
    rows = Counter(row for found in world.manifests("a") for row in rows_of(store, found).elements())
    assert rows == {0: 2, 1: 2}
    assert visible_data_files(store) == named_files(store)


def test_s4_from_incremental_to_full_and_back(world: Changing) -> None:
    days(world, 0, 1)
    world.change(mode=ExportMode.FULL)
    days(world, 2, 3)
    world.change(mode=ExportMode.INCREMENTAL)
    days(world, 4, 5)
    assert world.delivered("a") == {
        key(0): [0],
        key(1): [1],
        key(2): [0, 1, 2],
        key(3): [0, 1, 2, 3],
        key(4): [4],
        key(5): [5],
    }
    assert [one.document["exportMode"] for one in world.manifests("a")] == [
        *("incremental", "incremental", "full", "full", "incremental", "incremental")
    ]


@pytest.mark.parametrize(("now", "number"), [("full", 1), ("incremental", 2)])
def test_s4_a_resend_is_what_it_was_whatever_the_mode_is_now(world: Changing, now: str, number: int) -> None:
    days(world, 0, 1)
    world.change(mode=ExportMode.FULL)
    days(world, 2)
    before, modes = world.delivered("a"), [one.document["exportMode"] for one in world.manifests("a")]
    world.change(mode=ExportMode(now))
    assert world.run(key(number), [A], **{RESEND_TAG: "true"}).success
    assert world.delivered("a") == before
    assert [one.document["exportMode"] for one in world.manifests("a")] == modes


def test_s4_another_folder_and_format_count_from_the_next_export_on(world: Changing) -> None:
    days(world, 0)
    world.change(folder=FolderTemplate("elsewhere/%DATASET_ID%/%EXPORT_TIME%"), encoding=Encoding(format=Format.JSON))
    days(world, 1)
    first, second = world.manifests("a")
    assert {file.path.split("/")[0] for file in first.files} == {"a"}
    assert {file.path.split("/")[0] for file in second.files} == {"elsewhere"}
    assert {file.path.rpartition("c000")[2] for file in second.files} == {".json.gz"}
    assert world.delivered("a") == {key(0): [0], key(1): [1]}
    assert second.document["previousManifest"]["path"] == first.path


def test_s4_a_resend_after_the_folder_changed_takes_the_old_files_away(world: Changing) -> None:
    days(world, 0)
    world.change(
        folder=FolderTemplate("elsewhere/%DATASET_ID%/%EXPORT_TIME%"),
        encoding=Encoding(compression=Compression.ZSTD),
    )
    assert world.run(key(0), [A], **{RESEND_TAG: "true"}).success
    assert world.delivered("a") == {key(0): [0]}
    assert {path.split("/")[0] for path in visible_data_files(world.store())} == {"elsewhere"}
    assert visible_data_files(world.store()) == named_files(world.store())


# The destination


def test_s4_p7_a_new_destination_gets_everything_and_then_what_was_added(world: Changing) -> None:
    days(world, 0, 1)
    world.deliver_to("new")
    days(world, 2, 3)
    assert world.delivered("a", "new") == {key(2): [0, 1, 2], key(3): [3]}
    assert world.delivered("a", "out") == {key(0): [0], key(1): [1]}
    first, _ = world.manifests("a", "new")
    assert first.document["previousManifest"] is None, "a reader there has missed nothing"


def test_s4_p7_a_destination_that_was_left_goes_on_where_it_stopped(world: Changing) -> None:
    days(world, 0, 1)
    world.deliver_to("new")
    days(world, 2)
    world.deliver_to("out")
    days(world, 3)
    world.deliver(day(4))
    assert world.delivered("a", "out") == {key(0): [0], key(1): [1], key(3): [2, 3], key(4): [4]}
    assert world.once_each("a", "out")


def test_s4_a_destination_that_was_moved_with_all_that_is_in_it_goes_on(world: Changing) -> None:
    days(world, 0, 1)
    shutil.move(world.folder / "out", world.folder / "moved")
    world.deliver_to("moved")
    world.deliver(day(2))
    assert world.delivered("a") == {key(0): [0], key(1): [1], key(2): [2]}
    assert world.once_each("a")


def test_s4_a_destination_whose_readers_remove_what_they_have_read_is_no_new_one(world: Changing) -> None:
    days(world, 0, 1)
    shutil.rmtree(world.folder / "out")
    world.deliver(day(2))
    assert world.delivered("a") == {key(2): [2]}


def test_s4_p5_a_resend_never_reaches_the_destination_that_was_left(world: Changing) -> None:
    days(world, 0, 1)
    before = visible_data_files(world.store("out"))
    world.deliver_to("new")
    days(world, 2)
    assert world.run(key(1), [A], **{RESEND_TAG: "true"}).success
    assert world.delivered("a", "new") == {key(1): [], key(2): [0, 1, 2]}, "the first export there took everything"
    assert visible_data_files(world.store("out")) == before


# What stays of the history


def test_partitions_that_are_no_longer_there_stay_in_the_history(world: Changing) -> None:
    days(world, 0, 1)
    world.change(schedule=make_schedule(Frequency.DAILY, day(4), end="never"))
    assert key(0) not in partitions_of(world.flow.schedule).get_partition_keys(current_time=day(9))
    assert world.instance.get_materialized_partitions(A) == {key(0), key(1)}


def test_a_materialization_reported_by_hand_is_no_export(world: Changing) -> None:
    """The UI lets one report any partition: it counts as done, and its rows come with the next export."""
    days(world, 0)
    for text in (key(1), "by hand"):
        world.instance.report_runless_asset_event(dg.AssetMaterialization(A, partition=text))
    assert days(world, 1, 2) == [[], [(key(2), "a")]]
    assert world.delivered("a") == {key(0): [0], key(2): [1, 2]}
    world.instance.report_runless_asset_event(dg.AssetMaterialization(A, partition=key(2)))
    world.deliver(day(3))
    assert world.once_each("a")
