"""The part of an organization that says who may export what."""

import re
from collections.abc import Collection
from typing import Annotated

from pydantic import AfterValidator, Field

from dataset_export.components.declaration import OWNER, Attributes, Owner
from dataset_export.components.source import Source
from dataset_export.governance.permissions import Access, Grant, Permission, Role

ROLE = r"[A-Za-z][A-Za-z0-9_-]*"


def _role_name(value: str) -> str:
    if not re.fullmatch(ROLE, value):
        raise ValueError(f"{value!r} is no name of a role; it takes letters, digits, _ and -")
    return value


def _dataflow_owner(value: str) -> str:
    if not re.fullmatch(f"{ROLE}|{OWNER}", value):
        raise ValueError(f"{value!r} is no owner; write the name of a role, team:NAME or an e-mail address")
    return value


RoleName = Annotated[str, AfterValidator(_role_name)]
DataflowOwner = Annotated[str, AfterValidator(_dataflow_owner)]


class GrantAttributes(Attributes):
    """Permissions that a role has."""

    permissions: tuple[Permission, ...] = Field(
        min_length=1,
        description="view_destinations, view_datasets, manage_and_activate_dataset_destinations: the owner of a dataflow "
        "needs all three.",
    )
    destinations: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="Ids of the only destinations it is for. Default: all."
    )
    datasets: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="Ids of the only datasets it is for. Default: all."
    )


class RoleAttributes(Attributes):
    """A role."""

    members: tuple[Owner, ...] = Field(default=(), description="team:NAME or e-mail addresses.")
    grants: tuple[GrantAttributes, ...] = Field(default=(), description="What its members may do.")


class AccessAttributes(Attributes):
    """Who may export what."""

    roles: dict[RoleName, RoleAttributes] = Field(min_length=1, description="Roles by name.")
    administrators: tuple[Owner, ...] = Field(
        default=(), description="Who changes this section: team:NAME or e-mail addresses. Refusals say whom to ask."
    )


def access_of(attributes: AccessAttributes | None) -> Access | None:
    """Who may export what; None when the organization declares nothing of it."""
    if attributes is None:
        return None
    return Access(
        roles=tuple(
            Role(name, role.members, tuple(_grant(grant) for grant in role.grants))
            for name, role in attributes.roles.items()
        ),
        administrators=attributes.administrators,
    )


def require_known(
    attributes: AccessAttributes, source: Source, destinations: Collection[str], datasets: Collection[str]
) -> None:
    """Refuse grants for destinations and datasets that are not declared. Raises ConfigError with file and line."""
    for name, role in attributes.roles.items():
        for i, grant in enumerate(role.grants):
            for field, ids, known in (
                ("destinations", grant.destinations or (), destinations),
                ("datasets", grant.datasets or (), datasets),
            ):
                for j, id_ in enumerate(ids):
                    if id_ not in known:
                        there_are = f"there are {', '.join(sorted(known))}" if known else "none is declared"
                        raise source.error(
                            f"there is no {field.removesuffix('s')} {id_!r}; {there_are}; a grant of the role {name!r} "
                            "names it: declare it, or take it out of the grant",
                            *("access", "roles", name, "grants", i, field, j),
                        )


def _grant(attributes: GrantAttributes) -> Grant:
    return Grant(
        permissions=frozenset(attributes.permissions),
        destinations=frozenset(attributes.destinations) if attributes.destinations is not None else None,
        datasets=frozenset(attributes.datasets) if attributes.datasets is not None else None,
    )
