"""What one call of the command works on, loaded when it is first asked for."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from dataset_export.cli.terminal import note, quiet_libraries
from dataset_export.errors import UsageError

if TYPE_CHECKING:
    import dagster as dg

    from dataset_export.components.catalog import Catalog
    from dataset_export.destinations.contract import Store
    from dataset_export.export.dataflow import Dataflow, Dataset
    from dataset_export.export.destination_ledger import DestinationLedger


def _load_catalog() -> "Catalog":
    from dataset_export.components.catalog import load_catalog

    return load_catalog()


def _open_instance() -> "dg.DagsterInstance":
    from dataset_export.cli.dagster_home import open_instance

    return open_instance()


@dataclass
class Session:
    """The declarations, the Dagster instance and the clock of one call.

    Attributes:
        debug: whether `--debug` was given.
        load_catalog: reads the declarations.
        open_instance: opens the Dagster instance.
        clock: the time now (UTC).
    """

    debug: bool = False
    load_catalog: "Callable[[], Catalog]" = _load_catalog
    open_instance: "Callable[[], dg.DagsterInstance]" = _open_instance
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    _open: ExitStack = field(default_factory=ExitStack)

    @cached_property
    def catalog(self) -> "Catalog":
        """What is declared. Raises ConfigError."""
        quiet_libraries(debug=self.debug)
        return self.load_catalog()

    @cached_property
    def instance(self) -> "dg.DagsterInstance":
        """The Dagster instance; runs of this command that died on this machine are marked as failed first."""
        from dataset_export.orchestration.dead_runs import fail_dead_runs

        quiet_libraries(debug=self.debug)
        instance = self._open.enter_context(self.open_instance())
        for run in fail_dead_runs(instance):
            note(f"note: run {run.run_id} was killed; it is marked as failed and no longer blocks its export time")
        return instance

    def close(self) -> None:
        """Close what was opened."""
        self._open.close()

    def dataflow(self, name: str) -> "Dataflow":
        """The dataflow of this name.

        Raises:
            UsageError: naming those there are.
        """
        if name not in self.catalog.dataflows:
            known = ", ".join(sorted(self.catalog.dataflows)) or "none"
            raise UsageError(f"there is no dataflow {name!r}; declared are {known}")
        return self.catalog.dataflows[name]

    def store(self, dataflow: "Dataflow") -> "Store":
        """The destination of a dataflow, not reached yet."""
        return self.catalog.store(dataflow.destination.id)

    def ledger(self, dataflow: "Dataflow", dataset: "Dataset") -> "DestinationLedger":
        """What was recorded of a dataset in a dataflow at the destination that it has now."""
        from dataset_export.export.destination_ledger import at_destination
        from dataset_export.orchestration.ledger import MaterializationLedger
        from dataset_export.orchestration.names import export_key

        return at_destination(MaterializationLedger(self.instance, export_key(dataflow, dataset)), self.store(dataflow))


def chosen_datasets(dataflow: "Dataflow", ids: tuple[str, ...]) -> "list[Dataset]":
    """The datasets of these ids, in the dataflow's order; all of them without ids.

    Raises:
        UsageError: for one that the dataflow does not export.
    """
    wanted = {dataflow.dataset(id_).id for id_ in ids}
    return [dataset for dataset in dataflow.datasets if not wanted or dataset.id in wanted]
