"""What an OpenSSH server may be configured to deny: connections, sessions, idleness, the right to write."""

import os
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Barrier

import pytest

from dataset_export.destinations import sftp_connections
from dataset_export.destinations.sftp import SFTPStore
from dataset_export.errors import AccessDenied, ConfigError, TransientError
from dataset_export_tests.destinations.contents import read, stage
from dataset_export_tests.destinations.sftp_stores import at_openssh, files
from dataset_export_tests.servers import openssh as servers
from dataset_export_tests.servers.openssh import OpenSSH

MIB = 1 << 20
AT_ONCE = 6

running_openssh = partial(servers.running_openssh, kinds=["ssh-ed25519"])


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataset_export.destinations.retry.FIRST_WAIT_SECONDS", 0.01)


def deliver_at_once(store: SFTPStore) -> None:
    """Stage files from several threads that begin together, all open at one time, and publish each."""
    begin, staged = Barrier(AT_ONCE), Barrier(AT_ONCE)

    def deliver(number: int) -> None:
        begin.wait(30)
        with store.stage(f"part-{number}") as upload:
            upload.write(bytes([number]) * MIB)
            staged.wait(30)
        store.confirm(upload.staged)
        store.publish(upload.staged)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(deliver, range(AT_ONCE)))
    for number in range(AT_ONCE):
        assert read(store, f"part-{number}") == bytes([number]) * MIB


@contextmanager
def nobody_else_logs_in(server: OpenSSH) -> Iterator[None]:
    """Take the only place (MaxStartups 1) of those who are about to log in."""
    deadline = time.monotonic() + 10
    while True:
        with socket.create_connection(("127.0.0.1", server.port)) as stranger:
            if stranger.recv(4) == b"SSH-":
                yield
                return
        assert time.monotonic() < deadline


class TestFewerConnections:
    """The destination may use 4; the server allows fewer."""

    @pytest.mark.parametrize(
        "options", [("MaxSessions 1",), ("MaxStartups 1",), ("MaxSessions 1", "PerSourceMaxStartups 1")], ids=" ".join
    )
    def test_delivered(self, tmp_path: Path, options: tuple[str, ...]) -> None:
        """With MaxStartups all but one of the connections that are made at once are hung up on."""
        with running_openssh(*options) as server:
            store = at_openssh(server, tmp_path, max_connections=4)
            deliver_at_once(store)
            assert 1 <= len(server.sessions()) <= 4

    def test_delivered_over_a_single_one(self, tmp_path: Path) -> None:
        with running_openssh("MaxStartups 1") as server:
            store = at_openssh(server, tmp_path, max_connections=4)
            store.check()
            with nobody_else_logs_in(server):
                deliver_at_once(store)
                assert len(server.sessions()) == 2

    def test_no_connection_at_all_is_transient(self, tmp_path: Path) -> None:
        with running_openssh("MaxStartups 1") as server:
            store = at_openssh(server, tmp_path)
            with nobody_else_logs_in(server), pytest.raises(TransientError, match="log in"):
                store.check()

    def test_no_session_at_all(self, tmp_path: Path) -> None:
        with running_openssh("MaxSessions 0") as server, pytest.raises(ConfigError, match="MaxSessions"):
            at_openssh(server, tmp_path).check()

    def test_account_without_sftp(self, tmp_path: Path) -> None:
        command = "ForceCommand /bin/echo This account is closed."
        with running_openssh(command) as server, pytest.raises(ConfigError, match="gets no SFTP session"):
            at_openssh(server, tmp_path).check()

    def test_session_that_never_begins(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sftp_connections, "SESSION_SECONDS", 0.1)
        with running_openssh("ForceCommand /bin/sleep 30") as server:
            store = at_openssh(server, tmp_path)
            with pytest.raises(TransientError, match="no SFTP session: no answer in time"):
                store.check()


CALLS: dict[str, Callable[[SFTPStore], object]] = {
    "check": lambda store: store.check(),
    "stage": lambda store: stage(store, "new", b"rows"),
    "put": lambda store: store.put("new", b"rows"),
    "replace": lambda store: store.put("file", b"other", replace=True),
    "list": lambda store: list(store.list("")),
    "leftovers": lambda store: list(store.leftovers()),
    "open": lambda store: read(store, "file"),
    "delete": lambda store: store.delete("file"),
}


class TestDroppedConnection:
    """The server ends a connection that nothing was said on; the next call makes a new one."""

    @pytest.mark.parametrize("call", [*CALLS, "confirm", "publish", "discard"])
    def test_next_call_connects_again(self, openssh: OpenSSH, tmp_path: Path, call: str) -> None:
        store = at_openssh(openssh, tmp_path, max_connections=1)
        store.put("file", b"rows")
        staged = stage(store, "staged", b"rows")
        [slot] = store._calls.connections._slots
        dropped = slot.session
        assert openssh.cut_connections() >= 1
        act = partial(CALLS[call], store) if call in CALLS else partial(getattr(store, call), staged)
        act()
        assert slot.session is not dropped

    def test_idle_session(self, tmp_path: Path) -> None:
        """The connection stays and the session on it ends."""
        with running_openssh("ChannelTimeout session:*=1s") as server:
            store = at_openssh(server, tmp_path, max_connections=1)
            store.put("first", b"rows")
            [slot] = store._calls.connections._slots
            before = slot.session
            time.sleep(3)
            store.put("second", b"rows")
            assert slot.session is not before
            assert files(tmp_path) == ["first", "second"]


class TestNoWritePermission:
    """The way out is named, and the error is one that is not tried again."""

    WAY_OUT = "give the account the right to list, write and delete there"

    @pytest.fixture
    def server(self) -> Iterator[OpenSSH]:
        """Root may write anywhere, so root's server lets another account in."""
        with running_openssh(username="nobody" if os.geteuid() == 0 else None) as server:
            yield server

    @pytest.fixture
    def folder(self, server: OpenSSH) -> Path:
        """A folder that the account may read."""
        folder = server.folder / "served"
        (folder / "kept").mkdir(parents=True)
        (folder / "kept" / "file").write_bytes(b"theirs")
        for one in (folder, folder / "kept"):
            one.chmod(0o555)
        return folder

    @pytest.mark.parametrize("path", ["file", "kept/file"])
    def test_account(self, server: OpenSSH, folder: Path, path: str) -> None:
        store = at_openssh(server, folder)
        store.check()
        assert read(store, "kept/file") == b"theirs"
        for attempt in (
            lambda: stage(store, f"{path}.new", b"rows"),
            lambda: store.put(f"{path}.new", b"rows"),
            lambda: store.put(path, b"rows", replace=True),
            lambda: store.delete("kept/file"),
        ):
            with pytest.raises(AccessDenied, match=self.WAY_OUT) as caught:
                attempt()
            assert f"127.0.0.1:{server.port}" in str(caught.value)
        assert files(folder) == ["kept/file"]

    def test_only_the_visible_folder_is_closed(self, server: OpenSSH, folder: Path) -> None:
        folder.chmod(0o777)
        store = at_openssh(server, folder)
        staged = stage(store, "kept/new", b"rows")
        with pytest.raises(AccessDenied, match=self.WAY_OUT):
            store.publish(staged)
        store.discard(staged)
        assert files(folder) == ["kept/file"]

    def test_server_for_reading_only(self, tmp_path: Path) -> None:
        with running_openssh("ForceCommand internal-sftp -R") as server:
            store = at_openssh(server, tmp_path)
            store.check()
            with pytest.raises(AccessDenied, match=self.WAY_OUT):
                stage(store, "file", b"rows")
