"""Everything that is declared, as plain values: what the command line works with."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import dagster as dg
from dagster.components.core.component_tree import ComponentTree

from dataset_export.alerts.alert import AlertRules
from dataset_export.alerts.channel import Channel
from dataset_export.components.alert_channel import AlertChannel
from dataset_export.components.dataflow import Dataflow as DataflowComponent
from dataset_export.components.dataset import Dataset as DatasetComponent
from dataset_export.components.declaration import declared
from dataset_export.components.destination import Destination as DestinationComponent
from dataset_export.components.organization import Organization as OrganizationComponent
from dataset_export.components.project import plain_errors, project_tree, quiet_definitions
from dataset_export.destinations.contract import Store
from dataset_export.destinations.io_manager import DestinationIOManager
from dataset_export.errors import UsageError
from dataset_export.export.dataflow import Dataflow, Dataset, DestinationInfo, Organization
from dataset_export.governance.licenses import Licenses
from dataset_export.governance.limits import too_many_destinations
from dataset_export.orchestration.alerts_tick import Watched

LOG = logging.getLogger("dataset_export")


@dataclass(frozen=True)
class Catalog:
    """What is declared, by id or name, all checked together.

    `definitions` comes from the same component instances; it is built when it is first asked for, since most commands
    need none of it.
    """

    organization: Organization
    licenses: Licenses | None
    datasets: Mapping[str, Dataset]
    destinations: Mapping[str, DestinationInfo]
    dataflows: Mapping[str, Dataflow]
    channels: Mapping[str, Channel]
    alert_rules: Mapping[str, AlertRules]
    _tree: ComponentTree = field(repr=False, compare=False)

    @cached_property
    def definitions(self) -> dg.Definitions:
        """What Dagster shows of the declarations, without the pages about component types. Raises ConfigError."""
        with plain_errors(self._tree.defs_module_path), quiet_definitions():
            return self._tree.build_defs(self._tree.defs_module_path)

    @property
    def tree(self) -> ComponentTree:
        """The declarations themselves, to check further ones among them."""
        return self._tree

    @property
    def restricted(self) -> bool:
        """Whether the organization says who may export, so that every dataflow needs an owner."""
        organization = declared(self._tree, OrganizationComponent).get("organization")
        return organization is not None and organization.access is not None

    @property
    def watched(self) -> list[Watched]:
        """The dataflows with who hears what of them."""
        return [Watched(dataflow, self.alert_rules[name]) for name, dataflow in self.dataflows.items()]

    def store(self, destination_id: str) -> Store:
        """The store of a destination, for use outside a run; it is not reached yet.

        Raises:
            UsageError: when there is no such destination.
            ConfigError: when one of its secrets is not there.
        """
        return self._destination(destination_id).store()

    def io_manager(self, destination_id: str) -> DestinationIOManager:
        """The IO manager of a destination as declared: its secrets are references, not read.

        Raises:
            UsageError: when there is no such destination.
        """
        return self._destination(destination_id).io_manager

    def _destination(self, destination_id: str) -> DestinationComponent:
        destinations = declared(self._tree, DestinationComponent)
        if destination_id not in destinations:
            known = ", ".join(sorted(destinations)) or "none"
            raise UsageError(f"there is no destination {destination_id!r}; declared are {known}")
        return destinations[destination_id]


def load_catalog(project_root: Path | None = None, defs_folder: Path | None = None) -> Catalog:
    """Load and check all declarations; arguments as for `project.project_tree`.

    Raises:
        ConfigError: when a declaration is wrong, with its file and line.
    """
    tree = project_tree(project_root, defs_folder)
    with plain_errors(tree.defs_module_path):
        return catalog_of(tree)


def catalog_of(tree: ComponentTree) -> Catalog:
    """The catalog of a tree. Raises ConfigError, wrapped in Dagster's errors."""
    organization = declared(tree, OrganizationComponent).get("organization")
    datasets = declared(tree, DatasetComponent)
    destinations = declared(tree, DestinationComponent)
    dataflows = declared(tree, DataflowComponent)
    channels = declared(tree, AlertChannel)
    if organization is not None:
        organization.require_known(destinations, datasets)
        # Also where every dataflow has alerts of its own.
        organization.alert_rules(tree)
    if (warning := too_many_destinations(len(destinations))) is not None:
        LOG.warning("%s", warning)
    return Catalog(
        organization=organization.value if organization is not None else Organization(),
        licenses=organization.licenses if organization is not None else None,
        datasets={key: one.value for key, one in datasets.items()},
        destinations={key: one.value for key, one in destinations.items()},
        dataflows={key: one.value(tree) for key, one in dataflows.items()},
        channels={key: one.value for key, one in channels.items()},
        alert_rules={key: one.alert_rules(tree) for key, one in dataflows.items()},
        _tree=tree,
    )
