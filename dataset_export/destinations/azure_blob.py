"""Azure Blob Storage.

Staged files are uncommitted blocks; Put Block List makes the file visible, whole and without replacing anything
(`If-None-Match: *`). The answer to such a call may be lost, and its repetition then meets the file that the first one
wrote: so the blob is looked at and compared before it is called a conflict.
"""

import base64
import hashlib
import io
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

from pydantic import Field

from dataset_export.destinations.azure_blob_policy import azure_blob_policy
from dataset_export.destinations.azure_blob_upload import (
    DEFAULT_BLOCK_BYTES,
    MAX_BLOCKS,
    MIN_BLOCK_BYTES,
    NO_SUCH_BLOB,
    BlockUpload,
    blocks_of,
    drop_uncommitted,
    sent_since,
    uncommitted_blocks,
)
from dataset_export.destinations.azure_calls import Answered, AzureCalls, ClientSource, LazyClient
from dataset_export.destinations.azure_credentials import AzureAccountDestination
from dataset_export.destinations.contract import HIDDEN_FOLDER, Entry, Leftover, Staged, Store, check_path
from dataset_export.destinations.found import Found, conflict, gone, reads_as
from dataset_export.destinations.part_upload import first_part_size
from dataset_export.destinations.policy import Policy
from dataset_export.errors import ConfigError, IntegrityError, TransientError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

READ_SIZE = 4 << 20
TAKEN = frozenset({"BlobAlreadyExists", "ConditionNotMet", "UnauthorizedBlobOverwrite"})
BLOCKS_GONE = frozenset({"InvalidBlockList", "InvalidBlobOrBlock", "BlobNotFound"})
CHANGED = frozenset({"ConditionNotMet"})
EMPTY = frozenset({"InvalidRange"})
"""The answer to every range of a blob of no bytes."""
SHA256_KEY = "sha256"
"""Metadata of a blob of ours: the SHA-256 of its bytes, in hex."""


class AzureBlobDestination(AzureAccountDestination):
    """Deliver to a folder of a container of Azure Blob Storage. Without a way to sign in, the default credential of
    Azure is taken (environment, workload identity, managed identity, Azure CLI)."""

    container: str = Field(description="Name of the container; it must exist.")
    folder: str = Field(default="", description="Folder of the container to deliver to; empty for all of it.")

    def build_store(self) -> Store:
        """An `AzureBlobStore`. Raises ConfigError for fields that do not go together, and for a missing TLS."""
        self.check_account()
        named = f" of the account {self.account}" if self.account else ""
        return AzureBlobStore(
            LazyClient(self._client),
            f"the container {self.container}{named}",
            lambda: f"{self.account_url('blob')}/{self.container}",
            self.folder,
        )

    def policy(self) -> Policy:
        """Data actions of Azure's role-based access control, and the letters that a SAS needs."""
        return azure_blob_policy(self.account or "ACCOUNT", self.container, self.folder)

    def _client(self) -> Any:
        from azure.storage.blob import BlobServiceClient

        return self.service_client(BlobServiceClient, "blob").get_container_client(self.container)


class AzureBlobStore:
    """`Store` over the folder `folder` of a container.

    `source` gives ContainerClients of azure-storage-blob, `named` is what errors call the container, `url` gives its
    address without credentials, `kind` names the threads, `block_bytes` is the size of the first blocks.
    """

    def __init__(
        self,
        source: ClientSource,
        named: str,
        url: Callable[[], str],
        folder: str = "",
        *,
        kind: str = "azure_blob",
        block_bytes: int = DEFAULT_BLOCK_BYTES,
    ) -> None:
        if block_bytes < MIN_BLOCK_BYTES:
            raise ConfigError(f"blocks of {block_bytes} bytes are too small: use {MIN_BLOCK_BYTES} or more")
        self._calls = AzureCalls(named, source)
        self._url = url
        folder = folder.strip("/")
        self._root = f"{check_path(folder)}/" if folder else ""
        self._kind = kind
        self._block_bytes = block_bytes

    def uri(self, path: str) -> str:
        """`https://account.blob.core.windows.net/container/folder/path`."""
        return f"{self._url()}/{self._key(path) if path else self._root}"

    def check(self) -> None:
        """List one blob of the folder, uncommitted ones too."""
        self._calls.call(
            "List Blobs",
            lambda client: list(
                next(
                    client.list_blobs(
                        name_starts_with=self._root, include=["uncommittedblobs"], results_per_page=1
                    ).by_page()
                )
            ),
        )

    def stage(self, path: str, *, size_hint: int | None = None) -> BlockUpload:
        """An upload whose blocks fit `size_hint`. Uncommitted blocks of this name are dropped when it begins."""
        first_block = first_part_size(self._block_bytes, size_hint, MAX_BLOCKS)
        return BlockUpload(self._calls, self._key(path), path, kind=self._kind, first_block=first_block)

    def confirm(self, staged: Staged) -> None:
        """Compare the blocks that the service holds with those we sent: their ids, which no other upload has, and their
        sizes. Their MD5 was checked as each arrived; the service keeps none. Raises IntegrityError."""
        key, sent = self._key(staged.path), blocks_of(staged)
        held = {block.id: block.size for block in uncommitted_blocks(self._calls, key)}
        if sum(sent.values()) == staged.bytes and all(held.get(block) == size for block, size in sent.items()):
            return
        if self._find(staged) is Found.OURS:
            return
        if held.keys() & sent.keys():
            raise IntegrityError(
                f"the blocks held for {self.uri(staged.path)} are not those sent: run the export again"
            )
        raise gone(self.uri(staged.path))

    def publish(self, staged: Staged) -> None:
        """Put Block List on the condition that the name is free."""
        from azure.core import MatchConditions
        from azure.storage.blob import BlobBlock, ContentSettings

        key, blocks = self._key(staged.path), [BlobBlock(block) for block in blocks_of(staged)]
        settings = ContentSettings(content_md5=bytearray(base64.b64decode(staged.handle["md5"])))
        try:
            self._calls.call(
                "Put Block List",
                lambda client: client.get_blob_client(key).commit_block_list(
                    blocks,
                    content_settings=settings,
                    metadata={SHA256_KEY: staged.sha256},
                    match_condition=MatchConditions.IfMissing,
                ),
                expect=BLOCKS_GONE | TAKEN,
            )
        except (Answered, TransientError) as error:
            self._settle(staged, error)

    def discard(self, staged: Staged) -> None:
        """Delete the uncommitted blob. Uncommitted blocks beside a visible blob stay until the service drops them, a
        week later: there is no call for them that would not touch the blob."""
        drop_uncommitted(self._calls, self._key(staged.path))

    def put(self, path: str, data: bytes, *, replace: bool = False) -> None:
        """Put Blob, on the condition that the name is free unless `replace`."""
        key, sha256 = self._key(path), hashlib.sha256(data).hexdigest()
        try:
            self._calls.call(
                "Put Blob",
                lambda client: client.get_blob_client(key).upload_blob(
                    data, length=len(data), overwrite=replace, validate_content="md5", metadata={SHA256_KEY: sha256}
                ),
                expect=TAKEN,
            )
        except (Answered, TransientError) as error:
            if reads_as(self.open, path, len(data), sha256):
                return
            if isinstance(error, TransientError):
                raise
            raise conflict(self.uri(path)) from error

    def list(self, folder: str) -> Iterator[Entry]:
        """Blobs below `folder`. What stands for a folder (in a hierarchical namespace, or made by a tool) is no file."""
        prefix = self._prefix(folder)
        show_hidden = f"{folder}/".startswith(f"{HIDDEN_FOLDER}/")
        found: list[Entry] = []
        for page in self._calls.pages(
            "List Blobs", lambda client: client.list_blobs(name_starts_with=prefix, include=["metadata"])
        ):
            for blob in page:
                path = blob.name.removeprefix(self._root)
                is_folder = path.endswith("/") or (blob.metadata or {}).get("hdi_isfolder") == "true"
                if not is_folder and (show_hidden or not path.startswith(f"{HIDDEN_FOLDER}/")):
                    found.append(Entry(path, blob.size, blob.last_modified.astimezone(UTC)))
        yield from sorted(found, key=lambda entry: entry.path)

    def open(self, path: str) -> BinaryIO:
        """The blob, read in ranges of one version of it."""
        try:
            body = _Body(self._calls, self._key(path))
        except Answered:
            raise FileNotFoundError(f"{self.uri(path)} does not exist") from None
        return cast("BinaryIO", io.BufferedReader(body, 1 << 20))

    def delete(self, path: str) -> None:
        """Delete Blob. Where soft delete or versions are on, the service keeps it as long as they say."""
        try:
            self._calls.call(
                "Delete Blob", lambda client: client.get_blob_client(self._key(path)).delete_blob(), expect=NO_SUCH_BLOB
            )
        except Answered:
            return

    def leftovers(self, folder: str = "") -> Iterator[Leftover]:
        """Blobs that have uncommitted blocks only: those listed with them and not listed without them."""
        prefix = self._prefix(folder)
        staged = set(self._names(prefix, empty_only=True, include=["uncommittedblobs"]))
        for key in sorted(staged.difference(self._names(prefix) if staged else ())):
            if blocks := uncommitted_blocks(self._calls, key):
                started = min(sent_since(blocks), default=datetime.now(UTC))
                size = sum(block.size for block in blocks)
                yield Leftover(key.removeprefix(self._root), started, size, {})

    def discard_leftover(self, leftover: Leftover) -> None:
        """Delete the blob, unless it is visible by now."""
        drop_uncommitted(self._calls, self._key(leftover.path))

    def _names(self, prefix: str, *, empty_only: bool = False, **options: Any) -> Iterator[str]:
        for page in self._calls.pages(
            "List Blobs", lambda client: client.list_blobs(name_starts_with=prefix, **options)
        ):
            yield from (blob.name for blob in page if not (empty_only and blob.size))

    def _settle(self, staged: Staged, error: Answered | TransientError) -> None:
        """Decide what a Put Block List without a clear answer did, by looking at the blob."""
        found = self._find(staged)
        if found is Found.OURS:
            return
        if found is Found.FOREIGN:
            raise conflict(self.uri(staged.path)) from error
        if isinstance(error, TransientError):
            raise error
        if error.code in BLOCKS_GONE:
            raise gone(self.uri(staged.path)) from error
        raise TransientError(f"{self.uri(staged.path)} was there and vanished: it is tried again") from error

    def _find(self, staged: Staged) -> Found:
        key = self._key(staged.path)
        try:
            head = self._calls.call(
                "Get Blob Properties",
                lambda client: client.get_blob_client(key).get_blob_properties(),
                expect=NO_SUCH_BLOB,
            )
        except Answered:
            return Found.NOTHING
        if head.size != staged.bytes:
            return Found.FOREIGN
        if head.metadata.get(SHA256_KEY) == staged.sha256:
            return Found.OURS
        # Copied by another tool, a blob of the same bytes has no such metadata: then the bytes decide.
        return Found.OURS if reads_as(self.open, staged.path, staged.bytes, staged.sha256) else Found.FOREIGN

    def _key(self, path: str) -> str:
        return self._root + check_path(path)

    def _prefix(self, folder: str) -> str:
        return f"{self._key(folder)}/" if folder else self._root


class _Range(NamedTuple):
    content: bytes
    properties: Any


def _unchanged() -> Any:
    from azure.core import MatchConditions

    return MatchConditions.IfNotModified


class _Body(io.RawIOBase):
    """A blob as a raw stream: ranges of `READ_SIZE` bytes, all of the version that the first one came from."""

    def __init__(self, calls: AzureCalls, key: str) -> None:
        self._calls = calls
        self._key = key
        self._condition: dict[str, Any] = {}
        self._at = self._size = 0
        self._chunk = memoryview(b"")
        try:
            first = self._range(NO_SUCH_BLOB | EMPTY)
        except Answered as answer:
            if answer.code not in EMPTY:
                raise
            return
        # `size` of the properties is that of the range.
        self._size = int((first.properties.content_range or f"/{len(first.content)}").rpartition("/")[2])
        self._chunk = memoryview(first.content)
        self._condition = {"etag": first.properties.etag, "match_condition": _unchanged()}

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        if not self._chunk and self._at < self._size:
            try:
                self._chunk = memoryview(self._range(CHANGED | NO_SUCH_BLOB).content)
            except Answered as answer:
                raise TransientError(f"a blob of {self._calls.name} was replaced while it was read") from answer
        view = memoryview(buffer).cast("B")
        taken = self._chunk[: len(view)]
        view[: len(taken)] = taken
        self._chunk = self._chunk[len(taken) :]
        return len(taken)

    def _range(self, expect: frozenset[str]) -> "_Range":
        def read(client: Any) -> _Range:
            answer = client.get_blob_client(self._key).download_blob(self._at, READ_SIZE, **self._condition)
            return _Range(answer.readall(), answer.properties)

        part = self._calls.call("Get Blob", read, expect=expect)
        self._at += len(part.content)
        return part
