"""A folder of an SFTP server.

Files are staged below `<folder>/.dataset_export/staging/`, so on the same filesystem, and become visible by a second
name (`hardlink@openssh.com`) or by SFTP's rename, neither of which replaces. After a lost answer the visible file is
read back and compared, before anything is called a conflict.
"""

import hashlib
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import BinaryIO
from urllib.parse import quote

from pydantic import Field

from dataset_export.destinations.contract import Entry, Leftover, Staged, Store, check_path
from dataset_export.destinations.found import conflict, gone, reads_as
from dataset_export.destinations.io_manager import DestinationIOManager, secret_field
from dataset_export.destinations.local import PUT_SUFFIX, STAGED_SUFFIX, STAGING
from dataset_export.destinations.policy import Policy
from dataset_export.destinations.retry import with_retries
from dataset_export.destinations.sftp_calls import SFTPCalls
from dataset_export.destinations.sftp_connections import Access
from dataset_export.destinations.sftp_files import Named
from dataset_export.destinations.sftp_policy import sftp_policy
from dataset_export.destinations.sftp_reading import open_stream
from dataset_export.destinations.sftp_session import Session
from dataset_export.destinations.sftp_upload import SFTPUpload
from dataset_export.errors import ConfigError, IntegrityError

MOST_CONNECTIONS = 32


class SFTPDestination(DestinationIOManager):
    """Deliver to a folder of an SFTP server, with a password, a private key, or both where the server asks for both.
    The server's host key is always verified."""

    host: str = Field(description="Name or address of the server.")
    port: int = Field(default=22, description="Port of the server.")
    username: str = Field(description="Name of the account.")
    folder: str = Field(
        default="", description="Folder to deliver to, made at the first delivery; relative ones start where logins do."
    )
    password: str | None = secret_field("Password")
    private_key: str | None = secret_field("Private key")
    passphrase: str | None = secret_field("Passphrase of the private key")
    known_hosts: str | None = Field(default=None, description="File with the server's host keys, as OpenSSH has it.")
    host_key_fingerprint: str | None = Field(default=None, description="Fingerprint of the host key (SHA256:…).")
    max_connections: int = Field(default=4, description="How many connections there may be at once (1 to 32).")
    read_back_hash: bool = Field(
        default=False, description="Whether staged files are read back and hashed before they become visible."
    )

    def build_store(self) -> Store:
        """An `SFTPStore`. Raises ConfigError for fields that do not go together."""
        where = f"the SFTP server {self.host}"
        if not self.host or not self.username:
            raise ConfigError("an SFTP destination needs a host and a username: give both")
        if not 0 < self.port < 65536:
            raise ConfigError(f"{where} cannot have the port {self.port}: give one of 1 to 65535")
        if not 1 <= self.max_connections <= MOST_CONNECTIONS:
            raise ConfigError(f"max_connections of {where} is {self.max_connections}: give 1 to {MOST_CONNECTIONS}")
        if self.password is None and self.private_key is None:
            raise ConfigError(f"{where} has to know who delivers: give a password or a private_key")
        if self.passphrase is not None and self.private_key is None:
            raise ConfigError(f"the passphrase for {where} belongs to a private_key: give that too")
        access = Access(
            host=self.host,
            port=self.port,
            username=self.username,
            password=self.password,
            private_key=self.private_key,
            passphrase=self.passphrase,
            known_hosts=self.known_hosts,
            host_key_fingerprint=self.host_key_fingerprint,
            max_connections=self.max_connections,
        )
        return SFTPStore(access, self.folder, read_back_hash=self.read_back_hash)

    def policy(self) -> Policy:
        """What the account needs, as configuration of an OpenSSH server."""
        return sftp_policy(self.username, self.folder)


class SFTPStore:
    """`Store` over the folder `folder` of the server of `access`.

    A path that goes through a symbolic link below the folder is refused with ConfigError (design: Security). With
    `read_back_hash` `confirm` reads staged files; without, it asks for their size.
    """

    def __init__(self, access: Access, folder: str = "", *, read_back_hash: bool = False) -> None:
        inner = folder.strip("/")
        if inner:
            check_path(inner)
        self._calls = SFTPCalls(access, ("/" if folder.startswith("/") else "") + inner)
        self._files = self._calls.files
        self._read_back_hash = read_back_hash

    def uri(self, path: str) -> str:
        """`sftp://host:port/folder/path`, percent-encoded."""
        address, _, rest = self._calls.uri(check_path(path) if path else "").partition("://")
        return f"{address}://{quote(rest, safe='/:[]=')}"

    def check(self) -> None:
        """Log in, and see that the folder, or the nearest one above it that exists, is a folder.

        Raises:
            ConfigError: when it is not.
        """

        async def look(session: Session) -> None:
            nearest = self._files.root
            while (status := await session.stat(nearest)) is None and nearest not in {".", "/"}:
                nearest = nearest.rpartition("/")[0] or ("/" if nearest.startswith("/") else ".")
            if status is None or not status.is_folder:
                raise ConfigError(
                    f"{self.uri('')} cannot be delivered to because {nearest} is not a folder there: name another one"
                )

        self._calls.call("look at", "", look)

    def stage(self, path: str, *, size_hint: int | None = None) -> SFTPUpload:
        """A hidden file beside what it will be. `size_hint` is not needed: a file has no parts."""
        return SFTPUpload(self._calls, path, f"{STAGING}/{check_path(path)}{STAGED_SUFFIX}")

    def confirm(self, staged: Staged) -> None:
        """Compare the size of the staged file, and its bytes with `read_back_hash`; those of a published file always.
        Raises IntegrityError."""
        hidden = _hidden(staged)
        held = self._size(hidden)
        if held is not None:
            whole = held == staged.bytes
            if not whole or (self._read_back_hash and not self._reads_as(hidden, staged.bytes, staged.sha256)):
                raise IntegrityError(
                    f"{self.uri(hidden)} is not what was staged for {staged.path}: run the export again"
                )
        elif not self._reads_as(staged.path, staged.bytes, staged.sha256):
            raise gone(self.uri(staged.path))

    def publish(self, staged: Staged) -> None:
        """Give the staged file its visible name."""
        hidden, target = _hidden(staged), check_path(staged.path)

        async def publish(session: Session) -> Named:
            await self._files.refuse_links(session, target.rpartition("/")[0])
            named = await self._files.reveal(session, hidden, target)
            if named is Named.DONE:
                await self._files.remove(session, hidden)
            return named

        named = self._calls.call("publish", target, publish)
        if named is Named.DONE:
            return
        if not self._reads_as(target, staged.bytes, staged.sha256):
            raise conflict(self.uri(target)) if named is Named.TAKEN else gone(self.uri(staged.path))
        self._remove(hidden)

    def discard(self, staged: Staged) -> None:
        """Remove the staged file."""
        self._remove(_hidden(staged))

    def put(self, path: str, data: bytes, *, replace: bool = False) -> None:
        """Write a hidden file, then name it as `publish` does, or by `posix-rename@openssh.com` with `replace`.

        Raises:
            ConfigError: for `replace` where the server has no such request and there is another file: no other way of
                replacing is atomic.
        """
        check_path(path)
        named = with_retries(lambda: self._put_once(path, data, replace=replace))
        if named is Named.DONE or self._reads_as(path, len(data), hashlib.sha256(data).hexdigest()):
            return
        if replace:
            raise ConfigError(
                f"{self.uri(path)} cannot be replaced in one step, because the server has no posix-rename@openssh.com: "
                "delete the file first, or deliver to another server"
            )
        raise conflict(self.uri(path))

    def list(self, folder: str) -> Iterator[Entry]:
        """Regular files below `folder`; symbolic links are not followed and not listed. Folders are read side by
        side."""
        if folder:
            check_path(folder)

        async def look(session: Session) -> list[Entry]:
            await self._files.refuse_links(session, folder)
            found = await self._files.below(session, folder)
            return [Entry(path, status.bytes, _moment(status.modified)) for path, status in found]

        yield from self._calls.call("list", folder, look)

    def open(self, path: str) -> BinaryIO:
        """The file, streamed; see `open_stream`."""
        return open_stream(self._calls, check_path(path))

    def delete(self, path: str) -> None:
        """Remove a file, and the folders that this leaves empty."""
        self._remove(check_path(path))

    def leftovers(self, folder: str = "") -> Iterator[Leftover]:
        """Staged files. `started` is when the last byte was written: a filesystem does not remember the first one."""
        below = f"{STAGING}/{check_path(folder)}" if folder else STAGING

        async def look(session: Session) -> list[Leftover]:
            await self._files.refuse_links(session, below)
            return [
                Leftover(_meant_for(hidden), _moment(status.modified), status.bytes, {"hidden": hidden})
                for hidden, status in await self._files.below(session, below, staging=True)
            ]

        yield from self._calls.call("list what is staged in", folder, look)

    def discard_leftover(self, leftover: Leftover) -> None:
        """Remove a staged file."""
        self._remove(_hidden(leftover))

    def _put_once(self, path: str, data: bytes, *, replace: bool) -> Named:
        hidden = f"{STAGING}/{path}.{secrets.token_hex(8)}{PUT_SUFFIX}"

        async def put(session: Session) -> Named:
            await self._files.refuse_links(session, path.rpartition("/")[0])
            await self._files.refuse_links(session, hidden.rpartition("/")[0])
            await self._files.require_publishing(session)
            try:
                file = await self._files.create(session, hidden)
                try:
                    await session.write(file, data, 0)
                    await session.sync(file)
                finally:
                    await session.close(file)
                name = self._files.replace if replace else self._files.reveal
                return await name(session, hidden, path)
            finally:
                if session.alive:
                    await self._files.remove(session, hidden)

        return self._calls.call_once("write", path, put)

    def _remove(self, path: str) -> None:
        async def remove(session: Session) -> None:
            await self._files.refuse_links(session, path.rpartition("/")[0])
            await self._files.remove(session, path)

        self._calls.call("delete", path, remove)

    def _size(self, path: str) -> int | None:
        """Of a regular file, in bytes; None when there is none."""

        async def look(session: Session) -> int | None:
            await self._files.refuse_links(session, path.rpartition("/")[0])
            status = await session.lstat(self._files.at(path))
            return status.bytes if status is not None and status.is_file else None

        return self._calls.call("look at", path, look)

    def _reads_as(self, path: str, size: int, sha256: str) -> bool:
        return self._size(path) == size and reads_as(partial(open_stream, self._calls), path, size, sha256)


def _hidden(receipt: Staged | Leftover) -> str:
    """The file a receipt names; a receipt that names anything but staged bytes is refused."""
    path = check_path(str(receipt.handle["hidden"]))
    if not path.startswith(f"{STAGING}/"):
        raise IntegrityError(f"the receipt names {path!r}, which is no staged file: run the export again")
    return path


def _meant_for(hidden: str) -> str:
    path = hidden.removeprefix(f"{STAGING}/")
    if path.endswith(PUT_SUFFIX):
        return path.removesuffix(PUT_SUFFIX).rpartition(".")[0]
    return path.removesuffix(STAGED_SUFFIX)


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
