"""The component `AlertChannel`."""

from typing import ClassVar, Self

import dagster as dg
from pydantic import Field

from dataset_export.alerts.channel import Channel
from dataset_export.components.declaration import Attributes, Declaration
from dataset_export.components.scaffold import TemplateScaffolder
from dataset_export.components.secret import SecretField
from dataset_export.components.source import Source
from dataset_export.export.dataflow import check_name


class AlertChannelAttributes(Attributes):
    """Attributes of an alert channel."""

    id: str = Field(description="Unique id; alerts name it. Letters, digits and _.")
    url: SecretField = Field(
        description="Where an Apprise URL is: of Slack, e-mail, Teams, a webhook and many more. {env: NAME} or {file: PATH}, "
        "since such URLs hold passwords and tokens."
    )
    description: str = Field(default="", description="Who reads it.")


@dg.scaffold_with(TemplateScaffolder)
class AlertChannel(Declaration):
    """A place that alerts go to. Dataflows, or the organization for all of them, say which alerts."""

    kind: ClassVar[str] = "channel"
    attributes_model = AlertChannelAttributes

    def __init__(self, value: Channel, source: Source) -> None:
        self.value = value
        self.source = source
        self.key = value.id

    @classmethod
    def from_attributes(cls, attributes: AlertChannelAttributes, source: Source) -> Self:
        """See `Declaration.from_attributes`."""
        with source.blaming("id"):
            check_name(attributes.id, "the channel id")
        return cls(Channel(attributes.id, source.secret(attributes.url), attributes.description), source)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Nothing of its own: the sensor `alerts` of the project sends to all channels."""
        return dg.Definitions()
