"""Files beside an export's own that no manifest names: somebody else's, or those of a run that died. Reads only."""

from dataset_export.destinations.contract import HIDDEN_FOLDER, Entry, Store
from dataset_export.export.dataflow import HIDDEN_MANIFESTS
from dataset_export.export.manifest import Manifest, readable_manifest


def unnamed_files(store: Store, manifest: Manifest) -> list[Entry]:
    """Files in the folders of an export that neither its manifest nor another one there names, in path order.

    A reader who goes by folder reads these too. Where the exports of several times or datasets share a folder, the other
    manifests beside this one are read, but only when there is a file that this one does not name.

    Args:
        store: the destination.
        manifest: of the export.
    """
    named = _names_in(manifest)
    folders = {_folder(path) for path in named if not path.startswith(f"{HIDDEN_FOLDER}/")}
    listed = [entry for folder in sorted(folders) for entry in store.list(folder) if _folder(entry.path) == folder]
    others = [entry for entry in listed if entry.path not in named]
    if not others:
        return []
    # Hidden manifests have a folder for each export time.
    hidden = manifest.path.startswith(f"{HIDDEN_FOLDER}/")
    beside = [entry.path for entry in store.list(HIDDEN_MANIFESTS if hidden else _folder(manifest.path))]
    for path in sorted({*beside, *(entry.path for entry in others)} - named):
        if _is_manifest(path):
            # Of one that cannot be followed, what it named is unnamed, and so is it.
            other = readable_manifest(store, path)
            named |= _names_in(other) if other is not None else set()
    return sorted((entry for entry in others if entry.path not in named), key=lambda entry: entry.path)


def _names_in(manifest: Manifest) -> set[str]:
    copy = {manifest.encrypted_copy} if manifest.encrypted_copy is not None else set[str]()
    return {manifest.path, *copy, *(file.path for file in manifest.files)}


def _is_manifest(path: str) -> bool:
    name = path.rpartition("/")[2]
    return name.startswith("manifest-") and name.endswith(".json")


def _folder(path: str) -> str:
    return path.rpartition("/")[0]
