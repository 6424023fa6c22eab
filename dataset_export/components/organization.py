"""The component `Organization`."""

from typing import ClassVar, Self

import dagster as dg
from pydantic import Field

from dataset_export.components.declaration import Attributes, Declaration
from dataset_export.components.scaffold import TemplateScaffolder
from dataset_export.components.source import Source
from dataset_export.export.dataflow import Organization as OrganizationValue


class OrganizationAttributes(Attributes):
    """Attributes of an organization."""

    name: str = Field(min_length=1, description="Name of the organization; fills %ORGANIZATION_NAME% in folders.")
    sandbox: str = Field(
        default="prod", min_length=1, description="Name of the sandbox; fills %SANDBOX_NAME% in folders."
    )


@dg.scaffold_with(TemplateScaffolder)
class Organization(Declaration):
    """Whose data is exported. A project has one at most."""

    kind: ClassVar[str] = "organization"
    key_attribute: ClassVar[str] = "name"
    attributes_model = OrganizationAttributes

    def __init__(self, value: OrganizationValue, source: Source) -> None:
        self.value = value
        self.source = source
        # One key for all: a second organization is a duplicate, whatever its name.
        self.key = "organization"

    @classmethod
    def from_attributes(cls, attributes: OrganizationAttributes, source: Source) -> Self:
        """See `Declaration.from_attributes`."""
        return cls(OrganizationValue(name=attributes.name, sandbox=attributes.sandbox), source)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Nothing of its own: dataflows take its names."""
        return dg.Definitions()
