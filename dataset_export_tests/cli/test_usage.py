"""`usage`: the licence year in the terminal."""

from datetime import UTC, datetime, timedelta

from dataset_export.export.schedule import Frequency, make_schedule
from dataset_export.governance.licenses import AddOn, Application, License, LicensedAddOn, Licenses, Thresholds, Tier
from dataset_export_tests.cli.world import START, World, at

YEAR = datetime.now(UTC).year


def licenses(entitled: int, block: float | None = None) -> Licenses:
    return Licenses(
        (License(Application.REAL_TIME_CDP, Tier.PRIME, 1),),
        (LicensedAddOn(AddOn.DATA_DISTILLER, entitled),),
        thresholds=Thresholds(block=block),
    )


def test_s9_usage_is_what_run_delivered(world: World) -> None:
    assert world.json("usage")["used_bytes"] == 0
    done = world.json("run", "flow", "--export-time", at(0))["runs"][0]
    delivered = sum(part["bytes"] for part in done["datasets"])
    session = world.session(licenses=licenses(500_000))
    found = world.json("usage", session=session)
    assert found["license_year"] == {"begin": f"{YEAR}-01-01", "end": f"{YEAR + 1}-01-01"}
    assert (found["used_bytes"], found["entitled_bytes"], found["share"]) == (delivered, 10**6, delivered / 10**6)
    assert (found["warn"], found["block"], found["level"], found["forecast_bytes"]) == (0.8, None, "ok", None)
    [flow] = found["dataflows"]
    assert (flow["dataflow"], flow["used_bytes"]) == ("flow", delivered)
    assert sum(day["bytes"] for day in flow["days"]) == delivered
    result = world.call("usage", session=session)
    assert result.stdout.splitlines()[0].split() == [
        "dataflow",
        "used",
        "share",
        "forecast",
        "share",
        "at",
        "the",
        "end",
    ]
    assert f"are used in the licence year {YEAR}-01-01 to {YEAR}-12-31, of 1.00 MB" in result.stdout
    assert result.stderr == ""


def test_usage_without_licences(world: World) -> None:
    world.call("run", "flow", "--export-time", at(0))
    found = world.json("usage")
    assert found["used_bytes"] > 0
    assert (found["entitled_bytes"], found["share"], found["warn"], found["level"]) == (None, None, None, "ok")
    assert world.call("usage").stdout.splitlines()[1].split()[3] == "-"


def test_s9_a_run_beyond_block_fails_with_the_way_out(world: World) -> None:
    session = world.session(licenses=licenses(1, block=0.000001))
    assert world.call("run", "flow", "--export-time", at(0), session=session).exit_code == 0
    assert world.call("usage", session=session).stderr.startswith("warning: ")
    stopped = world.call("run", "flow", "--export-time", at(1), session=session)
    assert stopped.exit_code == 1
    assert "threshold block is 0%, so no export starts before" in stopped.stderr
    assert world.materialized("a", "b") == {at(0)}
    assert not [path for path in world.visible() if at(1) in path]


def test_s9_a_resend_of_an_earlier_schedule_does_not_get_past_block(world: World) -> None:
    assert world.call("run", "flow", "--export-time", at(0)).exit_code == 0
    later = make_schedule(Frequency.DAILY, START + timedelta(hours=1), end=START + timedelta(days=30))
    session = world.session(world.dataflow(schedule=later), licenses=licenses(1, block=0.000001))
    stopped = world.call("resend", "flow", "--export-time", at(0), session=session)
    assert stopped.exit_code == 1
    assert "so no export starts before" in stopped.stderr
