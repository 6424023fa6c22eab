"""Stores at the OpenSSH server of the tests, and what is in the folders that they deliver to."""

from pathlib import Path
from typing import Any

from dataset_export.destinations.sftp import SFTPDestination, SFTPStore
from dataset_export_tests.servers.openssh import OpenSSH


def at_openssh(server: OpenSSH, folder: object, **fields: Any) -> SFTPStore:
    """A store over `folder`, with `fields` instead of what lets it in."""
    given = {
        "port": server.port,
        "private_key": server.private_key,
        "host_key_fingerprint": server.fingerprint(),
        **fields,
    }
    destination = SFTPDestination(host="127.0.0.1", username=server.username, folder=str(folder), **given)
    store = destination.store()
    assert isinstance(store, SFTPStore)
    return store


def files(folder: Path) -> list[str]:
    """Paths of all files below `folder`, hidden ones too; sorted."""
    return sorted(one.relative_to(folder).as_posix() for one in folder.rglob("*") if one.is_file())
