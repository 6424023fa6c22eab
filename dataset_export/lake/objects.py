"""The objects below a table's location: listing, small reads, ranged reads. Local folders and object stores alike."""

import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote, urlsplit

from dataset_export.errors import (
    AccessDenied,
    ConfigError,
    CorruptFile,
    ExportError,
    LakeError,
    NotFound,
    TransientError,
)
from dataset_export.lake.location import TableLocation
from dataset_export.lake.origin import Origin, origin_in
from dataset_export.redaction import quoted

if TYPE_CHECKING:
    from obstore.store import ObjectStore

# A refused connection shows within seconds; the pipeline's own back-off (spec S8) does the patient waiting.
TRIES = 3
RETRY_SECONDS = 12
CONNECT_SECONDS = 4
REQUEST_SECONDS = 60

READ_AHEAD = 256 << 10
"""Bytes that the smallest request fetches: parquet readers ask for footers and headers in small pieces."""

# object_store knows these as client settings, and obstore takes them apart from the store's own.
_CLIENT_SETTINGS = frozenset(
    {
        "allow_http",
        "allow_invalid_certificates",
        "connect_timeout",
        "http1_only",
        "http2_only",
        "pool_idle_timeout",
        "pool_max_idle_per_host",
        "proxy_ca_certificate",
        "proxy_excludes",
        "proxy_url",
        "timeout",
        "user_agent",
    }
)
# Settings of deltalake itself, which mean nothing to a reader of objects.
_DELTALAKE_SETTINGS = re.compile(
    r"max_retries|retry_timeout|backoff_config\..+|(aws_s3_)?(allow_unsafe_rename|locking_provider)|delta_.+|copy_if_not_exists"
)


@dataclass(frozen=True)
class Listed:
    """An object: path relative to the table's location, size in bytes, last modification (UTC)."""

    path: str
    bytes: int
    modified: datetime


class ObjectFolder:
    """Read access to everything below a table's location.

    Methods raise FileNotFoundError for an object that is not there, which only the caller can judge, and else NotFound,
    AccessDenied, TransientError, LakeError, which name the table by `name` when it is not its location that a person knows. May
    be used from several threads at once.
    """

    def __init__(self, location: TableLocation, *, name: str | None = None) -> None:
        self._location = location
        self._name = name or location.uri

    def list(self, folder: str, *, after: str | None = None) -> Iterator[Listed]:
        """The objects below `folder`, in no order; with `after` only those whose path sorts behind it."""
        with translated(self._name):
            for batch in self._store.list(folder, offset=after):
                for found in batch:
                    yield Listed(found["path"], found["size"], found["last_modified"])

    def head(self, path: str) -> Listed:
        """Size and last modification of an object."""
        with translated(self._name):
            found = self._store.head(path)
        return Listed(path, found["size"], found["last_modified"])

    def read(self, path: str, *, length: int | None = None) -> bytes:
        """An object's bytes; at most the first `length` of them."""
        with translated(self._name):
            if length is None:
                return self._store.get(path).bytes().to_bytes()
            return self._store.get_range(path, start=0, length=length).to_bytes()

    def read_range(self, path: str, start: int, length: int) -> bytes:
        """`length` bytes of an object from `start`, which has to lie inside it."""
        with translated(self._name):
            return self._store.get_range(path, start=start, length=length).to_bytes()

    def origin(self, path: str) -> Origin | None:
        """Where the bytes of an object lie; None when that cannot be told, also of one that is not there."""
        with translated(self._name):
            try:
                return origin_in(self._store, path)
            except FileNotFoundError:
                return None

    @cached_property
    def _store(self) -> "ObjectStore":
        from obstore.store import LocalStore, from_url

        uri = self._location.uri
        local = local_path(uri)
        with translated(self._name):
            if local is not None:
                if not local.is_dir():
                    raise NotFound(
                        f"there is no table at {uri}: the folder does not exist; correct its location, or make it"
                    )
                return LocalStore(local)
            check_sendable(self._location.storage_options)
            config, client = _settings(self._location.storage_options)
            retry: Any = {"max_retries": TRIES, "retry_timeout": timedelta(seconds=RETRY_SECONDS)}
            make = cast("Any", from_url)  # its overloads ask for the settings of one store
            return cast("ObjectStore", make(uri, config=config, client_options=client, retry_config=retry))


class RangedFile:
    """A data file with random access; every read is one ranged request of exactly what is asked for, or READ_AHEAD."""

    def __init__(self, objects: ObjectFolder, path: str, size: int) -> None:
        self._objects = objects
        self._path = path
        self._size = size
        self._position = 0
        self._window_start = 0
        self._window = b""
        self.closed = False

    def read(self, size: int = -1, /) -> bytes:
        """The next `size` bytes, fewer at the end; all that are left for a negative size."""
        if self.closed:
            raise ValueError(f"read of the closed file {self._path}")
        left = self._size - self._position
        wanted = left if size < 0 else min(size, left)
        if wanted <= 0:
            return b""
        data = self._read_at(self._position, wanted)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to `offset` from the start (0), here (1) or the end (2); returns the new position."""
        position = offset + (0, self._position, self._size)[whence]
        if position < 0:
            raise ValueError(f"seek to {position} in the file {self._path}")
        self._position = position
        return position

    def tell(self) -> int:
        """The position in bytes from the start."""
        return self._position

    def size(self) -> int:
        """Size of the file in bytes."""
        return self._size

    def close(self) -> None:
        """Drop the read-ahead; further reads raise ValueError."""
        self.closed = True
        self._window = b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def flush(self) -> None:
        """Nothing is ever written; readers that wrap a file call it."""

    def _read_at(self, start: int, wanted: int) -> bytes:
        if wanted >= READ_AHEAD:
            return self._fetch(start, wanted)
        offset = start - self._window_start
        if offset < 0 or offset + wanted > len(self._window):
            # The footer is read from the end backwards: keep a whole window before it.
            first = min(start, max(0, self._size - READ_AHEAD))
            self._window = self._fetch(first, min(READ_AHEAD, self._size - first))
            self._window_start = first
            offset = start - first
            if offset + wanted > len(self._window):
                return self._fetch(start, wanted)
        return self._window[offset : offset + wanted]

    def _fetch(self, start: int, length: int) -> bytes:
        try:
            data = self._objects.read_range(self._path, start, length)
        except FileNotFoundError as error:
            raise CorruptFile(f"the data file {self._path} vanished while it was read: export again") from error
        if len(data) != length:
            raise CorruptFile(
                f"the data file {self._path} ends before byte {start + length}: restore it, or rewrite it"
            )
        return data


def local_path(uri: str) -> Path | None:
    """The folder that `uri` names on this machine, or None for one on an object store."""
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return None if "://" in uri else Path(uri)


def deltalake_options(options: Mapping[str, str]) -> dict[str, str]:
    """Storage options for deltalake, with this module's patience where the location does not set its own.

    Raises:
        ConfigError: for credentials that cannot be sent.
    """
    check_sendable(options)
    patience = {
        "max_retries": str(TRIES),
        "retry_timeout": f"{RETRY_SECONDS}s",
        "connect_timeout": f"{CONNECT_SECONDS}s",
        "timeout": f"{REQUEST_SECONDS}s",
    }
    return {**patience, **options}


def check_sendable(options: Mapping[str, str]) -> None:
    """Refuse what the clients, which are compiled, panic at: it would end the process.

    Raises:
        ConfigError: naming the option, not its value.
    """
    for name, value in options.items():
        # These become headers; keys are only signed with.
        sent = name.upper().endswith(("KEY_ID", "TOKEN"))
        if any(ord(letter) < 32 or ord(letter) == 127 or (sent and ord(letter) > 127) for letter in value):
            raise ConfigError(
                f"the storage option {name} cannot be sent: it has a line break, a control character or a letter that no "
                "header takes; give it in one line"
            )


def _settings(options: Mapping[str, str]) -> tuple[dict[str, str], dict[str, Any]]:
    config: dict[str, str] = {}
    client: dict[str, Any] = {"connect_timeout": f"{CONNECT_SECONDS}s", "timeout": f"{REQUEST_SECONDS}s"}
    for key, value in options.items():
        name = key.lower()
        bare = name.removeprefix("aws_")
        if bare in _CLIENT_SETTINGS:
            flag = value.lower()
            client[bare] = flag == "true" if flag in {"true", "false"} else value
        elif not _DELTALAKE_SETTINGS.fullmatch(name):
            config[name] = value
    return config, client


@contextmanager
def translated(uri: str) -> Generator[None]:
    """Turn what obstore and deltalake raise into our errors; FileNotFoundError and our own pass."""
    from deltalake.exceptions import DeltaError
    from obstore.exceptions import BaseError

    try:
        yield
    except (ExportError, FileNotFoundError):
        raise
    except (BaseError, DeltaError, OSError) as error:
        raise _translation(error, uri) from None


def _translation(error: Exception, uri: str) -> ExportError:
    text = _one_line(error)
    kind = type(error).__name__
    if kind == "UnknownConfigurationKeyError":
        return ConfigError(f"the storage options of the table {uri} cannot be used: {text}")
    # The store asks the cloud's metadata address for credentials when it was given none.
    if "169.254.169.254" in text or "169.254.170.2" in text or "CredentialsProvider" in text:
        return AccessDenied(f"there are no credentials for the table {uri}: set them in its storage options")
    if "NoSuchBucket" in text:
        return NotFound(f"there is no table at {uri}: the bucket does not exist")
    said = _without_paths(text, uri)
    denied = re.search(
        r"\b40[13]\b(?!\.\d)|Forbidden|Permission denied|InvalidAccessKeyId|SignatureDoesNotMatch|AccessDenied", said
    )
    if denied or kind in {"PermissionDeniedError", "UnauthenticatedError"} or isinstance(error, PermissionError):
        return AccessDenied(f"access to the table {uri} was refused: check its credentials and permissions ({text})")
    if re.search(
        r"error sending request|timed? ?out|[Cc]onnect|after \d+ retries|\b(429|5\d\d)\b(?!\.\d)|error decoding", said
    ):
        return TransientError(f"the storage of the table {uri} did not answer: {text}")
    return LakeError(f"the table {uri} cannot be read: {text}")


def _without_paths(text: str, uri: str) -> str:
    """What an error says beside its places: a folder may be called 503, or `connections`."""
    places = {uri, str(local_path(uri) or uri)}
    return re.sub("|".join((*(rf"{re.escape(place)}\S*" for place in places), r"https?://\S+")), "", text)


def _one_line(error: Exception) -> str:
    message = str(error).split("\n\nDebug source")[0]
    message = re.sub(r"\x1b\[[0-9;]*m|↳", " ", message)
    message = re.sub(r"\?\S+", "", message)  # a query string may hold a signature
    return quoted(message)
