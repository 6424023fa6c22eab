"""The component `Organization`."""

from collections.abc import Collection
from typing import ClassVar, Self

import dagster as dg
from dagster.components.core.component_tree import ComponentTree
from pydantic import Field

from dataset_export.alerts.alert import AlertRules
from dataset_export.components.access import AccessAttributes, access_of, require_known
from dataset_export.components.alert_channel import AlertChannel
from dataset_export.components.alerts import AlertsAttributes, alert_rules
from dataset_export.components.declaration import Attributes, Declaration, declared
from dataset_export.components.licensing import (
    AddOnAttributes,
    LicenseAttributes,
    MonthDay,
    ThresholdAttributes,
    licenses_of,
)
from dataset_export.components.scaffold import TemplateScaffolder
from dataset_export.components.source import Source
from dataset_export.export.dataflow import Organization as OrganizationValue
from dataset_export.governance.licenses import Licenses
from dataset_export.governance.permissions import Access


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
    license_year_start: MonthDay | None = Field(
        default=None, description="Month and day on which the licence year begins, for example 04-01. Default: 01-01."
    )
    thresholds: ThresholdAttributes | None = Field(
        default=None, description="When to warn that the bytes of the licence year run out, and when to stop exports."
    )
    access: AccessAttributes | None = Field(
        default=None,
        description="Who may export what to where. Every dataflow then needs an owner that may. Left out: no restriction.",
    )
    alerts: AlertsAttributes | None = Field(
        default=None, description="Who hears what of every dataflow that has no alerts of its own."
    )


@dg.scaffold_with(TemplateScaffolder)
class Organization(Declaration):
    """Whose data is exported. A project has one at most."""

    kind: ClassVar[str] = "organization"
    key_attribute: ClassVar[str] = "name"
    attributes_model = OrganizationAttributes

    def __init__(self, attributes: OrganizationAttributes, licenses: Licenses | None, source: Source) -> None:
        self.attributes = attributes
        self.value = OrganizationValue(name=attributes.name, sandbox=attributes.sandbox)
        self.licenses = licenses
        self.access: Access | None = access_of(attributes.access)
        self.source = source
        # One key for all: a second organization is a duplicate, whatever its name.
        self.key = "organization"

    @classmethod
    def from_attributes(cls, attributes: OrganizationAttributes, source: Source) -> Self:
        """See `Declaration.from_attributes`."""
        licenses = licenses_of(
            attributes.licenses, attributes.add_ons, attributes.license_year_start, attributes.thresholds, source
        )
        return cls(attributes, licenses, source)

    def require_known(self, destinations: Collection[str], datasets: Collection[str]) -> None:
        """Refuse grants for destinations and datasets that are not declared.

        Raises:
            ConfigError: with file and line.
        """
        if self.attributes.access is not None:
            require_known(self.attributes.access, self.source, destinations, datasets)

    def alert_rules(self, tree: ComponentTree) -> AlertRules:
        """Who hears what of dataflows that do not say it themselves.

        Raises:
            ConfigError: with file and line, for a channel that is not declared.
        """
        if self.attributes.alerts is None:
            return AlertRules()
        return alert_rules(self.attributes.alerts, declared(tree, AlertChannel), self.source)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Nothing of its own: dataflows take its names."""
        return dg.Definitions()
