"""What an organization has bought: licences of applications and add-ons (spec S1, S9)."""

from dataclasses import dataclass
from enum import StrEnum


class Application(StrEnum):
    """An application whose licence lets datasets be exported."""

    REAL_TIME_CDP = "real_time_cdp"
    JOURNEY_OPTIMIZER = "journey_optimizer"
    CUSTOMER_JOURNEY_ANALYTICS = "customer_journey_analytics"

    @property
    def full_name(self) -> str:
        """As people call it."""
        return _FULL_NAMES[self]


class Tier(StrEnum):
    """The tier of an application's licence."""

    PRIME = "prime"
    ULTIMATE = "ultimate"


class AddOn(StrEnum):
    """What is bought in addition to an application."""

    DATA_DISTILLER = "data_distiller"

    @property
    def full_name(self) -> str:
        """As people call it."""
        return _FULL_NAMES[self]


_FULL_NAMES: dict[Application | AddOn, str] = {
    Application.REAL_TIME_CDP: "Real-Time CDP",
    Application.JOURNEY_OPTIMIZER: "Adobe Journey Optimizer",
    Application.CUSTOMER_JOURNEY_ANALYTICS: "Customer Journey Analytics",
    AddOn.DATA_DISTILLER: "Data Distiller",
}


@dataclass(frozen=True)
class License:
    """The licence of one application, for a number of profiles."""

    application: Application
    tier: Tier
    profiles: int


@dataclass(frozen=True)
class LicensedAddOn:
    """An add-on, and how many bytes a year it entitles to export."""

    name: AddOn
    bytes: int


@dataclass(frozen=True)
class Thresholds:
    """Shares of the bytes that a licence year entitles to.

    Attributes:
        warn: from here on a person is warned; None: never.
        block: from here on no export starts; None: never.
    """

    warn: float | None = 0.8
    block: float | None = None


@dataclass(frozen=True)
class Licenses:
    """All that an organization has bought; without such a value nothing is restricted.

    Attributes:
        applications: each at most once.
        add_ons: likewise.
        year_start: month and day on which the licence year begins (UTC).
        thresholds: when the licence year's bytes run out.
    """

    applications: tuple[License, ...]
    add_ons: tuple[LicensedAddOn, ...] = ()
    year_start: tuple[int, int] = (1, 1)
    thresholds: Thresholds = Thresholds()
