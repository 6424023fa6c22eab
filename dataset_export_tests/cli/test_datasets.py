"""`datasets`: what may be exported, or why not, and who exports it."""

from dataclasses import replace

from dataset_export.export.dataflow import Kind
from dataset_export.governance.licenses import Application, License, Licenses, Tier
from dataset_export_tests.cli.world import World

PRIME = Licenses((License(Application.JOURNEY_OPTIMIZER, Tier.PRIME, 1000),))


def test_datasets_and_their_dataflows(world: World) -> None:
    other = world.dataflow(name="another", datasets=(world.dataset("b"),))
    a, b = world.json("datasets", session=world.session(world.dataflow(), other))
    assert (a["id"], a["name"], a["behavior"], a["kind"]) == ("a", "A", "record", None)
    assert (a["exportable"], a["reason"], a["dataflows"]) == (True, None, ["flow"])
    assert b["dataflows"] == ["another", "flow"]
    assert not world.home.exists()


def test_s1_datasets_says_why_one_may_not_be_exported(world: World) -> None:
    derived, nothing = replace(world.dataset("a"), kind=Kind.DERIVED), world.dataset("b")
    journeys = replace(world.dataset("c"), kind=Kind.SYSTEM, name="Journeys")
    session = world.session(world.dataflow(datasets=(journeys,)), datasets=(derived, nothing, journeys), licenses=PRIME)
    a, b, c = world.json("datasets", session=session)
    assert (a["exportable"], a["kind"], a["dataflows"]) == (False, "derived", [])
    assert a["reason"].endswith("Data Distiller would")
    assert b["reason"].startswith("its kind is not declared")
    assert (c["exportable"], c["reason"], c["dataflows"]) == (True, None, ["flow"])
    lines = world.call("datasets", session=session).stdout.splitlines()
    assert lines[0].split() == ["dataset", "name", "behavior", "kind", "exportable", "dataflows"]
    assert lines[1].startswith("a")
    assert "no: no licence of the organization covers a dataset of kind derived; Data Distiller would" in lines[1]
    assert lines[3].split() == ["c", "Journeys", "record", "system", "yes", "flow"]
