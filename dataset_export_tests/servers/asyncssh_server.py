"""An SFTP server of our own, for what others do not do: no extensions of OpenSSH, a rename that replaces, refused writes.

It runs in a thread, takes one user with one password, and serves one folder.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh
from asyncssh.sftp import SFTPServerHandler

USERNAME = "partner"
PASSWORD = "hunter2-hunter2"


@dataclass
class Behaviour:
    """What the server does; may be changed while it runs.

    Attributes:
        rename_replaces: whether a rename to a name that is taken replaces.
        before_write: called before each write, with its offset; may raise what the client shall get.
        after_rename: called after each rename, before its answer; may raise.
    """

    rename_replaces: bool = False
    before_write: Callable[[int], None] = lambda _: None
    after_rename: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class AsyncSSHServer:
    """A running server."""

    port: int
    folder: Path
    fingerprint: str
    behaviour: Behaviour = field(default_factory=Behaviour)
    connections: list[Any] = field(default_factory=list[Any])

    def cut_connections(self) -> None:
        """Break all connections of now. To be called by the server's own thread, as the functions of `Behaviour` are."""
        for connection in self.connections:
            connection.abort()


@contextmanager
def running_asyncssh_server(folder: Path, **options: Any) -> Iterator[AsyncSSHServer]:
    """Serve `folder` as `/`, without extensions of SFTP version 3, until the end of the block. `options` are more
    arguments of `asyncssh.listen`."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    behaviour, connections, ready, ended = Behaviour(), list[Any](), threading.Event(), threading.Event()
    loop = asyncio.new_event_loop()
    ports: list[int] = []

    class Login(asyncssh.SSHServer):
        def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
            connections.append(conn)

        def begin_auth(self, username: str) -> bool:
            return True

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return (username, password) == (USERNAME, PASSWORD)

    class Files(asyncssh.SFTPServer):
        def __init__(self, channel: Any) -> None:
            super().__init__(channel, chroot=os.fsencode(folder))

        def write(self, file_obj: Any, offset: int, data: bytes) -> Any:
            behaviour.before_write(offset)
            return super().write(file_obj, offset, data)

        def rename(self, oldpath: bytes, newpath: bytes) -> Any:
            if behaviour.rename_replaces:
                os.replace(self.map_path(oldpath), self.map_path(newpath))  # noqa: PTH105
            else:
                super().rename(oldpath, newpath)
            behaviour.after_rename()

    async def serve() -> None:
        server = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[key],
            server_factory=Login,
            sftp_factory=Files,
            allow_scp=False,
            **options,
        )
        ports.append(server.get_port())
        ready.set()
        while not ended.is_set():
            await asyncio.sleep(0.02)
        server.close()
        for connection in connections:
            connection.abort()
        await asyncio.sleep(0.05)

    extensions, SFTPServerHandler._extensions = SFTPServerHandler._extensions, []
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), name="asyncssh-server")
    thread.start()
    try:
        assert ready.wait(30)
        yield AsyncSSHServer(ports[0], folder, key.get_fingerprint(), behaviour, connections)
    finally:
        ended.set()
        thread.join()
        loop.close()
        SFTPServerHandler._extensions = extensions
