"""Bytes into a store and out of it again."""

from dataset_export.destinations.contract import Staged, Store


def stage(store: Store, path: str, data: bytes) -> Staged:
    """Stage a file whose size is not known beforehand."""
    with store.stage(path) as upload:
        upload.write(data)
    return upload.staged


def read(store: Store, path: str) -> bytes:
    """All of a visible file."""
    with store.open(path) as file:
        return file.read()
