"""One SFTP session over a connection of its own: the requests that a store makes of a server, and nothing else of it.

Errors are asyncssh's. Every answer has a time limit, and a session that lost its connection says so from then on.
"""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, NewType, TypeVar

from dataset_export.destinations.sftp_client import SFTPClient
from dataset_export.destinations.sftp_packets import (
    NO_ATTRIBUTES,
    OPEN_FOR_READING,
    OPEN_NEW_FOR_WRITING,
    Extension,
    Fields,
    Kind,
    Status,
    path,
    string,
    uint32,
)

if TYPE_CHECKING:
    from asyncssh import SSHClientConnection

ANSWER_SECONDS = 120.0
"""How long a server may be silent while it is asked something. Keepalives find a dead one sooner."""
NO_ROOM_BYTES = 1 << 20

Answer = TypeVar("Answer")
Handle = NewType("Handle", bytes)
"""What the server calls a file that is open."""


class Session:
    """Requests to one server. To be used on its event loop only, by several tasks at once."""

    def __init__(self, connection: "SSHClientConnection", client: SFTPClient) -> None:
        self._connection = connection
        self._client = client
        self._broken = False

    @property
    def alive(self) -> bool:
        """Whether requests may succeed."""
        return not self._broken and self._client.alive and not self._connection.is_closed()

    def abort(self) -> None:
        """Close the connection without a word to the server."""
        self._broken = True
        self._connection.abort()

    async def lstat(self, name: str) -> Status | None:
        """What has this name, not following a link; None for nothing."""
        return await self._status(Kind.LSTAT, name)

    async def stat(self, name: str) -> Status | None:
        """As `lstat`, but follows links."""
        return await self._status(Kind.STAT, name)

    async def names(self, folder: str) -> dict[str, Status | None]:
        """What a folder holds; None as the status of a name that vanished meanwhile."""
        handle = await self._handle(Kind.OPENDIR, path(folder))
        found: dict[str, Status | None] = {}
        unclear: list[str] = []
        try:
            while (page := await self._page(handle)) is not None:
                for name, status, is_clear in page:
                    if name not in {".", ".."}:
                        found[name] = status
                        unclear += [] if is_clear else [name]
        finally:
            if self.alive:
                await self.close(handle)
        for name in unclear:
            found[name] = await self.lstat(f"{folder}/{name}")
        return found

    async def mkdir(self, name: str) -> None:
        """Make one folder."""
        await self._ask(Kind.MKDIR, path(name), NO_ATTRIBUTES)

    async def rmdir(self, name: str) -> None:
        """Remove an empty folder."""
        await self._ask(Kind.RMDIR, path(name))

    async def remove(self, name: str) -> None:
        """Remove a file."""
        await self._ask(Kind.REMOVE, path(name))

    async def link(self, source: str, target: str) -> None:
        """Give a file a second name; never replaces. SFTPOpUnsupported where the server has no such request, before
        anything is sent."""
        await self._ask_extended(Extension.HARD_LINK, path(source), path(target))

    async def rename(self, source: str, target: str) -> None:
        """The rename of SFTP version 3, which replaces nothing by its specification."""
        await self._ask(Kind.RENAME, path(source), path(target))

    async def posix_rename(self, source: str, target: str) -> None:
        """Rename and replace in one step. SFTPOpUnsupported as in `link`."""
        await self._ask_extended(Extension.POSIX_RENAME, path(source), path(target))

    async def create(self, name: str) -> Handle:
        """A new file, opened for writing; an error when the name is taken."""
        return await self._handle(Kind.OPEN, path(name), uint32(OPEN_NEW_FOR_WRITING), NO_ATTRIBUTES)

    async def open(self, name: str) -> Handle:
        """A file, opened for reading."""
        return await self._handle(Kind.OPEN, path(name), uint32(OPEN_FOR_READING), NO_ATTRIBUTES)

    async def read(self, file: Handle, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset`, by several requests at once."""
        return await self._answer(self._client.read(file, size, offset))

    async def write(self, file: Handle, data: bytes | bytearray, offset: int) -> None:
        """Write `data` at `offset`, by several requests at once."""
        await self._answer(self._client.write(file, data, offset))

    async def sync(self, file: Handle) -> None:
        """Put a file's bytes on disk, where the server offers that."""
        import asyncssh

        try:
            await self._ask_extended(Extension.SYNC, string(file))
        except asyncssh.SFTPOpUnsupported:
            return

    async def close(self, file: Handle) -> None:
        """Close a file, or a folder."""
        await self._ask(Kind.CLOSE, string(file))

    async def is_full(self, folder: str) -> bool:
        """Whether the filesystem of `folder` has no room for this account; False where the server does not tell."""
        import asyncssh

        try:
            found = await self._ask_extended(Extension.FILESYSTEM, path(folder), expect=Kind.EXTENDED_REPLY)
        except asyncssh.SFTPError:
            return False
        _, fragment, _, _, free, files, _, free_files = (found.uint64() for _ in range(8))
        return free * fragment < NO_ROOM_BYTES or (files > 0 and free_files == 0)

    async def _handle(self, kind: Kind, *fields: bytes) -> Handle:
        return Handle((await self._ask(kind, *fields, expect=Kind.HANDLE)).string())

    async def _page(self, folder: Handle) -> list[tuple[str, Status, bool]] | None:
        """The next names of an open folder, and whether their status is all there; None at the end."""
        import asyncssh

        try:
            fields = await self._ask(Kind.READDIR, string(folder), expect=Kind.NAME)
        except asyncssh.SFTPEOFError:
            return None
        page: list[tuple[str, Status, bool]] = []
        for _ in range(fields.uint32()):
            name, _ = fields.path(), fields.string()
            page.append((name, *fields.status()))
        return page

    async def _status(self, kind: Kind, name: str) -> Status | None:
        import asyncssh

        try:
            return (await self._ask(kind, path(name), expect=Kind.ATTRIBUTES)).status()[0]
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath, asyncssh.SFTPNotADirectory):
            return None

    async def _ask(self, kind: Kind, *fields: bytes, expect: Kind = Kind.STATUS) -> Fields:
        return await self._answer(self._client.ask(kind, *fields, expect=expect))

    async def _ask_extended(self, extension: Extension, *fields: bytes, expect: Kind = Kind.STATUS) -> Fields:
        return await self._answer(self._client.ask_extended(extension, *fields, expect=expect))

    async def _answer(self, asked: Coroutine[Any, Any, Answer]) -> Answer:
        import asyncssh

        task = asyncio.ensure_future(asked)
        try:
            while not (await asyncio.wait({task}, timeout=ANSWER_SECONDS))[0]:
                if task.get_loop().time() - self._client.heard >= ANSWER_SECONDS:
                    raise TimeoutError
            return task.result()
        except (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection, asyncssh.DisconnectError, OSError):
            # OSError has TimeoutError among its kinds: whatever comes on this connection now is late.
            self.abort()
            raise
        finally:
            task.cancel()
