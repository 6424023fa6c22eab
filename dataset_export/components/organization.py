"""The component `Organization`."""

from typing import ClassVar, Self

import dagster as dg
from pydantic import Field

from dataset_export.components.declaration import Attributes, Declaration
from dataset_export.components.licensing import AddOnAttributes, LicenseAttributes, licenses_of
from dataset_export.components.scaffold import TemplateScaffolder
from dataset_export.components.source import Source
from dataset_export.export.dataflow import Organization as OrganizationValue
from dataset_export.governance.licenses import Licenses


class OrganizationAttributes(Attributes):
    """Attributes of an organization."""

    name: str = Field(min_length=1, description="Name of the organization; fills %ORGANIZATION_NAME% in folders.")
    sandbox: str = Field(
        default="prod", min_length=1, description="Name of the sandbox; fills %SANDBOX_NAME% in folders."
    )
    licenses: tuple[LicenseAttributes, ...] | None = Field(
        default=None,
        min_length=1,
        description="Licences of applications. They decide which datasets may be exported and how many bytes a year. "
        "Left out: everything may be exported.",
    )
    add_ons: tuple[AddOnAttributes, ...] = Field(default=(), description="Add-ons; they add to the licences.")


@dg.scaffold_with(TemplateScaffolder)
class Organization(Declaration):
    """Whose data is exported. A project has one at most."""

    kind: ClassVar[str] = "organization"
    key_attribute: ClassVar[str] = "name"
    attributes_model = OrganizationAttributes

    def __init__(self, value: OrganizationValue, source: Source, licenses: Licenses | None = None) -> None:
        self.value = value
        self.source = source
        self.licenses = licenses
        # One key for all: a second organization is a duplicate, whatever its name.
        self.key = "organization"

    @classmethod
    def from_attributes(cls, attributes: OrganizationAttributes, source: Source) -> Self:
        """See `Declaration.from_attributes`."""
        return cls(
            OrganizationValue(name=attributes.name, sandbox=attributes.sandbox),
            source,
            licenses_of(attributes.licenses, attributes.add_ons, source),
        )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Nothing of its own: dataflows take its names."""
        return dg.Definitions()
