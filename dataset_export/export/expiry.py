"""When a destination deletes by itself what was delivered there (spec S3: files of a data landing zone live seven days)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from dataset_export.destinations.contract import Store
from dataset_export.export.manifest import Manifest


def expiring(store: Store, manifest: Manifest, lifetime: timedelta | None) -> Manifest:
    """The manifest with the moment from which its files are deleted: `lifetime` after the first of them was delivered.

    The destination's own times count, which are the same at every try of a publication (promise P4). Unchanged for a
    destination that keeps files, and for an export without any.

    Args:
        store: the destination; all files are visible there.
        manifest: about to be written.
        lifetime: of a file at this destination; None for ever.
    """
    if lifetime is None or not manifest.files:
        return manifest
    named = {file.path for file in manifest.files}
    folders = sorted({path.rpartition("/")[0] for path in named})
    delivered = [entry.modified for folder in folders for entry in store.list(folder) if entry.path in named]
    if not delivered:
        return manifest
    expire = (min(delivered) + lifetime).astimezone(UTC)
    return replace(manifest, document={**manifest.document, "filesExpireAt": f"{expire:%Y-%m-%dT%H:%M:%SZ}"})


def files_expire_at(manifest: Manifest) -> datetime | None:
    """When the first file of a manifest is deleted by the destination (UTC); None for never."""
    written: str | None = manifest.document.get("filesExpireAt")
    return datetime.fromisoformat(written).astimezone(UTC) if written is not None else None
