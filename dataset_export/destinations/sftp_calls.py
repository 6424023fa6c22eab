"""Calls to one SFTP server: each on a session of its own, tried again where that helps, with errors in our words."""

from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from dataset_export.destinations.retry import with_retries
from dataset_export.destinations.sftp_answers import answer_meaning
from dataset_export.destinations.sftp_connections import Access, Connections, Use
from dataset_export.destinations.sftp_files import Files
from dataset_export.destinations.sftp_packets import Status
from dataset_export.destinations.sftp_session import Handle, Session

Answer = TypeVar("Answer")
Work = Callable[[Session], Awaitable[Answer]]


class SFTPCalls:
    """Calls to the server of `access` about the files below `root`. May be used from several threads."""

    def __init__(self, access: Access, root: str) -> None:
        self.files = Files(root, access.address)
        self.connections = Connections(access)
        self._root = root

    def uri(self, path: str) -> str:
        """`sftp://host:port/folder/path`, without the user."""
        return "/".join(filter(None, (self.connections.access.address, self._root.strip("/"), path)))

    def call(self, doing: str, path: str, work: Work[Answer]) -> Answer:
        """What `work` returns for a session, tried again as `retry.with_retries` says. Raises ExportError, and whatever
        `work` raises that is not of asyncssh or the operating system."""
        return with_retries(lambda: self.call_once(doing, path, work))

    def call_once(self, doing: str, path: str, work: Work[Answer]) -> Answer:
        """As `call`, with one try: for a caller that repeats more than the call."""

        async def on_a_session() -> Answer:
            async with self.connections.session() as session:
                return await self.translated(doing, path, session, work(session))

        return self.connections.run(on_a_session())

    def create(self, hidden: str) -> "OpenFile":
        """A new hidden file, opened for writing; see `Files.create`. Raises ExportError."""

        async def create(session: Session) -> tuple[Handle, Status]:
            await self.files.refuse_links(session, hidden.rpartition("/")[0])
            await self.files.require_publishing(session)
            return await self.files.create(session, hidden), Status(0, 0, 0)

        return with_retries(lambda: self.connections.run(self._opened("stage", hidden, create)))

    def open(self, path: str) -> "OpenFile":
        """A regular file, opened for reading. Raises FileNotFoundError and ExportError."""
        return with_retries(lambda: self.open_once(path))

    def open_once(self, path: str) -> "OpenFile":
        """As `open`, with one try."""

        async def open_file(session: Session) -> tuple[Handle, Status] | None:
            import asyncssh

            await self.files.refuse_links(session, path.rpartition("/")[0])
            status = await session.lstat(self.files.at(path))
            if status is None or not status.is_file:
                return None
            try:
                return await session.open(self.files.at(path)), status
            except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
                return None

        return self.connections.run(self._opened("read", path, open_file))

    async def translated(self, doing: str, path: str, session: Session, work: Awaitable[Answer]) -> Answer:
        """What `work` returns, or its error in our words."""
        import asyncssh

        try:
            return await work
        except (asyncssh.Error, OSError) as error:
            full = isinstance(error, asyncssh.SFTPFailure) and session.alive and await session.is_full(self.files.root)
            raise answer_meaning(error, doing, self.uri(path), full=full) from None

    async def _opened(self, doing: str, path: str, work: Work[tuple[Handle, Status] | None]) -> "OpenFile":
        use = await self.connections.acquire()
        try:
            opened = await self.translated(doing, path, use.session, work(use.session))
            if opened is None:
                raise _Missing
        except _Missing:
            self.connections.release(use)
            raise FileNotFoundError(f"{self.uri(path)} does not exist") from None
        except BaseException:
            self.connections.release(use)
            raise
        file, status = opened
        return OpenFile(self, path, use, file, status)


class _Missing(Exception):
    """There is no such file. Not an OSError, which would count as a broken connection."""


class OpenFile:
    """A file that is open on one session, which counts as used until `end`, `drop` or `forget`."""

    def __init__(self, calls: SFTPCalls, path: str, use: Use, file: Handle, status: Status) -> None:
        self.status = status
        self._calls = calls
        self._path = path
        self._use = use
        self._session = use.session
        self._file = file

    def begin_write(self, data: bytes | bytearray, offset: int) -> Future[None]:
        """Begin to write `data` at `offset`, which stays as it is meanwhile; errors of the future are ours."""
        return self._begin("stage", self._session.write(self._file, data, offset))

    def begin_read(self, size: int, offset: int) -> Future[bytes]:
        """Begin to read up to `size` bytes at `offset`; errors of the future are ours."""
        return self._begin("read", self._session.read(self._file, size, offset))

    def end(self) -> None:
        """Put what was written on disk and close. Raises ExportError; then only `drop` is left to do."""

        async def end() -> None:
            await self._session.sync(self._file)
            await self._session.close(self._file)

        self._begin("stage", end()).result()
        self._release()

    def drop(self) -> None:
        """Close and remove what was written. Raises ExportError."""

        async def close() -> None:
            with suppress(Exception):
                await self._session.close(self._file)

        try:
            self._calls.connections.run(close())
        finally:
            self._release()
        self._calls.call("remove what was staged for", self._path, self._removed)

    def forget(self) -> None:
        """Close without waiting for it."""

        async def close() -> None:
            with suppress(Exception):
                await self._session.close(self._file)

        self._calls.connections.begin(close())
        self._release()

    async def _removed(self, session: Session) -> None:
        await self._calls.files.remove(session, self._path)

    def _begin(self, doing: str, work: Coroutine[Any, Any, Answer]) -> Future[Answer]:
        return self._calls.connections.begin(self._calls.translated(doing, self._path, self._session, work))

    def _release(self) -> None:
        use, calls = self._use, self._calls

        async def release() -> None:
            calls.connections.release(use)

        calls.connections.run(release())
