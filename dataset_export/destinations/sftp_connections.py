"""Connections to one SFTP server: a bounded number of them, on an event loop in a thread of its own.

Whoever needs a session gets one that nobody uses, or a new connection while there may be more, or shares one: requests
of several files travel over a connection side by side, so nobody ever waits for another's end.
"""

import asyncio
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Coroutine
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from dataset_export.destinations.library_logs import keep_secrets_out_of_logs
from dataset_export.destinations.sftp_answers import answer_meaning, session_meaning
from dataset_export.destinations.sftp_client import SFTPClient
from dataset_export.destinations.sftp_host_keys import HostKeys
from dataset_export.destinations.sftp_session import Session
from dataset_export.errors import AccessDenied, ConfigError, ExportError, TransientError
from dataset_export.secret_refs import revealed

if TYPE_CHECKING:
    from asyncssh import SSHClientConnection, SSHKey

CONNECT_SECONDS = 20.0
LOGIN_SECONDS = 30.0
SESSION_SECONDS = 30.0
"""How long a server may take, after the login, until SFTP is spoken."""
KEEPALIVE_SECONDS = 15.0
KEEPALIVES_UNANSWERED = 3
REST_SECONDS = 30.0
"""How long a further connection is not tried again after the server refused one, while others work."""
CIPHERS = "^aes128-gcm@openssh.com"
"""The fastest here comes first; asyncssh's own order follows."""

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Access:
    """Whom to reach, and as whom. Secrets are read when a connection is made, see `secret_refs.revealed`."""

    host: str
    port: int
    username: str
    password: str | None = field(default=None, repr=False)
    private_key: str | None = field(default=None, repr=False)
    passphrase: str | None = field(default=None, repr=False)
    known_hosts: str | None = None
    host_key_fingerprint: str | None = None
    max_connections: int = 4

    @property
    def address(self) -> str:
        """`sftp://host:port`, without the user."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"sftp://{host}:{self.port}"


@dataclass(eq=False)
class Slot:
    """Room for one connection: how many use it, and the session while there is one."""

    users: int = 0
    session: Session | None = None
    rests_until: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def alive(self) -> bool:
        return self.session is not None and self.session.alive


class Use(NamedTuple):
    """A session, and the slot that counts its use."""

    slot: Slot
    session: Session


class Connections:
    """Sessions with one server. May be used from several threads; see `run`.

    The thread begins with the first use and ends when this object is no longer used.
    """

    def __init__(self, access: Access) -> None:
        self.access = access
        self._host_keys = HostKeys(
            access.host, access.port, known_hosts=access.known_hosts, fingerprint=access.host_key_fingerprint
        )
        self._slots = [Slot() for _ in range(access.max_connections)]
        self._loop: asyncio.AbstractEventLoop | None = None
        self._beginning = threading.Lock()

    def run(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Run `work` on the event loop and wait for what it returns or raises."""
        running = self.begin(work)
        try:
            return running.result()
        except BaseException:
            running.cancel()  # matters when the waiting itself was interrupted
            raise

    def begin(self, work: Coroutine[Any, Any, Answer]) -> Future[Answer]:
        """Begin to run `work` on the event loop."""
        return asyncio.run_coroutine_threadsafe(work, self._ready_loop())

    @asynccontextmanager
    async def session(self) -> AsyncGenerator[Session]:
        """A session, for the length of the block. Raises ExportError when there is no connection to be had."""
        use = await self.acquire()
        try:
            yield use.session
        finally:
            self.release(use)

    async def acquire(self) -> Use:
        """A live session; to be given to `release`. Raises ExportError."""
        slot = min(self._slots, key=self._preference)
        try:
            return await self._in(slot)
        except ExportError as error:
            other = await self._other(slot, wait=isinstance(error, TransientError))
            if other is None:
                raise
            slot.rests_until = time.monotonic() + REST_SECONDS
            return await self._in(other)

    def release(self, use: Use) -> None:
        """End a use that `acquire` began."""
        use.slot.users -= 1

    async def _in(self, slot: Slot) -> Use:
        slot.users += 1
        try:
            async with slot.lock:
                if slot.session is None or not slot.session.alive:
                    slot.session = await self._connect()
                return Use(slot, slot.session)
        except BaseException:
            slot.users -= 1
            raise

    async def _other(self, failed: Slot, *, wait: bool) -> Slot | None:
        """Another slot, with a connection. With `wait` those that are being made count too: a server that lets one in at a
        time hangs up on the others meanwhile."""
        others = [one for one in self._slots if one is not failed]
        while not (alive := [one for one in others if one.alive]):
            coming = next((one for one in others if one.lock.locked()), None)
            if coming is None or not wait:
                return None
            others.remove(coming)
            async with coming.lock:
                if coming.alive:
                    return coming
        return min(alive, key=self._preference)

    @staticmethod
    def _preference(slot: Slot) -> tuple[bool, int, bool]:
        """Smallest first: nothing that rests, then the least used, then one that is connected."""
        return (not slot.alive and slot.rests_until > time.monotonic(), slot.users, not slot.alive)

    async def _connect(self) -> Session:
        connection = await self._log_in()
        try:
            client = await asyncio.wait_for(SFTPClient.begin(connection), SESSION_SECONDS)
        except BaseException as error:
            connection.abort()
            if not isinstance(error, Exception):
                raise
            raise session_meaning(error, self._who) from None
        return Session(connection, client)

    async def _log_in(self) -> "SSHClientConnection":
        """Ask for one kind of host key after the other until the server shows a trusted one."""
        import asyncssh

        keep_secrets_out_of_logs()
        shown: list[str] = []
        failed = Exception("no kind of host key to ask for")
        for algorithms in self._host_keys.attempts():
            options = self._host_keys.options(shown)
            try:
                connection = await asyncssh.connect(
                    self.access.host,
                    self.access.port,
                    username=self.access.username,
                    server_host_key_algs=algorithms,
                    encryption_algs=CIPHERS,
                    connect_timeout=CONNECT_SECONDS,
                    login_timeout=LOGIN_SECONDS,
                    keepalive_interval=KEEPALIVE_SECONDS,
                    keepalive_count_max=KEEPALIVES_UNANSWERED,
                    # Nothing from this machine's own SSH configuration, agent or keys.
                    config=None,
                    agent_path=None,
                    gss_host=None,
                    **self._credentials(),
                    **options,
                )
            except (asyncssh.HostKeyNotVerifiable, asyncssh.KeyExchangeFailed) as error:
                failed = error
            except (asyncssh.Error, OSError) as error:
                # No cause: what a library keeps of a login is not for logs.
                raise answer_meaning(error, "log in to", self._who) from None
            else:
                self._host_keys.found(algorithms)
                return connection
        if shown:
            raise self._host_keys.refusal(shown)
        raise answer_meaning(failed, "agree on a cipher or host key with", self.access.address) from None

    @property
    def _who(self) -> str:
        return f"{self.access.address} as {self.access.username}"

    def _credentials(self) -> dict[str, Any]:
        key = revealed(self.access.private_key)
        return {
            "password": revealed(self.access.password),
            "client_keys": [self._import_key(key)] if key is not None else None,
        }

    def _import_key(self, key: str) -> "SSHKey":
        import asyncssh

        passphrase = revealed(self.access.passphrase)
        try:
            return asyncssh.import_private_key(f"{key}\n", passphrase)
        except asyncssh.KeyEncryptionError:
            what = (
                "does not open with its passphrase" if passphrase is not None else "is encrypted: give its passphrase"
            )
            failed: ConfigError = AccessDenied(f"the private key for {self._who} {what}")
        except asyncssh.KeyImportError:
            failed = ConfigError(
                f"the private key for {self._who} cannot be read: give one in OpenSSH's or in PEM format, and the "
                "passphrase if it has one"
            )
        raise failed

    def _ready_loop(self) -> asyncio.AbstractEventLoop:
        with self._beginning:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                thread = threading.Thread(
                    target=_serve, args=(self._loop,), name=f"sftp-{self.access.host}", daemon=True
                )
                thread.start()
                weakref.finalize(self, _end, self._loop, thread, self._slots)
            return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def _end(loop: asyncio.AbstractEventLoop, thread: threading.Thread, slots: list[Slot]) -> None:
    """Close what is open and let the thread end; called when nobody has the connections any more, and at exit."""

    async def close() -> None:
        for slot in slots:
            if slot.session is not None:
                slot.session.abort()
        # The transports report that they are closed in the next turns of the loop.
        await asyncio.sleep(0.05)
        loop.stop()

    asyncio.run_coroutine_threadsafe(close(), loop)
    if thread is not threading.current_thread():
        thread.join(5)
