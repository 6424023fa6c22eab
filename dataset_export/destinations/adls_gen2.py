"""Azure Data Lake Storage Gen2: a storage account with a hierarchical namespace.

Files are staged in a hidden folder, and a rename makes one visible: atomic, whole, and without replacing anything
(`If-None-Match: *`). The answer to a rename may be lost, and its repetition then finds no source, or its own file in the
way: so the file is looked at and compared before it is called a conflict or gone.
"""

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC
from typing import Any, BinaryIO

from pydantic import Field

from dataset_export.destinations.adls_gen2_paths import (
    SOURCE_CHANGED,
    SOURCE_GONE,
    TAKEN,
    Clients,
    Paths,
)
from dataset_export.destinations.adls_gen2_policy import adls_gen2_policy
from dataset_export.destinations.adls_gen2_upload import (
    DEFAULT_PART_BYTES,
    MAX_PARTS,
    STAGING,
    FileUpload,
    meant_for,
    new_hidden,
)
from dataset_export.destinations.azure_calls import Answered, ClientSource, LazyClient
from dataset_export.destinations.azure_credentials import AzureAccountDestination
from dataset_export.destinations.contract import HIDDEN_FOLDER, Entry, Leftover, Staged, Store, check_path
from dataset_export.destinations.found import Found, conflict, gone, reads_as
from dataset_export.destinations.part_upload import first_part_size
from dataset_export.destinations.policy import Policy
from dataset_export.destinations.ranged_reading import RANGE_BYTES, ranged_stream
from dataset_export.errors import ConfigError, ExportError, IntegrityError, TransientError
from dataset_export.secret_refs import revealed


class ADLSGen2Destination(AzureAccountDestination):
    """Deliver to a folder of a file system of Azure Data Lake Storage Gen2. Without a way to sign in, the default
    credential of Azure is taken (environment, workload identity, managed identity, Azure CLI)."""

    filesystem: str = Field(description="Name of the file system (the container); it must exist.")
    folder: str = Field(default="", description="Folder of the file system to deliver to; empty for all of it.")

    def build_store(self) -> Store:
        """An `ADLSGen2Store`. Raises ConfigError for fields that do not go together, and for a missing TLS."""
        self.check_account()
        named = f" of the account {self.account}" if self.account else ""
        return ADLSGen2Store(
            LazyClient(self._clients),
            f"the file system {self.filesystem}{named}",
            lambda: f"{self.account_url('dfs')}/{self.filesystem}",
            self.folder,
        )

    def policy(self) -> Policy:
        """Data actions of Azure's role-based access control, and the letters that a SAS needs."""
        return adls_gen2_policy(self.account or "ACCOUNT", self.filesystem, self.folder)

    def account_url(self, service: str) -> str:
        """See `AzureAccountDestination.account_url`. A URL given as the account may be that of either endpoint."""
        other = "blob" if service == "dfs" else "dfs"
        return super().account_url(service).replace(f".{other}.", f".{service}.", 1)

    def credential(self) -> Any:
        """See `AzureAccountDestination.credential`. A SAS is given as text: only then does the SDK also sign the source
        of a rename with it."""
        if self.sas_token is not None:
            return (revealed(self.sas_token) or "").removeprefix("?")
        return super().credential()

    def _clients(self) -> Clients:
        from azure.storage.blob import BlobServiceClient
        from azure.storage.filedatalake import DataLakeServiceClient

        return Clients(
            self.service_client(DataLakeServiceClient, "dfs").get_file_system_client(self.filesystem),
            self.service_client(BlobServiceClient, "blob").get_container_client(self.filesystem),
        )


class ADLSGen2Store:
    """`Store` over the folder `folder` of a file system.

    `source` gives `Clients`, `named` is what errors call the file system, `url` gives its address without credentials,
    `part_bytes` is the size of the first parts of a file.
    """

    def __init__(
        self,
        source: ClientSource,
        named: str,
        url: Callable[[], str],
        folder: str = "",
        *,
        part_bytes: int = DEFAULT_PART_BYTES,
    ) -> None:
        self._paths = Paths(named, source)
        self._named = named
        self._url = url
        folder = folder.strip("/")
        self._root = f"{check_path(folder)}/" if folder else ""
        self._part_bytes = part_bytes

    def uri(self, path: str) -> str:
        """`https://account.dfs.core.windows.net/filesystem/folder/path`."""
        return f"{self._url()}/{self._key(path) if path else self._root}"

    def check(self) -> None:
        """List a path of the folder, and see that the account has a hierarchical namespace.

        Raises:
            ConfigError: when it has none: a rename is not atomic there.
        """
        self._paths.check(self._root.rstrip("/"))
        if not self._paths.is_hierarchical():
            raise ConfigError(
                f"{self._named} has no hierarchical namespace, so a rename is not atomic there: deliver to it with the "
                "type azure_blob"
            )

    def stage(self, path: str, *, size_hint: int | None = None) -> FileUpload:
        """An upload whose parts fit `size_hint`. Files that were staged for this path are deleted when it begins."""
        first_part = first_part_size(self._part_bytes, size_hint, MAX_PARTS)
        return FileUpload(self._paths, self._root, check_path(path), first_part=first_part)

    def confirm(self, staged: Staged) -> None:
        """See that the staged file is the version that we flushed; the service checked the MD5 of every part. Raises
        IntegrityError."""
        held = self._paths.find(self._hidden(staged))
        if held is not None and (held.etag, held.bytes) == (staged.handle["etag"], staged.bytes):
            return
        if self._find(staged.path, staged.bytes, staged.sha256) is Found.OURS:
            return
        raise gone(self.uri(staged.path)) if held is None else self._exchanged(staged)

    def publish(self, staged: Staged) -> None:
        """Rename the staged file, on the condition that it is the one we flushed and that the name is free."""
        hidden, target = self._hidden(staged), self._key(staged.path)
        try:
            self._paths.rename(hidden, target, source_etag=staged.handle["etag"])
        except (Answered, TransientError) as error:
            self._settle(staged, error)
        self._prune(hidden.rpartition("/")[0])

    def discard(self, staged: Staged) -> None:
        """Delete the staged file."""
        self._drop(self._hidden(staged))

    def put(self, path: str, data: bytes, *, replace: bool = False) -> None:
        """Write a hidden file, then rename it: on the condition that the name is free, or over the old file."""
        target, sha256 = self._key(path), hashlib.sha256(data).hexdigest()
        hidden = self._root + new_hidden(path, "put")
        try:
            self._write(hidden, data, sha256)
            self._paths.rename(hidden, target, replace=replace)
        except BaseException as error:
            self._drop_after(error, hidden)
            if not isinstance(error, Answered | TransientError):
                raise
            self._settle_put(path, len(data), sha256, error)
        else:
            self._prune(hidden.rpartition("/")[0])

    def list(self, folder: str) -> Iterator[Entry]:
        """Files below `folder`, sorted here because the service lists folder by folder."""
        prefix = self._prefix(folder)
        show_hidden = f"{folder}/".startswith(f"{HIDDEN_FOLDER}/")
        found: list[Entry] = []
        for one in self._paths.below(prefix.rstrip("/")):
            path = one.name.removeprefix(self._root)
            hidden = path.startswith(f"{STAGING}/" if show_hidden else f"{HIDDEN_FOLDER}/")
            if not one.is_directory and not hidden and one.name.startswith(prefix):
                # The SDK reads this time, which is always in UTC, as one without a zone.
                found.append(Entry(path, one.content_length, one.last_modified.replace(tzinfo=UTC)))
        yield from sorted(found, key=lambda entry: entry.path)

    def open(self, path: str) -> BinaryIO:
        """The file, read in ranges of one version of it."""
        key = self._key(path)
        try:
            first, seen = self._paths.read(key, 0, RANGE_BYTES)
        except Answered:
            raise FileNotFoundError(f"{self.uri(path)} does not exist") from None
        if seen.is_folder:
            raise FileNotFoundError(f"{self.uri(path)} is a folder")

        def read_range(start: int, size: int) -> bytes:
            try:
                return self._paths.read(key, start, size, etag=seen.etag)[0]
            except Answered as answer:
                raise TransientError(f"{self.uri(path)} was replaced while it was read: read it again") from answer

        return ranged_stream(first, seen.bytes, read_range)

    def delete(self, path: str) -> None:
        """Delete a file, and the folders that this leaves empty."""
        self._drop(self._key(path))

    def leftovers(self, folder: str = "") -> Iterator[Leftover]:
        """Hidden files. `started` is when the service last changed them: at the flush, or at their creation."""
        below = f"{self._root}{STAGING}/{check_path(folder)}" if folder else f"{self._root}{STAGING}"
        for one in self._paths.below(below):
            hidden = one.name.removeprefix(self._root)
            path = meant_for(hidden)
            if not one.is_directory and path is not None and path.startswith(f"{folder}/" if folder else ""):
                yield Leftover(path, one.last_modified.replace(tzinfo=UTC), one.content_length, {"hidden": hidden})

    def discard_leftover(self, leftover: Leftover) -> None:
        """Delete a hidden file."""
        self._drop(self._hidden_key(str(leftover.handle["hidden"])))

    def _settle(self, staged: Staged, error: Answered | TransientError) -> None:
        """Decide what a rename without a clear answer did, by looking at the file."""
        found = self._find(staged.path, staged.bytes, staged.sha256)
        if found is Found.OURS:
            self._paths.delete(self._hidden(staged))  # published by an earlier upload of the same bytes: ours is left
            return
        if found is Found.FOREIGN:
            raise conflict(self.uri(staged.path)) from error
        if isinstance(error, TransientError):
            raise error
        if error.code in SOURCE_GONE:
            raise gone(self.uri(staged.path)) from error
        if error.code in SOURCE_CHANGED:
            raise self._exchanged(staged) from error
        raise TransientError(f"{self.uri(staged.path)} was there and vanished: it is tried again") from error

    def _settle_put(self, path: str, size: int, sha256: str, error: Answered | TransientError) -> None:
        if self._find(path, size, sha256) is Found.OURS:
            return
        if isinstance(error, TransientError):
            raise error
        if error.code in TAKEN:
            raise conflict(self.uri(path)) from error
        raise TransientError(f"{self.uri(path)} was changed by somebody else meanwhile: it is tried again") from error

    def _write(self, key: str, data: bytes, sha256: str) -> None:
        self._paths.create(key, sha256=sha256)
        for start in range(0, len(data), self._part_bytes):
            self._paths.append(key, start, data[start : start + self._part_bytes])
        if data:
            self._paths.flush(key, len(data))

    def _find(self, path: str, size: int, sha256: str) -> Found:
        seen = self._paths.find(self._key(path))
        if seen is None:
            return Found.NOTHING
        if seen.is_folder or seen.bytes != size:
            return Found.FOREIGN
        if seen.sha256 == sha256:
            return Found.OURS
        # Copied by another tool, a file of the same bytes has no such metadata: then the bytes decide.
        return Found.OURS if reads_as(self.open, path, size, sha256) else Found.FOREIGN

    def _drop(self, key: str) -> None:
        try:
            was_there = self._paths.delete(key)
        except Answered:
            return  # a folder with files in it
        self._prune(key.rpartition("/")[0], is_folder=was_there)

    def _drop_after(self, error: BaseException, key: str) -> None:
        try:
            self._drop(key)
        except ExportError as failed:
            error.add_note(f"and a hidden file could not be removed: {failed}")

    def _prune(self, folder: str, *, is_folder: bool = True) -> None:
        self._paths.prune(folder, self._root.rstrip("/"), is_folder=is_folder)

    def _exchanged(self, staged: Staged) -> IntegrityError:
        return IntegrityError(
            f"the bytes staged for {self.uri(staged.path)} are not those that were sent: run the export again"
        )

    def _hidden(self, staged: Staged) -> str:
        check_path(staged.path)
        return self._hidden_key(str(staged.handle["hidden"]))

    def _hidden_key(self, hidden: str) -> str:
        if meant_for(hidden) is None:
            raise IntegrityError(f"the receipt names {hidden!r}, which is no staged file: run the export again")
        return self._key(hidden)

    def _key(self, path: str) -> str:
        return self._root + check_path(path)

    def _prefix(self, folder: str) -> str:
        return f"{self._key(folder)}/" if folder else self._root
