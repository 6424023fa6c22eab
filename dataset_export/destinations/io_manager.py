"""The Dagster side of a destination: an IO manager that is a resource too.

As a resource (`required_resource_keys`) ops call `.store()` and stage with it. As the IO manager of `publish` it takes
what the op returns, lets it deliver itself to the store, and records what came of it as metadata.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar, Protocol, cast, runtime_checkable

import dagster as dg
from pydantic import Field, PrivateAttr

from dataset_export.destinations.contract import Store
from dataset_export.destinations.policy import Policy
from dataset_export.errors import IntegrityError, NotFound, UsageError

MANIFEST_PATH_KEY = "manifest_path"
"""Metadata key of a materialization: the manifest's path, relative to the destination's folder."""


def secret_field(what: str) -> Any:
    """A field of a destination that holds a secret: an EnvVar, or the text of a reference to a file. Its value is not in the
    destination's `repr`, where a run would show it. `what` describes it, without a full stop."""
    return Field(default=None, description=f"{what}: an EnvVar or {{file: PATH}}.", repr=False)


@runtime_checkable
class Deliverable(Protocol):
    """What an asset hands to a destination: something that knows how to make itself visible there."""

    def deliver(self, store: Store) -> Mapping[str, Any]:
        """Publish to `store` and return the metadata of the materialization, `manifest_path` among it. It returns only
        when everything is durable (promise P3)."""
        ...


class DestinationIOManager(dg.ConfigurableIOManager, ABC):
    """Base of all destinations. A subclass declares its fields and builds its store."""

    files_expire_after: ClassVar[timedelta | None] = None
    """How long after its delivery the destination deletes a file by itself; None for never."""

    _store: Store | None = PrivateAttr(default=None)

    @abstractmethod
    def build_store(self) -> Store:
        """Build the store from the fields, without reaching the destination and without reading a secret: it is also
        called at load, to check the fields. Raises ConfigError."""

    @abstractmethod
    def policy(self) -> Policy:
        """The least that the credentials need, for this bucket or container and folder."""

    def store(self) -> Store:
        """The store of this destination: built at the first call, the same one afterwards."""
        if self._store is None:
            self._store = self.build_store()
        return self._store

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Let `obj` deliver itself and record what it returns as metadata of the output.

        Raises:
            TypeError: when `obj` is no `Deliverable`.
            ExportError: whatever the delivery raises.
        """
        if not isinstance(obj, Deliverable):
            raise TypeError(
                f"{_named(context)} returned {type(obj).__name__}, but a destination takes an object with "
                "deliver(store) -> mapping of metadata: return the export, not its data"
            )
        context.add_output_metadata(obj.deliver(self.store()))

    def load_input(self, context: dg.InputContext) -> dict[str, Any]:
        """The manifest of the upstream export, as the JSON object it is.

        Raises:
            UsageError: for an input that is no asset, or for more than one partition.
            NotFound: when that export was never materialized, records no manifest, or its manifest is gone.
            IntegrityError: when the manifest is not a JSON object.
        """
        path = _manifest_path(context)
        store = self.store()
        try:
            with store.open(path) as file:
                document: object = json.load(file)
        except FileNotFoundError as error:
            raise NotFound(f"the manifest {store.uri(path)} is gone: resend that export time") from error
        except ValueError as error:
            raise IntegrityError(f"the manifest {store.uri(path)} is not JSON: resend that export time") from error
        if not isinstance(document, dict):
            raise IntegrityError(f"the manifest {store.uri(path)} is not a JSON object: resend that export time")
        return cast("dict[str, Any]", document)


def _named(context: dg.OutputContext) -> str:
    if context.has_asset_key:
        return f"the asset {context.asset_key.to_user_string()}"
    return f"the output {context.name!r} of {context.step_key}"


def _manifest_path(context: dg.InputContext) -> str:
    """The path that the materialization of the upstream asset (of the input's one partition) recorded last."""
    if not context.has_asset_key:
        raise UsageError(f"the input {context.name!r} is no asset: only an export asset has a manifest to load")
    name = context.asset_key.to_user_string()
    partitions: list[str] = []
    if context.has_asset_partitions:
        partitions = list(context.asset_partition_keys)
        if len(partitions) != 1:
            raise UsageError(
                f"the input {context.name!r} asks for {len(partitions)} export times of {name}: "
                "a manifest is loaded for one export time at a time"
            )
    wanted = dg.AssetRecordsFilter(asset_key=context.asset_key, asset_partitions=partitions or None)
    records = context.instance.fetch_materializations(wanted, limit=1).records
    export = f"{name} at {partitions[0]}" if partitions else name
    if not records or (materialization := records[0].asset_materialization) is None:
        raise NotFound(f"{export} was never materialized: run that export first")
    recorded = materialization.metadata.get(MANIFEST_PATH_KEY)
    if recorded is None or not isinstance(recorded.value, str):
        raise NotFound(f"the materialization of {export} records no {MANIFEST_PATH_KEY!r}: resend that export time")
    return recorded.value
