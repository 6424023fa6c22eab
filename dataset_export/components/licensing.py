"""The part of an organization that says what it has bought."""

from collections.abc import Sequence

from pydantic import Field

from dataset_export.components.declaration import Attributes
from dataset_export.components.source import Source
from dataset_export.components.volumes import Volume
from dataset_export.governance.licenses import AddOn, Application, License, LicensedAddOn, Licenses, Tier


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


def licenses_of(
    applications: Sequence[LicenseAttributes] | None, add_ons: Sequence[AddOnAttributes], source: Source
) -> Licenses | None:
    """What an organization has bought; None when it declares no licences.

    Raises:
        ConfigError: for an application or an add-on that is written twice, and for add-ons without a licence.
    """
    if applications is None:
        if add_ons:
            raise source.error("an add-on adds to a licence, and none is declared; add licenses", "add_ons")
        return None
    for field, names in {
        "licenses": [str(one.application) for one in applications],
        "add_ons": [str(one.name) for one in add_ons],
    }.items():
        for i, name in enumerate(names):
            if name in names[:i]:
                raise source.error(f"{name} is written twice; keep one of the two", field, i)
    return Licenses(
        applications=tuple(License(one.application, one.tier, one.profiles) for one in applications),
        add_ons=tuple(LicensedAddOn(one.name, one.volume) for one in add_ons),
    )
