"""Where the bytes of a data file lie, for a store that can copy them from there."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from obstore.store import ObjectStore

ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
"""Variables that the lake's client takes the server from when the storage options name none."""


@dataclass(frozen=True)
class Origin:
    """Where the bytes of a data file lie, for a store that can copy them from there.

    Attributes:
        server: URL of the S3 server, "" for Amazon's where none is named; None for this machine.
        bucket: its name; "" on this machine.
        key: of the object; the absolute path on this machine.
        etag: of the object as it is at this moment; "" on this machine.
    """

    server: str | None
    bucket: str
    key: str
    etag: str


def origin_in(store: "ObjectStore", path: str) -> Origin | None:
    """Where the object `path` of a store lies: on S3 one small request. None on other stores, and where objects have no ETag that
    stands for their bytes. Raises FileNotFoundError, and else what obstore raises."""
    from obstore.store import LocalStore, S3Store

    if isinstance(store, LocalStore):
        return Origin(None, "", os.path.join(str(store.prefix), path), "")  # noqa: PTH118 - `path` is not made another one
    if not isinstance(store, S3Store):
        return None
    etag = store.head(path)["e_tag"]
    if not etag or etag.startswith("W/"):
        return None
    folder = str(store.prefix or "").strip("/")
    settings: Mapping[str, str] = {name: str(value) for name, value in store.config.items()}
    endpoint = settings.get("endpoint") or next((os.environ[name] for name in ENDPOINTS if os.environ.get(name)), "")
    return Origin(endpoint, settings["bucket"], f"{folder}/{path}" if folder else path, etag)
