"""Find the manifest of an export: where it is recorded, else at the destination itself."""

from datetime import datetime

from dataset_export.destinations.contract import Store
from dataset_export.errors import IntegrityError, NotFound
from dataset_export.export.dataflow import Dataflow, Dataset
from dataset_export.export.destination_ledger import DestinationLedger
from dataset_export.export.ledger import Ledger
from dataset_export.export.manifest import Manifest, read_manifest, require_manifest
from dataset_export.export.schedule import format_export_time


def find_manifest(
    store: Store, dataflow: Dataflow, dataset: Dataset, export_time: datetime, ledger: Ledger
) -> Manifest | None:
    """The live manifest of an export; None when it was not delivered to this destination.

    What another Dagster instance recorded is found by listing the folder, so that it can be read from anywhere.

    Raises:
        NotFound: when it is recorded and gone.
        IntegrityError: when it is not the document that was recorded.
    """
    recorded = ledger.at(export_time)
    if recorded is None:
        return _listed(store, dataflow, dataset, export_time)
    manifest = require_manifest(store, recorded.manifest_path)
    if manifest.sha256 != recorded.manifest_sha256:
        raise IntegrityError(
            f"{store.uri(manifest.path)} is not the manifest that was recorded; resend this export time"
        )
    return manifest


def delivered_manifest(
    store: Store, dataflow: Dataflow, dataset: Dataset, export_time: datetime, ledger: DestinationLedger
) -> Manifest:
    """Like `find_manifest`, for an export that has to be there.

    Raises:
        NotFound: when it was not delivered.
    """
    manifest = find_manifest(store, dataflow, dataset, export_time, ledger)
    if manifest is None:
        if (other := ledger.elsewhere(export_time)) is not None:
            raise NotFound(delivered_elsewhere(dataflow, dataset, export_time, other))
        raise NotFound(
            f"{dataflow.name}/{dataset.id} at {format_export_time(export_time)} is not delivered; `run` delivers it"
        )
    return manifest


def delivered_elsewhere(dataflow: Dataflow, dataset: Dataset, export_time: datetime, address: str) -> str:
    """Why nothing is known here of an export that was delivered before the dataflow got another destination."""
    return (
        f"{dataflow.name}/{dataset.id} at {format_export_time(export_time)} was delivered to {address}, which is not the "
        "dataflow's destination any more; set that back for as long as you need it"
    )


def _listed(store: Store, dataflow: Dataflow, dataset: Dataset, export_time: datetime) -> Manifest | None:
    folder = dataflow.render_manifest_folder(dataset, export_time)
    beginning = f"manifest-{dataflow.destination.id}-"
    found: list[Manifest] = []
    for entry in store.list(folder):
        name = entry.path.rpartition("/")[2]
        manifest = read_manifest(store, entry.path) if name.startswith(beginning) and name.endswith(".json") else None
        if manifest is not None and _is_of(manifest, dataflow, dataset, export_time):
            found.append(manifest)
    # A resend that died before removing what it replaces leaves both; readers follow the one that supersedes.
    superseded = {ref.path for manifest in found for ref in manifest.supersedes}
    return next((manifest for manifest in found if manifest.path not in superseded), None)


def _is_of(manifest: Manifest, dataflow: Dataflow, dataset: Dataset, export_time: datetime) -> bool:
    document = manifest.document
    return (
        document["dataflow"] == dataflow.name
        and document["dataset"]["id"] == dataset.id
        and manifest.export_time == export_time
    )
