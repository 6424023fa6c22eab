"""What an export replaces, and how that goes away (promise P5): only after the new manifest is there.

A repair's manifest names files that earlier runs made, so two things decide what may go: the mark in a file's name says
which run made it, and what the newest manifest names stays, whoever made it.
"""

from collections.abc import Iterable

from dataset_export.destinations.contract import Store
from dataset_export.encoding.openpgp import ENCRYPTED_ENDING
from dataset_export.export.file_names import name_mark
from dataset_export.export.journal import JournalEntry, read_journal, retire
from dataset_export.export.ledger import Delivered, Ledger
from dataset_export.export.manifest import Manifest, ManifestRef, readable_manifest


def superseded_files(store: Store, manifest: Manifest, folder: str) -> list[str]:
    """Paths of what is left of the exports that this one replaces: their data files and then their manifests.

    Files are recognised by the mark that only a replaced run gave to its names, or that this run gave to a file which
    its manifest does not name (an earlier try of a repair): nothing else is touched (promise P6).

    Args:
        store: the destination.
        manifest: of the export that replaces.
        folder: of its data files; a replaced manifest that can still be read names further ones.
    """
    return _left_of_replaced(store, manifest, folder) if _is_complete(store, manifest) else []


def _left_of_replaced(store: Store, manifest: Manifest, folder: str) -> list[str]:
    named = {file.path for file in manifest.files}
    marks = {_mark(manifest, run_id) for run_id in (manifest.run_id, *(ref.run_id for ref in manifest.supersedes))}
    folders = {folder, *_folders(named)}
    copies: list[str] = []
    manifests: list[str] = []
    for ref in manifest.supersedes:
        old = readable_manifest(store, ref.path)
        folders |= _folders(file.path for file in old.files) if old is not None else set()
        copy = _encrypted_copy(old, ref, manifest)
        copies += [copy] if copy is not None and exists(store, copy) else []
        # What cannot be read may still be there.
        manifests += [ref.path] if old is not None or exists(store, ref.path) else []
    found = [
        entry.path
        for place in sorted(folders)
        for entry in store.list(place)
        if entry.path not in named and any(mark in entry.path.rpartition("/")[2] for mark in marks)
    ]
    return [*dict.fromkeys(found + copies), *manifests]


def remove_superseded(store: Store, manifest: Manifest, folder: str) -> list[str]:
    """Remove what `superseded_files` finds and return it, the manifests last: a crash in between leaves a record of what
    is still to be removed.

    Before its manifest a replaced run loses its journal entry: an entry without a manifest means that the run died, and
    its files would be swept, also those that a repair has kept.
    """
    if not _is_complete(store, manifest):
        return []
    paths = _left_of_replaced(store, manifest, folder)
    manifests = {ref.path for ref in manifest.supersedes}
    for path in paths:
        if path not in manifests:
            store.delete(path)
    _retire_replaced(store, manifest)
    for path in paths:
        if path in manifests:
            store.delete(path)
    return paths


def _retire_replaced(store: Store, manifest: Manifest) -> None:
    replaced = {ref.run_id for ref in manifest.supersedes}
    if not replaced:
        return
    document = manifest.document
    for entry in read_journal(store, str(document["dataflow"]), str(document["dataset"]["id"])):
        if entry.run_id in replaced and entry.time == manifest.export_time:
            retire(store, entry)


def replaced_by(store: Store, manifest_path: str, delivered: Iterable[Delivered], ledger: Ledger) -> list[ManifestRef]:
    """What a new manifest has to name in `supersedes`, by path.

    Args:
        store: the destination.
        manifest_path: of the new manifest.
        delivered: the exports of the same export time that it replaces.
        ledger: knows the earlier ones.

    Returns:
        Those, and the earlier ones of which a repair kept files.
    """
    found: dict[str, ManifestRef] = {}
    for one in delivered:
        found[one.manifest_path] = ManifestRef(one.manifest_path, one.manifest_sha256, one.run_id)
        for ref in _kept_from(store, one, ledger):
            found.setdefault(ref.path, ref)
    found.pop(manifest_path, None)
    return [found[path] for path in sorted(found)]


def files_of_live_exports(
    store: Store, entry: JournalEntry, entries: Iterable[JournalEntry], ledger: Ledger
) -> set[str]:
    """Paths that other complete exports of the entry's export time name: they stay when the entry's run is cleared away,
    whoever made them. (A run that was replaced, executed again, and killed has files that a repair has kept.)"""
    paths = {
        other.manifest_path
        for other in entries
        if other.export_time == entry.export_time and other.run_id != entry.run_id
    }
    recorded = ledger.at(entry.time)
    if recorded is not None and recorded.run_id != entry.run_id:
        paths.add(recorded.manifest_path)
    manifests = [readable_manifest(store, path) for path in sorted(paths)]
    return {file.path for manifest in manifests if manifest is not None for file in manifest.files}


def _kept_from(store: Store, delivered: Delivered, ledger: Ledger) -> list[ManifestRef]:
    manifest = readable_manifest(store, delivered.manifest_path)
    if manifest is None:
        # Whose files it named cannot be read any more, so all earlier runs are looked for.
        earlier = ledger.history(delivered.export_time)
        return [ManifestRef(one.manifest_path, one.manifest_sha256, one.run_id) for one in earlier]
    names = [file.name for file in manifest.files]
    return [ref for ref in manifest.supersedes if any(_mark(manifest, ref.run_id) in name for name in names)]


def _mark(manifest: Manifest, run_id: str) -> str:
    document = manifest.document
    return name_mark(str(document["dataflow"]), str(document["dataset"]["id"]), manifest.export_time, run_id)


def _folders(paths: Iterable[str]) -> set[str]:
    return {path.rpartition("/")[0] for path in paths}


def _is_complete(store: Store, manifest: Manifest) -> bool:
    """Whether readers can see the manifest: until the encrypted copy is there, they follow what it replaces."""
    return manifest.encrypted_copy is None or exists(store, manifest.encrypted_copy)


def _encrypted_copy(old: Manifest | None, ref: ManifestRef, manifest: Manifest) -> str | None:
    """Where the encrypted copy of a replaced manifest was; by the new one's name when `old` cannot be read."""
    if old is not None:
        return old.encrypted_copy
    if manifest.encrypted_copy is None:
        return None
    ending = f".json{ENCRYPTED_ENDING}"
    return manifest.encrypted_copy.removesuffix(manifest.run_id + ending) + ref.run_id + ending


def exists(store: Store, path: str) -> bool:
    """Whether there is a visible file."""
    try:
        store.open(path).close()
    except FileNotFoundError:
        return False
    return True
