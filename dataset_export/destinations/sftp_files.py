"""What a store does with the files of an SFTP server: names that never replace, folders that come and go, listings.

Paths are those of the server. Nothing here follows a symbolic link below the destination's folder. Errors are
asyncssh's, or ours where something is decided here.
"""

import asyncio
import enum
import posixpath
import secrets
from contextlib import suppress

from dataset_export.destinations.contract import HIDDEN_FOLDER
from dataset_export.destinations.filesystem import PRUNING_TRIES
from dataset_export.destinations.local import PUT_SUFFIX, STAGING
from dataset_export.destinations.sftp_packets import Status
from dataset_export.destinations.sftp_session import Handle, Session
from dataset_export.errors import ConfigError, Conflict

LISTINGS_AT_ONCE = 16


class Named(enum.Enum):
    """What came of giving a staged file its visible name."""

    DONE = enum.auto()
    TAKEN = enum.auto()
    GONE = enum.auto()


class Files:
    """The files below the folder `root` of a server ("" is the folder one arrives in after login)."""

    def __init__(self, root: str, address: str) -> None:
        self.root = root or "."
        self._address = address
        self._rename_is_safe = False
        self._can_publish = False

    def at(self, path: str) -> str:
        """The server's path of `path`, which is relative to the root."""
        return posixpath.join(self.root, path) if path else self.root

    async def refuse_links(self, session: Session, path: str) -> None:
        """Raise ConfigError when a folder on the way to `path`, or the folder `path` itself, is a symbolic link.

        All of them are refused, not only those that lead out: where a link leads cannot be told on every server.
        """
        parts = path.split("/") if path else []
        below = ["/".join(parts[: length + 1]) for length in range(len(parts))]
        found = await asyncio.gather(*(session.lstat(self.at(one)) for one in below))
        for one, status in zip(below, found, strict=True):
            if status is not None and status.is_link:
                raise ConfigError(
                    f"{path!r} goes through the symbolic link {one!r} of {self._address}, which may leave the folder of "
                    "the destination: remove the link"
                )

    async def require_publishing(self, session: Session) -> None:
        """See, once, that the server can give a file a name without replacing another, before anything is sent.

        Raises:
            ConfigError: when it cannot.
        """
        import asyncssh

        if self._can_publish:
            return
        nothing = self.at(f"{STAGING}/{secrets.token_hex(16)}")
        try:
            await session.link(nothing, f"{nothing}.too")
        except asyncssh.SFTPOpUnsupported:
            await self._require_safe_rename(session)
        except asyncssh.SFTPError:
            if not session.alive:
                raise
        self._can_publish = True

    async def create(self, session: Session, hidden: str) -> Handle:
        """A new file in place of a leftover of that name. An earlier worker that still has the old file open goes on
        writing to a file without a name, not to ours."""
        import asyncssh

        for tried in range(PRUNING_TRIES):
            try:
                await self._remove_file(session, hidden)
                return await session.create(self.at(hidden))
            except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
                # The folder is not there yet, or a neighbour removed it because it was empty.
                if tried == PRUNING_TRIES - 1:
                    raise
                await self._make_folder(session, self.at(posixpath.dirname(hidden)))
        raise AssertionError

    async def reveal(self, session: Session, source: str, target: str) -> Named:
        """Give the staged file `source` the visible name `target`, in one step that replaces nothing."""
        import asyncssh

        for tried in range(PRUNING_TRIES):
            try:
                await self._name(session, source, target)
            except asyncssh.SFTPError as error:
                if not session.alive:
                    raise
                if await session.lstat(self.at(target)) is not None:
                    return Named.TAKEN
                if await session.lstat(self.at(source)) is None:
                    return Named.GONE
                missing = isinstance(error, (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath))
                if not missing or tried == PRUNING_TRIES - 1:
                    raise
                await self._make_folder(session, self.at(posixpath.dirname(target)))
            else:
                return Named.DONE
        raise AssertionError

    async def replace(self, session: Session, source: str, target: str) -> Named:
        """As `reveal`, but an existing file is replaced, in one step as well.

        Where the server has no such request, nothing is replaced: between removing the old file and naming the new one
        a reader would find none, and after a crash nobody would.
        """
        import asyncssh

        for tried in range(PRUNING_TRIES):
            try:
                await session.posix_rename(self.at(source), self.at(target))
            except asyncssh.SFTPOpUnsupported:
                return await self.reveal(session, source, target)
            except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
                if await session.lstat(self.at(source)) is None:
                    return Named.GONE
                if tried == PRUNING_TRIES - 1:
                    raise
                await self._make_folder(session, self.at(posixpath.dirname(target)))
            else:
                return Named.DONE
        raise AssertionError

    async def remove(self, session: Session, path: str) -> None:
        """Remove a file, and the folders that this leaves empty. A folder of that name stays."""
        status = await session.lstat(self.at(path))
        if status is not None and status.is_folder:
            return
        if status is not None:
            await self._remove_file(session, path)
        await self._prune(session, posixpath.dirname(path))

    async def below(self, session: Session, folder: str, *, staging: bool = False) -> list[tuple[str, Status]]:
        """Regular files below `folder`, in path order. Staged ones only with `staging`, those of the hidden folder only
        when `folder` lies in it."""
        skipped = set[str]() if staging else {STAGING}
        if not f"{folder}/".startswith(f"{HIDDEN_FOLDER}/"):
            skipped.add(HIDDEN_FOLDER)
        if any(f"{folder}/".startswith(f"{one}/") for one in skipped):
            return []
        found: list[tuple[str, Status]] = []
        limit = asyncio.Semaphore(LISTINGS_AT_ONCE)

        async def collect(folder: str) -> None:
            async with limit:
                names = await self._names(session, folder)
            inner: list[str] = []
            for name, status in names.items():
                path = f"{folder}/{name}" if folder else name
                if status is not None and status.is_folder and path not in skipped:
                    inner.append(path)
                elif status is not None and status.is_file:
                    found.append((path, status))
            await asyncio.gather(*(collect(one) for one in inner))

        await collect(folder)
        return sorted(found)

    async def _name(self, session: Session, source: str, target: str) -> None:
        """A second name is the one thing that never replaces on any server; else SFTP's rename, where it was seen to
        keep to its specification."""
        import asyncssh

        try:
            await session.link(self.at(source), self.at(target))
        except asyncssh.SFTPOpUnsupported:
            pass
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
            raise
        except asyncssh.SFTPError:
            if not session.alive or await session.lstat(self.at(target)) is not None:
                raise
            # The filesystem behind the server has no hard links, or the server's answer is that it may not.
        else:
            return
        await self._require_safe_rename(session)
        await session.rename(self.at(source), self.at(target))

    async def _require_safe_rename(self, session: Session) -> None:
        """See, once, what the server does with a rename to a name that is taken: some servers replace."""
        import asyncssh

        if self._rename_is_safe:
            return
        names = [f"{STAGING}/probe.{secrets.token_hex(8)}{PUT_SUFFIX}" for _ in range(2)]
        try:
            for name in names:
                await session.close(await self.create(session, name))
            try:
                await session.rename(self.at(names[0]), self.at(names[1]))
            except asyncssh.SFTPError:
                self._rename_is_safe = await session.lstat(self.at(names[0])) is not None
        finally:
            if session.alive:
                for name in names:
                    await self.remove(session, name)
        if not self._rename_is_safe:
            raise ConfigError(
                f"the server {self._address} replaces files when it renames, and has no hardlink@openssh.com, so nothing "
                "can be published there safely: deliver to another server, or have its operator forbid that"
            )

    async def _make_folder(self, session: Session, folder: str) -> None:
        """Make a folder of the server and those above it. There already: returns. When a neighbour removes one of them
        again it may be missing afterwards: the caller finds out and comes back."""
        import asyncssh

        try:
            await self._make_one(session, folder)
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
            above = posixpath.dirname(folder)
            if above in {"", folder}:
                raise
            await self._make_folder(session, above)
            with suppress(asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
                await self._make_one(session, folder)

    async def _make_one(self, session: Session, folder: str) -> None:
        """Make a folder in one that exists. There already: returns."""
        import asyncssh

        for tried in range(PRUNING_TRIES):
            try:
                await session.mkdir(folder)
            except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
                raise
            except asyncssh.SFTPError as error:
                if await self._is_folder(session, folder):
                    return
                # It was there and a neighbour removed it, or it cannot be made: few servers tell the two apart.
                vanished = session.alive and isinstance(error, (asyncssh.SFTPFailure, asyncssh.SFTPFileAlreadyExists))
                if not vanished or tried == PRUNING_TRIES - 1:
                    raise
            else:
                return

    async def _is_folder(self, session: Session, folder: str) -> bool:
        """Whether there is this folder of the server. Raises Conflict when there is something else."""
        status = await session.stat(folder) if session.alive else None
        if status is not None and not status.is_folder:
            raise Conflict(
                f"{folder} of {self._address} is a file and has the name of a folder that is needed: move it away"
            )
        return status is not None

    async def _names(self, session: Session, folder: str) -> dict[str, Status | None]:
        import asyncssh

        try:
            return await session.names(self.at(folder))
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath, asyncssh.SFTPNotADirectory):
            return {}
        except asyncssh.SFTPFailure:
            status = await session.lstat(self.at(folder)) if session.alive else None
            if status is None or status.is_folder:
                raise
            return {}

    async def _remove_file(self, session: Session, path: str) -> None:
        import asyncssh

        try:
            await session.remove(self.at(path))
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
            return

    async def _prune(self, session: Session, folder: str) -> None:
        """Remove `folder` and those above it as long as they are empty. A server says of a folder that is not empty, or
        that the account may not remove, that it stays; more is not asked."""
        import asyncssh

        while folder:
            try:
                await session.rmdir(self.at(folder))
            except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
                pass
            except asyncssh.SFTPError:
                if not session.alive:
                    raise
                return
            folder = posixpath.dirname(folder)
