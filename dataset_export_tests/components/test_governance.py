"""Licences and access as they are declared: what is refused at load, and where it points to."""

from pathlib import Path

import pytest

from dataset_export.components.catalog import load_catalog
from dataset_export.components.project import load_definitions
from dataset_export.errors import ConfigError
from dataset_export_tests.components.projects import BASE, document, write_project

FLOW = document(
    "Dataflow",
    """
    name: flow
    datasets:
      - people
      - flights
    destination: partner
    schedule: {frequency: daily, start: 2026-11-02}
    """,
)
PEOPLE = document("Dataset", "id: people\nbehavior: record\nlocation: lake/people\nkind: profile_snapshot")
PRIME = "name: Acme\nlicenses:\n  - {application: real_time_cdp, tier: prime, profiles: 1000}"


def refusal(defs: Path) -> str:
    """What both ways to load the declarations refuse them with."""
    with pytest.raises(ConfigError) as refused:
        load_catalog(defs_folder=defs)
    with pytest.raises(ConfigError) as in_dagster:
        load_definitions(defs_folder=defs)
    assert str(in_dagster.value) == str(refused.value)
    return str(refused.value)


def test_s1_a_dataflow_of_datasets_that_no_licence_covers_is_refused_at_load(tmp_path: Path) -> None:
    defs = write_project(tmp_path, base=BASE, people=PEOPLE, flow=FLOW, who=document("Organization", PRIME))
    there = f"(the licences are at {defs}/who/defs.yaml:4)"
    assert refusal(defs).splitlines() == [
        f"{defs}/flow/defs.yaml:5: dataset 'people' may not be exported: no licence of the organization covers a dataset "
        f"of kind profile_snapshot; Real-Time CDP Ultimate would {there}",
        f"{defs}/flow/defs.yaml:6: dataset 'flights' may not be exported: its kind is not declared, and licences cover "
        f"kinds of datasets; add kind: derived, experience_event, profile, profile_snapshot or system {there}",
    ]


@pytest.mark.parametrize(
    "organization",
    [
        "name: Acme",
        "name: Acme\nlicenses:\n  - {application: real_time_cdp, tier: ultimate, profiles: 1}\n"
        "add_ons:\n  - {name: data_distiller, volume: 1.5 TB}",
    ],
)
def test_s1_what_the_licences_cover_or_no_licences_at_all(tmp_path: Path, organization: str) -> None:
    base = BASE.replace("location: lake/flights", "location: lake/flights, kind: derived")
    defs = write_project(tmp_path, base=base, people=PEOPLE, flow=FLOW, who=document("Organization", organization))
    assert set(load_catalog(defs_folder=defs).dataflows) == {"flow"}


def test_s1_a_dataset_that_no_dataflow_names_may_be_declared(tmp_path: Path) -> None:
    defs = write_project(tmp_path, base=BASE, people=PEOPLE, who=document("Organization", PRIME))
    assert set(load_catalog(defs_folder=defs).datasets) == {"people", "flights", "events"}


WRONG = {
    "unknown application": (
        "name: A\nlicenses: [{application: marketo, tier: prime, profiles: 1}]",
        4,
        "'real_time_cdp', 'journey_optimizer' or 'customer_journey_analytics'",
    ),
    "unknown key of a licence": (
        "name: A\nlicenses:\n  - application: real_time_cdp\n    tier: prime\n    profiles: 1\n    profile: 1",
        8,
        "the key 'licenses.0.profile' is not known; keys here are application, tier, profiles",
    ),
    "no profiles": (
        "name: A\nlicenses:\n  - {application: real_time_cdp, tier: prime, profiles: 0}",
        5,
        "greater than 0",
    ),
    "licences that are none": ("name: A\nlicenses: []", 4, "at least 1 item"),
    "a licence twice": (
        f"{PRIME}\n  - {{application: real_time_cdp, tier: ultimate, profiles: 1}}",
        6,
        "real_time_cdp is written twice; keep one of the two",
    ),
    "an add-on without a licence": (
        "name: A\nadd_ons:\n  - {name: data_distiller, volume: 1 TB}",
        4,
        "an add-on adds to a licence, and none is declared; add licenses",
    ),
    "a volume that is none": (
        f"{PRIME}\nadd_ons:\n  - name: data_distiller\n    volume: 5 GiB",
        8,
        "'5 GiB' is no volume; write a number of bytes, or one with B, KB, MB, GB, TB, PB: 500 GB",
    ),
}


@pytest.mark.parametrize(("organization", "line", "says"), WRONG.values(), ids=WRONG.keys())
def test_refused_with_file_and_line(tmp_path: Path, organization: str, line: int, says: str) -> None:
    defs = write_project(tmp_path, base=BASE, who=document("Organization", organization))
    said = refusal(defs).splitlines()[0]
    assert said.startswith(f"{defs}/who/defs.yaml:{line}: "), said
    assert says in said
