"""Licences and access as they are declared: what is refused at load, and where it points to."""

from pathlib import Path

import pytest

from dataset_export.components.catalog import load_catalog
from dataset_export.components.project import load_definitions
from dataset_export.errors import ConfigError
from dataset_export.governance.entitlement import entitled_bytes
from dataset_export.governance.licenses import Thresholds
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


ACCESS = """
    name: Acme
    access:
      administrators: ["team:platform"]
      roles:
        operations:
          members: ["team:operations"]
          grants:
            - permissions: [view_destinations, view_datasets, manage_and_activate_dataset_destinations]
        web:
          members: ["team:web"]
          grants:
            - permissions: [view_destinations, view_datasets]
            - permissions: [manage_and_activate_dataset_destinations]
              datasets: [events]
    """


def project(root: Path, owner: str | None, datasets: str = "flights") -> Path:
    """A project with access declared, and a dataflow of an owner; its `owner` is in line 4."""
    flow = (
        f"name: flow\n{f'owner: {owner}' if owner else 'description: none'}\ndatasets: [{datasets}]\ndestination: partner\n"
        "schedule: {frequency: daily, start: 2026-11-02}\nowners: ['team:all', 'team:web']"
    )
    return write_project(root, base=BASE, who=document("Organization", ACCESS), flow=document("Dataflow", flow))


@pytest.mark.parametrize(
    ("owner", "datasets"), [("operations", "flights, events"), ("team:operations", "flights"), ("team:web", "events")]
)
def test_s2_a_dataflow_whose_owner_has_all_permissions(tmp_path: Path, owner: str, datasets: str) -> None:
    flow = load_catalog(defs_folder=project(tmp_path, owner, datasets)).dataflows["flow"]
    assert flow.owner == owner
    assert flow.shown_owners == tuple(dict.fromkeys([*([owner] if ":" in owner else []), "team:all", "team:web"]))


@pytest.mark.parametrize(
    ("owner", "line", "says"),
    [
        (
            "team:web",
            4,
            "the owner team:web lacks the permission manage_and_activate_dataset_destinations for dataset flights at "
            "destination partner: role operations has it; make team:web a member, or grant it to a role of team:web, at "
            "{who}:6; ask team:platform",
        ),
        (
            "web",
            4,
            "the owner web lacks the permission manage_and_activate_dataset_destinations for dataset flights at "
            "destination partner: role operations has it; name operations as the owner, or grant it to web, at {who}:6; "
            "ask team:platform",
        ),
        (
            "team:sales",
            4,
            "the owner team:sales is a member of no role at {who}:4; roles are operations, web; ask team:",
        ),
        ("sales", 4, "the owner sales is no role at {who}:4; roles are operations, web; ask team:platform"),
        (
            None,
            2,
            "the dataflow has no owner, and who may export is declared at {who}:4; add owner: the name of a role "
            "(operations, web), team:NAME or an e-mail address",
        ),
    ],
)
def test_s2_a_dataflow_whose_owner_lacks_a_permission_is_refused_at_load(
    tmp_path: Path, owner: str | None, line: int, says: str
) -> None:
    defs = project(tmp_path, owner)
    said = refusal(defs)
    assert said.startswith(f"{defs}/flow/defs.yaml:{line}: {says.format(who=f'{defs}/who/defs.yaml')}"), said
    assert "\n" not in said


def test_s2_every_permission_that_is_missing_is_named(tmp_path: Path) -> None:
    access = "name: A\naccess: {roles: {nobody: {members: ['team:web']}}}"
    flow = FLOW.replace("name: flow", "name: flow\n  owner: team:web")
    defs = write_project(tmp_path, base=BASE, people=PEOPLE, flow=flow, who=document("Organization", access))
    lines = refusal(defs).splitlines()
    assert [line.split(": ", 1)[1].split(" at ")[0].split(": no role has it")[0] for line in lines] == [
        "the owner team:web lacks the permission view_destinations for destination partner",
        "the owner team:web lacks the permission view_datasets for datasets people, flights",
        "the owner team:web lacks the permission manage_and_activate_dataset_destinations for datasets people, flights",
    ]


def test_s2_without_access_nothing_is_restricted(tmp_path: Path) -> None:
    defs = write_project(tmp_path, base=BASE, people=PEOPLE, flow=FLOW, who=document("Organization", "name: Acme"))
    assert load_catalog(defs_folder=defs).dataflows["flow"].owner is None


def test_s4_deleting_a_dataset_that_dataflows_export_is_refused_with_all_of_them_named(tmp_path: Path) -> None:
    flow = "name: {}\ndatasets: [{}]\ndestination: partner\nschedule: {{frequency: daily, start: 2026-11-02}}"
    flows = {"a": "flights", "b": "events, flights", "c": "events"}
    files = {name: document("Dataflow", flow.format(name, datasets)) for name, datasets in flows.items()}
    base = "\n---\n".join(part for part in BASE.split("---") if "id: flights" not in part)
    defs = write_project(tmp_path, base=base, **files)
    assert refusal(defs) == (
        f"{defs}/a/defs.yaml:4: there is no dataset 'flights'; there are events; the dataflows a, b ({defs}/b/defs.yaml:4) "
        "name it: declare it again, or take it out of all of them"
    )


def test_s4_deleting_a_destination_that_dataflows_deliver_to_is_refused_with_all_of_them_named(tmp_path: Path) -> None:
    flow = "name: {}\ndatasets: [flights]\ndestination: gone\nschedule: {{frequency: daily, start: 2026-11-02}}"
    files = {name: document("Dataflow", flow.format(name)) for name in ("a", "b", "c")}
    defs = write_project(tmp_path, base=BASE, **files)
    assert refusal(defs) == (
        f"{defs}/a/defs.yaml:5: there is no destination 'gone'; there are partner; the dataflows a, b ({defs}/b/defs.yaml:5), "
        f"c ({defs}/c/defs.yaml:5) name it: declare it again, or take it out of all of them"
    )


def test_s4_a_dataset_that_no_dataflow_names_may_be_deleted(tmp_path: Path) -> None:
    base = "\n---\n".join(part for part in BASE.split("---") if "id: events" not in part)
    assert set(load_catalog(defs_folder=write_project(tmp_path, base=base)).datasets) == {"flights"}


@pytest.mark.parametrize(("declared", "warned"), [(100, False), (101, True)])
def test_s10_more_than_100_destinations_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, declared: int, warned: bool
) -> None:
    text = "---\n".join(document("Destination", f"id: d{i}\ntype: local\nfolder: d{i}") for i in range(declared))
    assert len(load_catalog(defs_folder=write_project(tmp_path, many=text)).destinations) == declared
    said = [record.getMessage() for record in caplog.records if record.name == "dataset_export"]
    assert said == (["101 destinations are declared, more than 100; several dataflows may share one"] if warned else [])


def test_s9_what_is_licensed_arrives(tmp_path: Path) -> None:
    text = (
        "name: A\nlicenses:\n  - {application: real_time_cdp, tier: ultimate, profiles: 1000}\n"
        "add_ons:\n  - {name: data_distiller, volume: 0.3 GB}\nlicense_year_start: 04-01\nthresholds: {warn: null, block: 1.1}"
    )
    defs = write_project(tmp_path, base=BASE, who=document("Organization", text))
    found = load_catalog(defs_folder=defs).licenses
    assert found is not None
    assert entitled_bytes(found) == 1_000_000_000
    assert (found.year_start, found.thresholds) == ((4, 1), Thresholds(None, 1.1))
    assets = {key.to_user_string() for key in load_definitions(defs_folder=defs).resolve_all_asset_keys()}
    assert assets == {"lake/flights", "lake/events", "license_usage"}


WRONG = {
    "a licence year that begins on no day": (
        f"{PRIME}\nlicense_year_start: 02-29",
        6,
        "'02-29' is no day of every year; write month and day, for example '04-01'",
    ),
    "a licence year in words": (f"{PRIME}\nlicense_year_start: April", 6, "'April' is no day of every year"),
    "thresholds without licences": (
        "name: A\nthresholds: {block: 1}",
        4,
        "thresholds is of use only beside licenses, and none is declared; add licenses",
    ),
    "a warning after the stop": (
        f"{PRIME}\nthresholds: {{block: 0.5}}",
        6,
        "warn (0.8) comes after block (0.5); make it smaller",
    ),
    "a share that is none": (f"{PRIME}\nthresholds: {{warn: 0}}", 6, "has to be above 0"),
    "unknown permission": (
        "name: A\naccess:\n  roles:\n    web:\n      grants:\n        - permissions: [view]",
        8,
        "'view_destinations', 'view_datasets' or 'manage_and_activate_dataset_destinations'",
    ),
    "unknown key of a grant": (
        "name: A\naccess:\n  roles:\n    web:\n      grants:\n        - permissions: [view_datasets]\n          to: [partner]",
        9,
        "the key 'access.roles.web.grants.0.to' is not known; keys here are permissions, destinations, datasets",
    ),
    "no role": ("name: A\naccess: {roles: {}}", 4, "name at least one"),
    "a name that is none of a role": ("name: A\naccess:\n  roles:\n    a b: {}", 6, "'a b' is no name of a role"),
    "a member that is none": (
        "name: A\naccess:\n  roles:\n    web:\n      members: [ann]",
        7,
        "'ann' is no owner; write team:NAME or an e-mail address",
    ),
    "a grant for a dataset that is not declared": (
        "name: A\naccess:\n  roles:\n    web:\n      grants:\n        - permissions: [view_datasets]\n          datasets: [flihgts]",
        9,
        "there is no dataset 'flihgts'; there are events, flights; a grant of the role 'web' names it: declare it, or take "
        "it out of the grant",
    ),
    "a grant for a destination that is not declared": (
        "name: A\naccess:\n  roles:\n    web:\n      grants:\n        - permissions: [view_datasets]\n          destinations: [x]",
        9,
        "there is no destination 'x'; there are partner; a grant",
    ),
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
        "has to be above 0",
    ),
    "licences that are none": ("name: A\nlicenses: []", 4, "name at least one"),
    "a licence twice": (
        f"{PRIME}\n  - {{application: real_time_cdp, tier: ultimate, profiles: 1}}",
        6,
        "real_time_cdp is written twice; keep one of the two",
    ),
    "an add-on without a licence": (
        "name: A\nadd_ons:\n  - {name: data_distiller, volume: 1 TB}",
        4,
        "add_ons is of use only beside licenses, and none is declared; add licenses",
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
