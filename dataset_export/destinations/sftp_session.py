"""One SFTP session over a connection of its own: the requests that a store makes of a server, and nothing else of it.

Errors are asyncssh's. Every answer has a time limit, and a session that lost its connection says so from then on.
"""

import asyncio
import stat
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from asyncssh import SFTPAttrs, SFTPClient, SFTPClientFile, SFTPName, SSHClientConnection

ANSWER_SECONDS = 120.0
"""How long a server may think. Keepalives find a dead one sooner."""
NO_ROOM_BYTES = 1 << 20

Answer = TypeVar("Answer")


class Status(NamedTuple):
    """What a name is: its mode (as stat has it), size in bytes, last modification (seconds since 1970)."""

    mode: int
    bytes: int
    modified: int

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.mode)

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return stat.S_ISLNK(self.mode)


class Session:
    """Requests to one server. To be used on its event loop only, by several tasks at once."""

    def __init__(self, connection: "SSHClientConnection", client: "SFTPClient") -> None:
        self._connection = connection
        self._client = client
        self._broken = False

    @property
    def alive(self) -> bool:
        """Whether requests may succeed."""
        return not self._broken and not self._connection.is_closed()

    def abort(self) -> None:
        """Close the connection without a word to the server."""
        self._broken = True
        self._connection.abort()

    async def lstat(self, path: str) -> Status | None:
        """What has this name, not following a link; None for nothing."""
        return await self._status(self._client.lstat(path))

    async def stat(self, path: str) -> Status | None:
        """As `lstat`, but follows links."""
        return await self._status(self._client.stat(path))

    async def names(self, folder: str) -> dict[str, Status | None]:
        """What a folder holds; None as the status of a name that vanished meanwhile."""
        found: dict[str, Status | None] = {}
        entries = self._client.scandir(folder)
        while (entry := await self._answer(_next(entries))) is not None:
            name = str(entry.filename)
            if name not in {".", ".."}:
                attributes = entry.attrs
                unclear = None in (attributes.permissions, attributes.size, attributes.mtime)
                found[name] = await self.lstat(f"{folder}/{name}") if unclear else _status(attributes)
        return found

    async def mkdir(self, path: str) -> None:
        """Make one folder."""
        await self._answer(self._client.mkdir(path))

    async def rmdir(self, path: str) -> None:
        """Remove an empty folder."""
        await self._answer(self._client.rmdir(path))

    async def remove(self, path: str) -> None:
        """Remove a file."""
        await self._answer(self._client.remove(path))

    async def link(self, source: str, target: str) -> None:
        """Give a file a second name; never replaces. SFTPOpUnsupported where the server has no such request, before
        anything is sent."""
        await self._answer(self._client.link(source, target))

    async def rename(self, source: str, target: str) -> None:
        """The rename of SFTP version 3, which replaces nothing by its specification."""
        await self._answer(self._client.rename(source, target))

    async def posix_rename(self, source: str, target: str) -> None:
        """Rename and replace in one step. SFTPOpUnsupported as in `link`."""
        await self._answer(self._client.posix_rename(source, target))

    async def create(self, path: str) -> "SFTPClientFile":
        """A new file, opened for writing; an error when the name is taken."""
        return await self._answer(_opened(self._client, path, "xb"))

    async def open(self, path: str) -> "SFTPClientFile":
        """A file, opened for reading."""
        return await self._answer(_opened(self._client, path, "rb"))

    async def read(self, file: "SFTPClientFile", size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset`, by several requests at once."""
        return await self._answer(file.read(size, offset))

    async def write(self, file: "SFTPClientFile", data: bytes, offset: int) -> None:
        """Write `data` at `offset`, by several requests at once."""
        await self._answer(file.write(data, offset))

    async def sync(self, file: "SFTPClientFile") -> None:
        """Put a file's bytes on disk, where the server offers that."""
        import asyncssh

        try:
            await self._answer(file.fsync())
        except asyncssh.SFTPOpUnsupported:
            return

    async def close(self, file: "SFTPClientFile") -> None:
        """Close a file."""
        await self._answer(file.close())

    async def is_full(self, folder: str) -> bool:
        """Whether the filesystem of `folder` has no room for this account; False where the server does not tell."""
        import asyncssh

        try:
            found = await self._answer(self._client.statvfs(folder))
        except asyncssh.SFTPError:
            return False
        return found.bavail * found.frsize < NO_ROOM_BYTES or (found.files > 0 and found.favail == 0)

    async def _status(self, asked: "Coroutine[Any, Any, SFTPAttrs]") -> Status | None:
        import asyncssh

        try:
            return _status(await self._answer(asked))
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath, asyncssh.SFTPNotADirectory):
            return None

    async def _answer(self, asked: Coroutine[Any, Any, Answer]) -> Answer:
        import asyncssh

        try:
            return await asyncio.wait_for(asked, ANSWER_SECONDS)
        except (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection, asyncssh.DisconnectError, OSError):
            # OSError has TimeoutError among its kinds: whatever comes on this connection now is late.
            self.abort()
            raise


async def _opened(client: "SFTPClient", path: str, mode: str) -> "SFTPClientFile":
    return await client.open(path, mode, encoding=None)


async def _next(entries: Any) -> "SFTPName | None":
    return await anext(entries, None)


def _status(attributes: "SFTPAttrs") -> Status:
    return Status(attributes.permissions or 0, attributes.size or 0, attributes.mtime or 0)
