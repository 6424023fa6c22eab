"""The manifest: the JSON document written last, whose presence means that the export is complete (spec S7, promise P2).

The original's keys (`flowRunId`, `scheduledTime`, `exportResults[]` with `sinkPath`, `name`, `size`) are kept so that its
readers work. `manifest.schema.json` beside this module is the published JSON Schema.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from dataset_export import __version__
from dataset_export.destinations.contract import Store
from dataset_export.encoding.openpgp import ENCRYPTED_ENDING
from dataset_export.encoding.openpgp_keys import Recipients
from dataset_export.errors import IntegrityError, NotFound
from dataset_export.export.bounds import Bounds
from dataset_export.export.dataflow import Dataflow, Dataset
from dataset_export.export.ledger import Delivered
from dataset_export.export.schedule import format_export_time
from dataset_export.export.schema_change import SchemaChange, change_in, columns_in

MANIFEST_VERSION = 1


@dataclass(frozen=True)
class DeliveredFile:
    """One data file as the manifest names it.

    Attributes:
        path: relative to the destination's folder.
        bytes: size, as delivered.
        sha256: hex digest of its bytes, as delivered: of the encrypted ones where files are encrypted.
        rows: records in it.
        first_timestamp: ISO-8601 UTC; of a time_series dataset, else None.
        last_timestamp: likewise.
        way: how its bytes were made.
    """

    path: str
    bytes: int
    sha256: str
    rows: int
    first_timestamp: str | None
    last_timestamp: str | None
    way: str

    @property
    def name(self) -> str:
        """The last segment of the path."""
        return self.path.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class ManifestRef:
    """Another manifest: its path below the destination's folder, the hex SHA-256 of its bytes, the run that wrote it."""

    path: str
    sha256: str
    run_id: str


@dataclass(frozen=True)
class Manifest:
    """A manifest that was read or is about to be written; `document` is the JSON object."""

    path: str
    document: Mapping[str, Any]

    @property
    def bytes(self) -> bytes:
        """The document as it is written: one JSON object, keys in the schema's order, a newline at the end."""
        return (json.dumps(self.document, ensure_ascii=False, indent=1) + "\n").encode()

    @property
    def sha256(self) -> str:
        """Hex digest of `bytes`: what the next manifest's `previousManifest` records."""
        return hashlib.sha256(self.bytes).hexdigest()

    @property
    def run_id(self) -> str:
        """The root run that delivered."""
        return str(self.document["flowRunId"])

    @property
    def bounds(self) -> Bounds:
        """The table versions between which the delivered rows were added."""
        versions = self.document["tableVersions"]
        return Bounds(versions["from"], versions["to"], versions.get("fingerprint"))

    @property
    def export_time(self) -> datetime:
        """The scheduled instant (UTC)."""
        return datetime.fromisoformat(self.document["scheduledTime"]).astimezone(UTC)

    @property
    def files(self) -> list[DeliveredFile]:
        """The data files, in name order."""
        return [
            DeliveredFile(
                path="/".join(part for part in (result["sinkPath"].strip("/"), result["name"]) if part),
                bytes=result["size"],
                sha256=result["sha256"],
                rows=result["recordCount"],
                first_timestamp=result.get("firstTimestamp"),
                last_timestamp=result.get("lastTimestamp"),
                way=result["encodedBy"],
            )
            for result in self.document["exportResults"]
        ]

    @property
    def encrypted(self) -> bool:
        """Whether the data files are encrypted."""
        return "encryption" in self.document

    @property
    def encrypted_copy(self) -> str | None:
        """Path of the encrypted copy that readers see; None when they see the manifest itself, or none."""
        return self.document.get("encryptedManifest")

    @property
    def supersedes(self) -> list[ManifestRef]:
        """Manifests whose exports this one replaces; a reader ignores those still there."""
        return [ManifestRef(ref["path"], ref["sha256"], ref["flowRunId"]) for ref in self.document["supersedes"]]

    def as_delivered(self) -> Delivered:
        """The ledger's view of it."""
        return Delivered(
            export_time=self.export_time,
            lower=self.bounds.lower,
            upper=self.bounds.upper,
            run_id=self.run_id,
            manifest_path=self.path,
            manifest_sha256=self.sha256,
            columns=columns_in(self.document["schema"]),
            mode=self.document["exportMode"],
            fingerprint=self.bounds.fingerprint,
        )

    @property
    def schema_change(self) -> SchemaChange | None:
        """How its columns differ from those of the export before it; None when they do not."""
        found = self.document.get("schemaChange")
        return change_in(found) if found is not None else None


def manifest_path(dataflow: Dataflow, dataset: Dataset, export_time: datetime, run_id: str) -> str:
    """Where the manifest of this run is, relative to the destination's folder.

    `manifest-<destination id>-<run id>.json` (spec S7). Where several datasets share a folder, the dataset's id is put
    before the run id, since one run delivers them all.
    """
    folder = dataflow.render_manifest_folder(dataset, export_time)
    own_folder = not dataflow.destination.manifest or _tells_datasets_apart(dataflow)
    return _manifest_in(folder, dataflow, dataset, run_id, own_folder=own_folder)


def encrypted_copy_path(dataflow: Dataflow, dataset: Dataset, export_time: datetime, run_id: str) -> str | None:
    """Where readers find the encrypted copy of this run's manifest; None when the destination has none."""
    if not dataflow.destination.encrypted_manifest:
        return None
    folder = dataflow.render_visible_manifest_folder(dataset, export_time)
    path = _manifest_in(folder, dataflow, dataset, run_id, own_folder=_tells_datasets_apart(dataflow))
    return path + ENCRYPTED_ENDING


def _tells_datasets_apart(dataflow: Dataflow) -> bool:
    return (dataflow.destination.manifest_folder or dataflow.folder).tells_datasets_apart


def _manifest_in(folder: str, dataflow: Dataflow, dataset: Dataset, run_id: str, *, own_folder: bool) -> str:
    name = f"manifest-{dataflow.destination.id}-{'' if own_folder else dataset.id + '-'}{run_id}.json"
    return f"{folder}/{name}" if folder else name


def build_manifest(
    dataflow: Dataflow,
    dataset: Dataset,
    *,
    path: str,
    export_time: datetime,
    run_id: str,
    bounds: Bounds,
    delivered: list[DeliveredFile],
    excluded: int,
    carried_over: int,
    schema: list[dict[str, Any]],
    schema_change: SchemaChange | None = None,
    columns: Mapping[str, Any] | None = None,
    previous: ManifestRef | None,
    supersedes: list[ManifestRef],
) -> Manifest:
    """Put the document together (spec S7).

    Args:
        excluded: records left out because they are older than the look-back (spec S10).
        carried_over: records of rewritten source files that were in the table before, hence not new.
        schema: columns of the delivered files, as `schema_columns` gives them.
        schema_change: how they differ from those of `previous`.
        columns: which columns of the table are not delivered as they are (`export.columns`).
    """
    rows = sum(file.rows for file in delivered)
    exclusions = [{"reason": f"older than {dataset.lookback_days} days", "recordCount": excluded}] if excluded else []
    document: dict[str, Any] = {
        "manifestVersion": MANIFEST_VERSION,
        "writer": f"dataset_export {__version__}",
        "flowRunId": run_id,
        "scheduledTime": export_time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "exportTime": format_export_time(export_time),
        "dataflow": dataflow.name,
        "destination": {
            "id": dataflow.destination.id,
            "name": dataflow.destination.name,
            "type": dataflow.destination.type,
        },
        "dataset": {"id": dataset.id, "name": dataset.name, "behavior": str(dataset.behavior)},
        "exportMode": str(dataflow.mode),
        "format": str(dataflow.encoding.format),
        "compression": str(dataflow.encoding.compression),
        "tableVersions": table_versions(bounds.lower, bounds.upper, bounds.fingerprint),
        "recordCount": rows,
        "fileCount": len(delivered),
        "size": sum(file.bytes for file in delivered),
        "sourceRecordCount": rows + excluded + carried_over,
        "excludedRecords": exclusions,
        "carriedOverRecordCount": carried_over,
        "schema": schema,
        "schemaFingerprint": fingerprint(schema),
        "previousManifest": _ref(previous) if previous else None,
        "supersedes": [_ref(ref) for ref in supersedes],
        "exportResults": [_result(file) for file in sorted(delivered, key=lambda file: file.path)],
    }
    if columns is not None:
        document["columns"] = columns
    if (shape := dataflow.shape.document) is not None:
        document["fileShape"] = shape
    if schema_change is not None:
        document["schemaChange"] = schema_change.document
    if (how := encryption(dataflow.destination.recipients)) is not None:
        document["encryption"] = how
    if (copy := encrypted_copy_path(dataflow, dataset, export_time, run_id)) is not None:
        document["encryptedManifest"] = copy
    return Manifest(path=path, document=document)


def table_versions(lower: int | None, upper: int | None, fingerprint: str | None) -> dict[str, int | str | None]:
    """A slice's table versions as a manifest, and the ledger, write them."""
    return {"from": lower, "to": upper, **({"fingerprint": fingerprint} if fingerprint is not None else {})}


def encryption(recipients: Recipients | None) -> dict[str, Any] | None:
    """How data files are encrypted, as a manifest writes it; None when they are not."""
    return {"format": "OpenPGP", "recipients": list(recipients.fingerprints)} if recipients is not None else None


def read_manifest(store: Store, path: str) -> Manifest | None:
    """Read a manifest back; None when there is none.

    Raises:
        IntegrityError: when the document there is no manifest of this schema.
    """
    try:
        with store.open(path) as stream:
            data = stream.read()
    except FileNotFoundError:
        return None
    return parse_manifest(path, data)


def readable_manifest(store: Store, path: str) -> Manifest | None:
    """As `read_manifest`, with None also for one that somebody changed: nobody can follow it."""
    try:
        return read_manifest(store, path)
    except IntegrityError:
        return None


def require_manifest(store: Store, path: str) -> Manifest:
    """Like `read_manifest`, for a manifest that has to be there.

    Raises:
        NotFound: when it is gone.
    """
    manifest = read_manifest(store, path)
    if manifest is None:
        raise NotFound(f"the manifest {store.uri(path)} is gone from the destination; resend this export time")
    return manifest


def parse_manifest(path: str, data: bytes) -> Manifest:
    """Parse and validate a manifest's bytes.

    Raises:
        IntegrityError: when they are no JSON or do not fit the schema, naming the first key that is wrong.
    """
    from jsonschema.exceptions import ValidationError
    from jsonschema.validators import validator_for

    schema = manifest_schema()
    try:
        document = json.loads(data)
        validator_for(schema)(schema).validate(document)
    except ValueError as error:
        raise IntegrityError(f"the manifest {path} is not JSON: {error}") from error
    except ValidationError as error:
        where = "/".join(str(part) for part in error.absolute_path) or "the document"
        raise IntegrityError(f"the manifest {path} does not fit its schema at {where}: {error.message}") from error
    manifest = Manifest(path=path, document=document)
    if manifest.bytes != data:
        raise IntegrityError(f"the manifest {path} was changed after it was written; resend this export time")
    return manifest


@cache
def manifest_schema() -> Mapping[str, Any]:
    """The published JSON Schema."""
    return json.loads(files("dataset_export.export").joinpath("manifest.schema.json").read_text(encoding="utf-8"))


def fingerprint(schema: list[dict[str, Any]]) -> str:
    """Hex SHA-256 over the columns: equal for equal names, types, order and nullability."""
    return hashlib.sha256(json.dumps(schema, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def schema_columns(schema: Any) -> list[dict[str, Any]]:  # pyarrow.Schema
    """A `pyarrow.Schema` as the manifest writes it: name, Arrow type, nullable."""
    return [{"name": field.name, "type": str(field.type), "nullable": bool(field.nullable)} for field in schema]


def _ref(ref: ManifestRef) -> dict[str, str]:
    return {"path": ref.path, "sha256": ref.sha256, "flowRunId": ref.run_id}


def _result(file: DeliveredFile) -> dict[str, Any]:
    folder = file.path.rpartition("/")[0]
    result: dict[str, Any] = {
        "sinkPath": f"/{folder}",
        "name": file.name,
        "size": file.bytes,
        "recordCount": file.rows,
        "sha256": file.sha256,
        "encodedBy": file.way,
    }
    if file.first_timestamp is not None:
        result |= {"firstTimestamp": file.first_timestamp, "lastTimestamp": file.last_timestamp}
    return result
