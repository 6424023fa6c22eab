"""What every destination can do: the seam between the publish protocol and a place files go.

    with store.stage("flights/exportTime=202611010800/part-00000-….gz.parquet", size_hint=80 << 20) as upload:
        for chunk in chunks:
            upload.write(chunk)
    staged = upload.staged        # bytes are at the destination, nothing is visible
    store.confirm(staged)         # size and checksum are what we sent
    store.publish(staged)         # visible, whole

Paths are relative to the destination's folder, POSIX style, and are checked by `check_path` before any call leaves the
machine. Errors are those of `dataset_export.errors`; a client library's own exception never leaves a store.
A store may be used from several threads at once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any, BinaryIO, Protocol, Self, runtime_checkable

from dataset_export.errors import ConfigError

HIDDEN_FOLDER = ".dataset_export"
"""Everything that is ours and not a delivery lives below this folder of the destination."""


@dataclass(frozen=True)
class Staged:
    """A receipt for bytes that are at the destination and not visible. Small and JSON-able: it travels between workers.

    Attributes:
        path: where the file will be visible, relative to the destination's folder.
        bytes: size of the file.
        sha256: hex digest of the whole file, computed while it was written.
        handle: what the store needs to publish or discard it (an upload id and its parts, a hidden path).
    """

    path: str
    bytes: int
    sha256: str
    handle: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Entry:
    """A visible file: path relative to the destination's folder, size in bytes, last modification (UTC)."""

    path: str
    bytes: int
    modified: datetime


@dataclass(frozen=True)
class Leftover:
    """Bytes that were staged and never published: `path` they were meant for, when staging began (UTC), and the
    store's handle for `discard_leftover`."""

    path: str
    started: datetime
    bytes: int | None
    handle: Mapping[str, Any]


class Upload(Protocol):
    """One file being staged. Leaving the `with` block normally ends it and sets `staged`; leaving it by an exception
    discards what was sent, and the file never becomes visible (promise P6)."""

    @property
    def staged(self) -> Staged:
        """The receipt. Raises RuntimeError before the `with` block has ended normally."""
        ...

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append bytes. The data is consumed before this returns (the caller may reuse its buffer). May block while
        parts are on their way: memory is bounded by the store, whatever the size of the file."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Origin(Protocol):
    """Where the bytes of a source lie: an object of an S3 server, or a file of this machine."""

    @property
    def server(self) -> str | None:
        """URL of the S3 server, "" for Amazon's where none is named; None for this machine."""
        ...

    @property
    def bucket(self) -> str:
        """Its name; "" on this machine."""
        ...

    @property
    def key(self) -> str:
        """Key of the object; the absolute path on this machine."""
        ...

    @property
    def etag(self) -> str:
        """Of the object as it was before it was read; "" on this machine."""
        ...


@runtime_checkable
class CopyingUpload(Protocol):
    """What an `Upload` has besides when its place can copy bytes which lie there already, so that they need not be sent."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """As `Upload.write`."""
        ...

    def copies(self, origin: Origin) -> None:
        """Say, before the first `write`, that the source at `origin`, whole, is what will be written. The upload has the place copy
        what `write` is given, as far as it can and is allowed to, and sends the rest. What is staged is always what was
        written: what was copied is compared with it, here or in `confirm`. From here on `write` and the end of the block raise
        CorruptFile when the place says that the source was changed meanwhile."""
        ...


class Store(Protocol):
    """A place files go. Every method may raise TransientError, AccessDenied, NotFound (the bucket or the root folder)
    and ConfigError; what else is said on the method."""

    def uri(self, path: str) -> str:
        """A printable address of `path` (`s3://bucket/folder/…`); without credentials."""
        ...

    def check(self) -> None:
        """Reach the destination with these credentials and touch nothing. Called before the first byte of an export."""
        ...

    def stage(self, path: str, *, size_hint: int | None = None) -> Upload:
        """Begin sending a file so that nothing is visible. Leftovers of an earlier try at the same path are discarded
        first (promise P4): a path belongs to one worker of one run. `size_hint` (bytes) helps to choose part sizes and
        may be wrong in either direction. `write` and the end of the block may raise StorageFull."""
        ...

    def confirm(self, staged: Staged) -> None:
        """Ask the destination whether it holds exactly the staged bytes (size, and checksum where the store keeps one),
        or whether the file is published already. Raises IntegrityError when it holds something else or nothing."""
        ...

    def publish(self, staged: Staged) -> None:
        """Make one staged file visible, atomically and without replacing anything. Repeats safely: when the file is
        already visible with our size and checksum, it returns. That covers a lost answer and a retry after a crash.
        Raises Conflict when something else has the name, IntegrityError when the staged bytes are gone."""
        ...

    def discard(self, staged: Staged) -> None:
        """Remove staged bytes that will not be published. A published file stays. Nothing there: returns."""
        ...

    def put(self, path: str, data: bytes, *, replace: bool = False) -> None:
        """Write a small file in one atomic step (manifest, journal). Without `replace`: returns when the same bytes are
        there already, raises Conflict when other bytes are."""
        ...

    def list(self, folder: str) -> Iterator[Entry]:
        """All visible files below `folder` (recursively, "" is everything), in path order, staged bytes and
        half-written files not among them. A folder that does not exist is empty. `HIDDEN_FOLDER` is listed only when
        `folder` lies in it."""
        ...

    def open(self, path: str) -> BinaryIO:
        """A stream over a visible file, to be closed by the caller. Raises FileNotFoundError when there is none."""
        ...

    def delete(self, path: str) -> None:
        """Remove a visible file. Returns when there is none. Folders that become empty are removed up to the
        destination's folder, where folders are real."""
        ...

    def leftovers(self, folder: str = "") -> Iterator[Leftover]:
        """Staged and unpublished bytes meant for paths below `folder` (unfinished multipart uploads, hidden files).
        They need not be ours: the caller decides by its journal."""
        ...

    def discard_leftover(self, leftover: Leftover) -> None:
        """Remove what `leftovers` reported. Gone already: returns."""
        ...


def address_of(store: Store) -> str:
    """Where a store delivers, printable: another place has another one. A store whose `uri` does not say on which server
    that is declares it as `server`."""
    server: str | None = getattr(store, "server", None)
    return store.uri("") + (f" on {server}" if server is not None else "")


def check_path(path: str) -> str:
    """Return `path` when it stays inside the destination's folder.

    Raises:
        ConfigError: for an absolute path, or an empty, `.`, `..`, backslash or control-character segment
            (design: Security).
    """
    for segment in path.split("/"):
        if segment in {"", ".", ".."} or "\\" in segment or any(ord(c) < 32 or ord(c) == 127 for c in segment):
            raise ConfigError(
                f"the path {path!r} has the segment {segment!r}: a path inside a destination is relative, has no "
                "empty, '.' or '..' segment, no backslash and no control character"
            )
    return path
