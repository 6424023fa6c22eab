"""Who may deliver what to where (spec S2)."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from dataset_export.governance.permissions import Access, Grant, Missing, Permission, Role, missing

ALL = frozenset(Permission)
MANAGE = Permission.MANAGE_AND_ACTIVATE_DATASET_DESTINATIONS
VIEW_DATASETS, VIEW_DESTINATIONS = Permission.VIEW_DATASETS, Permission.VIEW_DESTINATIONS
WEB = "team:web"


def access(*grants: Grant, others: tuple[Role, ...] = ()) -> Access:
    return Access((Role("web", (WEB, "ann@example.com"), grants), *others))


def lacking(owner: str, who: Access, *datasets: str, destination: str = "partner") -> list[Permission]:
    return [one.permission for one in missing(who, owner, destination, datasets or ("flights",))]


def test_s2_all_three_permissions_are_needed() -> None:
    assert len(Permission) == 3
    assert lacking(WEB, access(Grant(ALL))) == []
    for permission in Permission:
        assert lacking(WEB, access(Grant(ALL - {permission}))) == [permission]
    assert lacking(WEB, access()) == list(Permission)
    assert lacking(WEB, access(*(Grant(frozenset({permission})) for permission in Permission))) == []


def test_s2_the_owner_is_a_role_a_team_or_a_person() -> None:
    who = access(Grant(ALL))
    for owner in ("web", WEB, "ann@example.com"):
        assert lacking(owner, who) == []
    for owner in ("operations", "team:operations", "bob@example.com"):
        assert lacking(owner, who) == list(Permission)


def test_s2_a_member_of_several_roles_has_the_grants_of_all() -> None:
    more = Role("more", (WEB,), (Grant(frozenset({MANAGE})),))
    who = access(Grant(frozenset({VIEW_DATASETS, VIEW_DESTINATIONS})), others=(more,))
    assert lacking(WEB, who) == []
    assert lacking("web", who) == [MANAGE]


def test_s2_a_grant_may_be_narrowed_to_destinations_and_datasets() -> None:
    who = access(Grant(ALL, destinations=frozenset({"partner"}), datasets=frozenset({"flights", "planes"})))
    assert lacking(WEB, who, "flights", "planes") == []
    assert lacking(WEB, who, "flights", "people") == [VIEW_DATASETS, MANAGE]
    assert lacking(WEB, who, "flights", destination="archive") == [VIEW_DESTINATIONS, MANAGE]
    found = missing(who, WEB, "partner", ["flights", "people"])
    assert {one.datasets for one in found} == {("people",)}


def test_s2_one_narrowed_grant_does_not_complete_another() -> None:
    who = access(
        Grant(frozenset({VIEW_DATASETS, VIEW_DESTINATIONS})),
        Grant(frozenset({MANAGE}), destinations=frozenset({"partner"}), datasets=frozenset({"planes"})),
        Grant(frozenset({MANAGE}), destinations=frozenset({"archive"}), datasets=frozenset({"flights"})),
    )
    assert lacking(WEB, who, "flights") == [MANAGE]
    assert lacking(WEB, who, "planes") == []


def test_s2_what_is_missing_names_the_roles_that_have_it() -> None:
    both = Role("both", (), (Grant(ALL),))
    one = Role("one", (), (Grant(ALL, datasets=frozenset({"flights"})),))
    found = missing(access(others=(both, one)), WEB, "partner", ["flights", "planes"])
    assert found == [
        Missing(VIEW_DESTINATIONS, ("flights", "planes"), ("both", "one")),
        Missing(VIEW_DATASETS, ("flights", "planes"), ("both",)),
        Missing(MANAGE, ("flights", "planes"), ("both",)),
    ]


IDS = st.sampled_from(["a", "b", "c"])
SCOPES = st.none() | st.frozensets(IDS, min_size=1)
GRANTS = st.builds(Grant, st.frozensets(st.sampled_from(Permission)), SCOPES, SCOPES)


@given(st.lists(GRANTS, max_size=4), GRANTS, st.lists(IDS, min_size=1, unique=True), IDS)
def test_s2_a_further_grant_takes_nothing_away(
    grants: list[Grant], further: Grant, datasets: list[str], destination: str
) -> None:
    before = missing(access(*grants), WEB, destination, datasets)
    after = missing(access(*grants, further), WEB, destination, datasets)
    pairs = [{(m.permission, dataset) for m in found for dataset in m.datasets} for found in (after, before)]
    assert pairs[0] <= pairs[1]
    expected = {
        (permission, dataset)
        for permission, dataset in product(Permission, datasets)
        if not any(
            permission in grant.permissions
            and (permission is VIEW_DATASETS or grant.destinations is None or destination in grant.destinations)
            and (permission is VIEW_DESTINATIONS or grant.datasets is None or dataset in grant.datasets)
            for grant in grants
        )
    }
    assert pairs[1] == expected
