"""The licence year as Dagster shows it, and what keeps an export from starting (spec S9)."""

import base64
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.test_utils import freeze_time

from dataset_export.alerts.alert import Alert, Event
from dataset_export.governance.licenses import AddOn, Application, License, LicensedAddOn, Licenses, Thresholds, Tier
from dataset_export.orchestration.alert_store import ORGANIZATION, posted
from dataset_export.orchestration.dataflow import build_dataflow
from dataset_export.orchestration.lake_asset import lake_asset
from dataset_export.orchestration.ledger import BYTES_SENT_KEY
from dataset_export.orchestration.names import LICENSE_USAGE, REPAIR_TAG, RESEND_TAG, USAGE_JOB
from dataset_export.orchestration.schedule import dataflow_schedule
from dataset_export.orchestration.usage import current_usage, usage_definitions
from dataset_export_tests.export.exporter import Exporter, named_files
from dataset_export_tests.instances import new_instance
from dataset_export_tests.orchestration.test_export_asset import World, at, metadata_of


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with new_instance() as instance:
        yield World(tmp_path, instance)


def licenses(entitled: int, warn: float | None = 0.8, block: float | None = None) -> Licenses:
    """Licences that entitle to so many bytes, and one profile's 500 KB."""
    return Licenses(
        (License(Application.REAL_TIME_CDP, Tier.PRIME, 1),),
        (LicensedAddOn(AddOn.DATA_DISTILLER, entitled),),
        thresholds=Thresholds(warn, block),
    )


def run(world: World, bought: Licenses | None, number: int = 0, **tags: str) -> dg.ExecuteInProcessResult:
    defs = dg.Definitions.merge(
        build_dataflow(world.flow, licenses=bought),
        dg.Definitions(
            assets=[lake_asset(world.flow.datasets[0])], resources={world.flow.destination.id: world.destination}
        ),
    )
    return defs.resolve_job_def("hourly").execute_in_process(
        instance=world.instance, partition_key=at(number), tags=tags, raise_on_error=False
    )


def used(world: World) -> int:
    return current_usage(world.instance, None, datetime.now(UTC)).used


def warnings(world: World, result: dg.ExecuteInProcessResult) -> list[str]:
    logs = world.instance.all_logs(result.run_id)
    return [entry.user_message for entry in logs if entry.level == logging.WARNING]


# What counts


def test_s9_usage_is_the_bytes_of_exports_and_of_resends(world: World) -> None:
    assert run(world, None).success
    size = sum(file.bytes for file in world.manifest().files)
    assert used(world) == size > 0
    assert run(world, None, **{RESEND_TAG: "true"}).success
    assert used(world) == size + sum(file.bytes for file in world.manifest().files)


def test_s9_of_a_repair_only_what_was_sent_again_counts(world: World) -> None:
    run(world, None)
    before = used(world)
    first, *_ = sorted(named_files(world.store))
    world.store.delete(first)
    repaired = run(world, None, **{REPAIR_TAG: "listing"})
    assert repaired.success
    sent = metadata_of(repaired)[BYTES_SENT_KEY]
    assert 0 < sent < metadata_of(repaired)["bytes"]
    assert used(world) == before + sent
    nothing = run(world, None, **{REPAIR_TAG: "listing"})
    assert (nothing.success, metadata_of(nothing)[BYTES_SENT_KEY]) == (True, 0)
    assert used(world) == before + sent


def test_s9_an_export_that_a_dead_run_delivered_counts_once(world: World) -> None:
    Exporter(world.store, world.delta.uri).export(0)
    assert used(world) == 0
    adopting = run(world, None)
    assert (adopting.success, metadata_of(adopting)["adopted"]) == (True, True)
    assert used(world) == sum(file.bytes for file in world.manifest().files) > 0


# The thresholds


def test_s9_block_stops_an_export_before_its_first_byte(world: World) -> None:
    entitled = licenses(500_000, block=0.9)
    deliver(world, 900_000)
    world.watched.calls.clear()
    result = run(world, entitled)
    assert not result.success
    assert not world.watched.calls, "the destination was not even asked"
    [event] = [event for event in result.all_events if event.is_step_failure]
    failure = event.step_failure_data.user_failure_data
    assert failure.metadata["error"].value == "EntitlementUsed"
    year = datetime.now(UTC).year
    assert failure.description.startswith(
        f"900 KB (90.0%) are used in the licence year {year}-01-01 to {year}-12-31, of 1.00 MB"
    )
    assert failure.description.endswith(
        f"; the organization's threshold block is 90%, so no export starts before {year + 1}-01-01: raise it, or declare "
        "what was bought since"
    )
    assert not [event for event in result.all_events if event.event_type_value == "STEP_UP_FOR_RETRY"]
    assert run(world, licenses(500_000, block=0.95)).success


def test_s9_warn_is_said_in_the_log_of_the_run_and_the_export_goes_on(world: World) -> None:
    deliver(world, 799_999)
    quiet = run(world, licenses(500_000))
    assert (quiet.success, warnings(world, quiet)) == (True, [])
    loud = run(world, licenses(500_000), **{RESEND_TAG: "true"})
    assert loud.success
    [said] = warnings(world, loud)
    assert "% are used" in said.replace(")", "").replace("(", "")


def test_what_nobody_watches_is_not_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataset_export.orchestration.usage.delivered_bytes", lambda *_: pytest.fail("it was read"))
    assert run(world, None).success
    assert run(world, licenses(1, warn=None), number=1).success


def test_s9_while_exports_are_stopped_the_schedule_asks_for_none_and_says_why(world: World) -> None:
    deliver(world, 10**6)
    now = datetime.now(UTC)

    def tick(bought: Licenses | None) -> Any:
        schedule = dataflow_schedule(world.flow, bought)
        with dg.build_schedule_context(world.instance, scheduled_execution_time=now) as context:
            return schedule(context)

    stopped = tick(licenses(500_000, block=1.0))
    assert isinstance(stopped, dg.SkipReason)
    assert "threshold block is 100%" in str(stopped.skip_message)
    assert [request.partition_key for request in tick(licenses(600_000, block=1.0))][:2] == [at(0), at(1)]


def test_s9_a_threshold_that_is_reached_is_told_once_in_a_licence_year(world: World) -> None:
    def told() -> list[Alert]:
        return list(posted(world.instance, [ORGANIZATION]).get(ORGANIZATION, []))

    warning, stop = licenses(500_000, block=0.9), licenses(500_000, block=0.85)
    deliver(world, 790_000)
    materialize(world, warning)
    assert told() == []
    deliver(world, 70_000)
    materialize(world, warning)
    assert run(world, warning).success
    [alert] = told()
    assert (alert.event, alert.keys) == (Event.USAGE_WARNING, (f"usage_warning:warn:{datetime.now(UTC).year}-01-01",))
    assert alert.title.endswith("% of the licence year's bytes are used")
    assert alert.text.endswith("the organization's threshold warn is 80%")
    for number in (1, 2):
        assert not run(world, stop, number).success
    _, stopped = told()
    assert stopped.keys == (f"usage_warning:block:{datetime.now(UTC).year}-01-01",)
    assert stopped.title.startswith("exports are stopped: ")


# The asset


def materialize(world: World, bought: Licenses) -> tuple[dict[str, Any], dg.AssetCheckEvaluation]:
    job = usage_definitions(bought).resolve_job_def(USAGE_JOB)
    result = job.execute_in_process(instance=world.instance)
    [check] = result.get_asset_check_evaluations()
    [event] = result.get_asset_materialization_events()
    assert event.asset_key == LICENSE_USAGE
    return {name: value.value for name, value in event.materialization.metadata.items()}, check


def deliver(world: World, sent: int, *, days_ago: int = 0, dataflow: str = "gone") -> None:
    """An export of a dataflow that is not declared any more."""
    metadata = {"manifest_path": "m.json", BYTES_SENT_KEY: sent}
    with freeze_time(datetime.now(UTC) - timedelta(days=days_ago)):
        world.instance.report_runless_asset_event(
            dg.AssetMaterialization(dg.AssetKey([dataflow, "x"]), partition="202611010800", metadata=metadata)
        )


def test_s9_license_usage_shows_used_entitled_share_and_forecast_by_dataflow(world: World) -> None:
    entitled = Licenses(
        (License(Application.REAL_TIME_CDP, Tier.PRIME, 1),),
        # So that the days of the test are in one licence year, whenever it runs.
        year_start=((datetime.now(UTC) - timedelta(days=60)).month, 1),
    )
    for days_ago in range(11):
        deliver(world, 10_000, days_ago=days_ago)
    deliver(world, 30_000, dataflow="late_comer")
    shown, check = materialize(world, entitled)
    assert (shown["used_bytes"], shown["entitled_bytes"], shown["share"]) == (140_000, 500_000, 0.28)
    year = current_usage(world.instance, entitled, datetime.now(UTC)).year
    days_left = (year.end - datetime.now(UTC).date()).days - 1
    assert shown["forecast_bytes"] == 140_000 + days_left * 10_000
    assert shown["forecast_share"] == shown["forecast_bytes"] / 500_000
    assert (shown["license_year"], shown["level"]) == (str(year), "ok")
    table = shown["by_dataflow"].splitlines()
    assert table[0] == "| dataflow | used | share | forecast | share |"
    assert table[2].startswith("| `gone` | 110 KB | 22.0% | ")
    assert table[3] == "| `late_comer` | 30.0 KB | 6.0% | - | - |"
    assert table[4].startswith("| all | 140 KB | 28.0% | ")
    begin, picture = shown["picture"].split("base64,")
    assert begin == "![Bytes delivered in the licence year](data:image/png;"
    assert base64.b64decode(picture.removesuffix(")")).startswith(b"\x89PNG")
    assert check.passed


@pytest.mark.parametrize(
    ("sent", "passed", "severity"),
    [
        (799_999, True, None),
        (800_000, False, dg.AssetCheckSeverity.WARN),
        (900_000, False, dg.AssetCheckSeverity.ERROR),
    ],
)
def test_s9_thresholds_show_as_a_check_of_license_usage(
    world: World, sent: int, passed: bool, severity: dg.AssetCheckSeverity | None
) -> None:
    deliver(world, sent)
    shown, check = materialize(world, licenses(500_000, block=0.9))
    assert check.passed is passed
    assert severity is None or check.severity is severity
    assert (shown["level"] == "ok") is passed
    assert f"{sent / 10_000:.1f}%" in (check.description or "")


def test_s9_license_usage_is_materialized_daily() -> None:
    defs = usage_definitions(licenses(1))
    [schedule] = list(defs.schedules or [])
    assert isinstance(schedule, dg.ScheduleDefinition)
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("23 5 * * *", "UTC")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert not list(usage_definitions(None).schedules or [])
