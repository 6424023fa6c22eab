"""The part of an organization that says what it has bought."""

import re
from collections.abc import Sequence
from datetime import date
from typing import Annotated

from pydantic import AfterValidator, Field

from dataset_export.components.declaration import Attributes
from dataset_export.components.source import Source
from dataset_export.components.volumes import Volume
from dataset_export.governance.licenses import AddOn, Application, License, LicensedAddOn, Licenses, Thresholds, Tier


class LicenseAttributes(Attributes):
    """The licence of one application."""

    application: Application = Field(description="The application.")
    tier: Tier = Field(description="Its tier: prime or ultimate.")
    profiles: int = Field(
        gt=0, description="How many profiles are licensed: what may be exported in a year grows with it."
    )


class AddOnAttributes(Attributes):
    """An add-on."""

    name: AddOn = Field(description="The add-on.")
    volume: Volume = Field(description="What it adds to the bytes that may be exported in a year, for example 500 GB.")


class ThresholdAttributes(Attributes):
    """Shares of what the licences entitle to in a year."""

    warn: float | None = Field(
        default=Thresholds.warn, gt=0, description="From here on a person is warned; null: never. Default: 0.8."
    )
    block: float | None = Field(
        default=Thresholds.block, gt=0, description="From here on no export starts; null (the default): never."
    )


def _month_day(written: str) -> str:
    found = re.fullmatch(r"(\d\d)-(\d\d)", written)
    try:
        date(2001, *map(int, found.groups() if found else ()))  # a year without February 29
    except (TypeError, ValueError):
        raise ValueError(f"{written!r} is no day of every year; write month and day, for example '04-01'") from None
    return written


MonthDay = Annotated[str, AfterValidator(_month_day)]


def licenses_of(
    applications: Sequence[LicenseAttributes] | None,
    add_ons: Sequence[AddOnAttributes],
    year_start: str | None,
    thresholds: ThresholdAttributes | None,
    source: Source,
) -> Licenses | None:
    """What an organization has bought; None when it declares no licences.

    Raises:
        ConfigError: for an application or an add-on that is written twice, for a warning that comes after the stop, and for
            add-ons and the like without a licence.
    """
    if applications is None:
        for field, written in {"add_ons": add_ons, "license_year_start": year_start, "thresholds": thresholds}.items():
            if written:
                raise source.error(f"{field} is of use only beside licenses, and none is declared; add licenses", field)
        return None
    for field, names in {
        "licenses": [str(one.application) for one in applications],
        "add_ons": [str(one.name) for one in add_ons],
    }.items():
        for i, name in enumerate(names):
            if name in names[:i]:
                raise source.error(f"{name} is written twice; keep one of the two", field, i)
    warn, block = (thresholds.warn, thresholds.block) if thresholds is not None else (Thresholds.warn, Thresholds.block)
    if warn is not None and block is not None and warn > block:
        raise source.error(f"warn ({warn:g}) comes after block ({block:g}); make it smaller", "thresholds")
    month, day = (year_start or "01-01").split("-")
    return Licenses(
        applications=tuple(License(one.application, one.tier, one.profiles) for one in applications),
        add_ons=tuple(LicensedAddOn(one.name, one.volume) for one in add_ons),
        year_start=(int(month), int(day)),
        thresholds=Thresholds(warn, block),
    )
