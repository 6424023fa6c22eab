"""Who may deliver which datasets to which destinations (spec S2): roles, their members and their grants."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Permission(StrEnum):
    """What the owner of a dataflow has to be allowed."""

    VIEW_DESTINATIONS = "view_destinations"
    VIEW_DATASETS = "view_datasets"
    MANAGE_AND_ACTIVATE_DATASET_DESTINATIONS = "manage_and_activate_dataset_destinations"


@dataclass(frozen=True)
class Grant:
    """Permissions, at some destinations and for some datasets; None is all of them.

    To view destinations does not depend on datasets, nor to view datasets on destinations.
    """

    permissions: frozenset[Permission]
    destinations: frozenset[str] | None = None
    datasets: frozenset[str] | None = None

    def gives(self, permission: Permission, destination: str, dataset: str) -> bool:
        """Whether it gives a permission for one dataset at one destination."""
        return (
            permission in self.permissions
            and (permission is Permission.VIEW_DATASETS or _within(destination, self.destinations))
            and (permission is Permission.VIEW_DESTINATIONS or _within(dataset, self.datasets))
        )


@dataclass(frozen=True)
class Role:
    """A role: its members (`team:NAME` or e-mail addresses) have all of its grants."""

    name: str
    members: tuple[str, ...] = ()
    grants: tuple[Grant, ...] = ()

    def gives(self, permission: Permission, destination: str, dataset: str) -> bool:
        """Whether one of its grants gives a permission for one dataset at one destination."""
        return any(grant.gives(permission, destination, dataset) for grant in self.grants)


@dataclass(frozen=True)
class Access:
    """All roles, and who may change them."""

    roles: tuple[Role, ...]
    administrators: tuple[str, ...] = ()

    def roles_of(self, owner: str) -> tuple[Role, ...]:
        """The role of this name, or the roles that a team or a person is a member of."""
        return tuple(role for role in self.roles if owner == role.name or owner in role.members)


@dataclass(frozen=True)
class Missing:
    """A permission that an owner lacks.

    Attributes:
        permission: the permission.
        datasets: for which it is missing; it is not of interest which for the permission to view destinations.
        roles: that have it for all of these.
    """

    permission: Permission
    datasets: tuple[str, ...]
    roles: tuple[str, ...]


def missing(access: Access, owner: str, destination: str, datasets: Sequence[str]) -> list[Missing]:
    """The permissions that an owner lacks to deliver datasets to a destination.

    Args:
        access: who may do what.
        owner: the name of a role, `team:NAME` or an e-mail address.
        destination: id.
        datasets: ids.
    """
    own = access.roles_of(owner)
    found: list[Missing] = []
    for permission in Permission:
        lacking = [one for one in datasets if not any(role.gives(permission, destination, one) for role in own)]
        if lacking:
            able = [role for role in access.roles if all(role.gives(permission, destination, one) for one in lacking)]
            found.append(Missing(permission, tuple(lacking), tuple(role.name for role in able)))
    return found


def _within(id_: str, ids: frozenset[str] | None) -> bool:
    return ids is None or id_ in ids
