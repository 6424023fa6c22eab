"""Whether a dataflow may export what it names: refusals that show only when declarations meet."""

from collections.abc import Iterable, Sequence

from dataset_export.components.organization import Organization
from dataset_export.components.source import Source
from dataset_export.errors import ConfigError
from dataset_export.export.dataflow import Dataset
from dataset_export.governance.eligibility import why_not
from dataset_export.governance.permissions import Access, Missing, Permission, missing


def require_eligible(source: Source, datasets: Sequence[Dataset], organization: Organization | None) -> None:
    """Refuse datasets that the organization's licences do not cover (spec S1).

    Args:
        source: of the dataflow.
        datasets: in the order in which it names them.
        organization: None restricts nothing.

    Raises:
        ConfigError: with file and line, a line for each dataset.
    """
    if organization is None:
        return
    refused = [
        f"{source.at('datasets', i)}: dataset {dataset.id!r} may not be exported: {reason} (the licences are at "
        f"{organization.source.at('licenses')})"
        for i, dataset in enumerate(datasets)
        if (reason := why_not(dataset, organization.licenses)) is not None
    ]
    if refused:
        raise ConfigError("\n".join(refused))


def require_permitted(
    source: Source, owner: str | None, destination: str, datasets: Sequence[Dataset], organization: Organization | None
) -> None:
    """Refuse a dataflow whose owner lacks a permission (spec S2).

    Args:
        source: of the dataflow.
        owner: the name of a role, `team:NAME`, an e-mail address, or None when none is written.
        destination: id.
        datasets: of the dataflow.
        organization: None, or one without `access`, restricts nothing.

    Raises:
        ConfigError: with file and line, a line for each permission.
    """
    if organization is None or organization.access is None:
        return
    access, place = organization.access, organization.source.at("access")
    roles = ", ".join(role.name for role in access.roles)
    if owner is None:
        raise source.error(
            f"the dataflow has no owner, and who may export is declared at {place}; add owner: the name of a role "
            f"({roles}), team:NAME or an e-mail address"
        )
    if not access.roles_of(owner):
        what = "is no role" if _is_role(owner) else "is a member of no role"
        raise source.error(f"the owner {owner} {what} at {place}; roles are {roles}{_ask(access)}", "owner")
    refused = [
        f"{source.at('owner')}: the owner {owner} lacks the permission {one.permission} for {_what(one, destination)}: "
        f"{_way_out(owner, one)}, at {organization.source.at('access', 'roles')}{_ask(access)}"
        for one in missing(access, owner, destination, [dataset.id for dataset in datasets])
    ]
    if refused:
        raise ConfigError("\n".join(refused))


def _what(lacking: Missing, destination: str) -> str:
    if lacking.permission is Permission.VIEW_DESTINATIONS:
        return f"destination {destination}"
    datasets = f"{'dataset' if len(lacking.datasets) == 1 else 'datasets'} {_listed(lacking.datasets)}"
    return datasets if lacking.permission is Permission.VIEW_DATASETS else f"{datasets} at destination {destination}"


def _way_out(owner: str, lacking: Missing) -> str:
    to = owner if _is_role(owner) else f"a role of {owner}"
    if not lacking.roles:
        return f"no role has it; grant it to {to}"
    have = f"role {lacking.roles[0]} has it" if len(lacking.roles) == 1 else f"roles {_listed(lacking.roles)} have it"
    instead = f"name {lacking.roles[0]} as the owner" if _is_role(owner) else f"make {owner} a member"
    return f"{have}; {instead}, or grant it to {to}"


def _ask(access: Access) -> str:
    return f"; ask {' or '.join(access.administrators)}" if access.administrators else ""


def _is_role(owner: str) -> bool:
    return ":" not in owner and "@" not in owner


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
