"""Which datasets may be exported under which licence (spec S1): one table, and the reason for those that may not."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from dataset_export.export.dataflow import Dataset, Kind, Origin
from dataset_export.governance.licenses import AddOn, Application, Licenses, Tier

ALL_TIERS = frozenset(Tier)

COLLECTED = frozenset(Origin) - {Origin.OTHER}
"""Ways into the lake after which profile and event datasets may be exported."""

JOURNEY_OPTIMIZER_DATASETS = (
    "AJO BCC Feedback Event",
    "AJO Classification",
    "AJO Consent Service",
    "AJO Email Tracking Experience Event",
    "AJO Entity",
    "AJO Inbound Activity Event",
    "AJO Interactive Messaging Profile",
    "AJO Message Feedback Event",
    "AJO Profile Counters Extension",
    "AJO Push Profile",
    "AJO Push Tracking Experience Event",
    "AJO Surfaces",
    "AOOutputForUPSDataset",
    "Audience Orchestration Profile",
    "Decision Object Repository - Activities",
    "Decision Object Repository - Fallback Offers",
    "Decision Object Repository - Personalized Offers",
    "Decision Object Repository - Placements",
    "Journey Step Events",
    "Journeys",
    "ODE DecisionEvents - prod decisioning",
)
"""System datasets that Adobe Journey Optimizer may export, by name; case and kind of dash do not matter."""


@dataclass(frozen=True)
class Rule:
    """Datasets of one kind that one application (in some of its tiers) or add-on covers.

    Attributes:
        covered_by: the application or the add-on.
        kind: of the datasets.
        tiers: of the application; an add-on has none.
        origins: ways into the lake; empty is any.
        names: of the datasets; empty is any.
        profile_enabled: whether the dataset has to be enabled for profile.
    """

    covered_by: Application | AddOn
    kind: Kind
    tiers: frozenset[Tier] = ALL_TIERS
    origins: frozenset[Origin] = frozenset()
    names: tuple[str, ...] = ()
    profile_enabled: bool = False

    def held(self, licenses: Licenses) -> bool:
        """Whether the organization has what covers these datasets."""
        return any(
            one.application is self.covered_by and one.tier in self.tiers for one in licenses.applications
        ) or any(one.name is self.covered_by for one in licenses.add_ons)

    def unmet(self, dataset: Dataset) -> str | None:
        """What keeps a dataset of this kind from being covered, and the way out; None when nothing does."""
        if self.names and _plain(dataset.name) not in map(_plain, self.names):
            return f"{self} covers system datasets by name, and {dataset.name!r} is none of the {len(self.names)}"
        if self.origins and dataset.origin is None:
            return f"its origin is not declared; add origin: {_one_of(self.origins)}"
        if self.origins and dataset.origin not in self.origins:
            return f"its origin is {dataset.origin}, and only {_one_of(self.origins)} may be exported"
        if self.profile_enabled and not dataset.profile_enabled:
            return "it is not enabled for profile; enable it there and add profile_enabled: true here"
        return None

    def __str__(self) -> str:
        tiers = "" if self.tiers == ALL_TIERS else " " + " or ".join(tier.title() for tier in sorted(self.tiers))
        return f"{self.covered_by.full_name}{tiers}"


RULES = (
    Rule(Application.REAL_TIME_CDP, Kind.PROFILE, origins=COLLECTED, profile_enabled=True),
    Rule(Application.REAL_TIME_CDP, Kind.EXPERIENCE_EVENT, origins=COLLECTED),
    Rule(Application.REAL_TIME_CDP, Kind.PROFILE_SNAPSHOT, tiers=frozenset({Tier.ULTIMATE})),
    Rule(Application.JOURNEY_OPTIMIZER, Kind.SYSTEM, names=JOURNEY_OPTIMIZER_DATASETS),
    Rule(Application.CUSTOMER_JOURNEY_ANALYTICS, Kind.PROFILE, origins=COLLECTED, profile_enabled=True),
    Rule(Application.CUSTOMER_JOURNEY_ANALYTICS, Kind.EXPERIENCE_EVENT, origins=COLLECTED),
    Rule(AddOn.DATA_DISTILLER, Kind.DERIVED),
)


def why_not(dataset: Dataset, licenses: Licenses | None) -> str | None:
    """Why a dataset may not be exported, with the way out; None when it may.

    Args:
        dataset: the dataset.
        licenses: what the organization has; None restricts nothing.
    """
    if licenses is None:
        return None
    if dataset.kind is None:
        return f"its kind is not declared, and licences cover kinds of datasets; add kind: {_one_of(Kind)}"
    covering = [rule for rule in RULES if rule.kind is dataset.kind]
    faults = {rule: rule.unmet(dataset) for rule in sorted(covering, key=lambda rule: not rule.held(licenses))}
    met = [rule for rule, fault in faults.items() if fault is None]
    if any(rule.held(licenses) for rule in met):
        return None
    if met:
        would = " or ".join(map(str, met))
        return f"no licence of the organization covers a dataset of kind {dataset.kind}; {would} would"
    return next(iter(faults.values()))


def _one_of(values: Iterable[StrEnum]) -> str:
    *others, last = sorted(str(value) for value in values)
    return f"{', '.join(others)} or {last}"


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("–", "-").replace("—", "-").split())  # noqa: RUF001 - the dashes are the point
