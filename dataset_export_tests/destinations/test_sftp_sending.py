"""Bytes that go into a connection in packets of our own, or by asyncssh's way where that has to be: they arrive whole.

A server that took a packet which is encrypted wrongly would hang up, so what arrives says that each was right.
"""

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_export.destinations import sftp_sending, sftp_session
from dataset_export.destinations.sftp import SFTPDestination, SFTPStore
from dataset_export.destinations.sftp_sending import LibrarySender, _cut, sender
from dataset_export.errors import TransientError
from dataset_export_tests.destinations.contents import read, stage
from dataset_export_tests.destinations.sftp_stores import at_openssh
from dataset_export_tests.servers import asyncssh_server
from dataset_export_tests.servers import openssh as servers
from dataset_export_tests.servers.asyncssh_server import AsyncSSHServer, running_asyncssh_server
from dataset_export_tests.servers.openssh import OpenSSH

MIB = 1 << 20
MSG_IGNORE, CHANNEL_DATA = 2, 94
DATA = hashlib.shake_256(b"seed").digest(12 * MIB + 7)

running_openssh = partial(servers.running_openssh, kinds=["ssh-ed25519"])


@pytest.fixture
def by_asyncssh(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How many packets of each type asyncssh itself makes and sends."""
    sent, really_send = Counter[int](), asyncssh.SSHClientConnection.send_packet

    def send_packet(connection: Any, kind: int, *args: Any, **options: Any) -> None:
        sent[kind] += 1
        really_send(connection, kind, *args, **options)

    monkeypatch.setattr(asyncssh.SSHClientConnection, "send_packet", send_packet)
    return sent


def deliver(store: SFTPStore) -> None:
    staged = stage(store, "file", DATA)
    store.confirm(staged)
    store.publish(staged)
    assert read(store, "file") == DATA


@given(st.lists(st.binary(max_size=30), max_size=8), st.integers(1, 40))
def test_pieces(parts: list[bytes], most: int) -> None:
    pieces = list(_cut(parts, most))
    assert b"".join(b"".join(piece) for piece, _ in pieces) == b"".join(parts)
    assert [sum(map(len, piece)) for piece, _ in pieces] == [size for _, size in pieces]
    assert all(size == most for _, size in pieces[:-1])


def test_the_installed_asyncssh_is_one_whose_connections_are_known() -> None:
    """When this fails after an update: compare `send_packet` of its connection.py with `sftp_sending.py`, and how a channel
    counts its window; then name the version there."""
    assert asyncssh.__version__.startswith(sftp_sending.KNOWN_VERSIONS)


def test_another_version_is_left_to_send_by_itself(
    openssh: OpenSSH, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_asyncssh: Counter[int]
) -> None:
    monkeypatch.setattr(sftp_sending, "KNOWN_VERSIONS", ())
    assert isinstance(sender(None, None), LibrarySender)
    deliver(at_openssh(openssh, tmp_path))
    assert by_asyncssh[CHANNEL_DATA] > 12 * MIB // 32768


@pytest.mark.parametrize("cipher", sorted(sftp_sending.AUTHENTICATING))
def test_ciphers_with_authentication_need_nothing_to_ignore(
    tmp_path: Path, by_asyncssh: Counter[int], cipher: str
) -> None:
    with running_openssh(f"Ciphers {cipher}") as server:
        deliver(at_openssh(server, tmp_path))
    assert by_asyncssh[CHANNEL_DATA] == 0
    assert by_asyncssh[MSG_IGNORE] < 20  # before the login, and with the window that we give the server


@pytest.mark.parametrize("cipher", ["aes128-ctr"])
def test_other_ciphers_are_left_to_asyncssh(tmp_path: Path, by_asyncssh: Counter[int], cipher: str) -> None:
    with running_openssh(f"Ciphers {cipher}") as server:
        deliver(at_openssh(server, tmp_path))
    assert by_asyncssh[CHANNEL_DATA] > 12 * MIB // 32768
    assert by_asyncssh[MSG_IGNORE] > 12 * MIB // 32768


@pytest.fixture
def exchanges(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One for each exchange of keys."""
    done, really_send = list[None](), asyncssh.SSHClientConnection.send_newkeys

    def send_newkeys(connection: Any, *args: Any) -> None:
        done.append(None)
        really_send(connection, *args)

    monkeypatch.setattr(asyncssh.SSHClientConnection, "send_newkeys", send_newkeys)
    return done


class TestNewKeys:
    """Keys are exchanged while a file is on its way."""

    def test_when_the_server_wants_it(self, tmp_path: Path, exchanges: list[None]) -> None:
        with running_openssh("RekeyLimit 1M") as server:
            deliver(at_openssh(server, tmp_path))
        assert len(exchanges) >= 12

    @pytest.mark.parametrize(
        "limit", [{"rekey_bytes": 8 * MIB}, {"rekey_seconds": 0.05}], ids=lambda limit: next(iter(limit))
    )
    def test_when_asyncssh_wants_it(
        self,
        openssh: OpenSSH,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        exchanges: list[None],
        by_asyncssh: Counter[int],
        limit: dict[str, Any],
    ) -> None:
        monkeypatch.setattr(asyncssh, "connect", partial(asyncssh.connect, **limit))
        store = at_openssh(openssh, tmp_path)
        for _ in range(3):
            deliver(store)
            store.delete("file")
        assert len(exchanges) >= 4
        assert by_asyncssh[CHANNEL_DATA] < 3 * 12 * MIB // 32768  # most of it still goes directly


class TestSmallWindows:
    """A server that takes less than one request at a time."""

    @pytest.fixture(params=[1000, 33_000, 100_000])
    def server(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AsyncSSHServer]:
        (tmp_path / "served").mkdir()
        with running_asyncssh_server(tmp_path / "served", window=request.param, max_pktsize=9000) as server:
            yield server

    def test_delivered(self, server: AsyncSSHServer) -> None:
        store = at_own(server)
        data = DATA[:MIB]
        staged = stage(store, "file", data)
        store.publish(staged)
        assert read(store, "file") == data


def at_own(server: AsyncSSHServer) -> SFTPStore:
    store = SFTPDestination(
        host="127.0.0.1", port=server.port, username=asyncssh_server.USERNAME, folder="/in",
        password=asyncssh_server.PASSWORD, host_key_fingerprint=server.fingerprint, max_connections=1,
    ).store()  # fmt: skip
    assert isinstance(store, SFTPStore)
    return store


def test_files_that_share_a_connection(openssh: OpenSSH, tmp_path: Path) -> None:
    store = at_openssh(openssh, tmp_path, max_connections=1)
    with store.stage("a") as first, store.stage("b") as second:
        for at in range(0, len(DATA), 700_001):
            first.write(DATA[at : at + 700_001])
            second.write(DATA[at : at + 700_001][::-1])
    for upload in (first, second):
        store.publish(upload.staged)
    assert read(store, "a") == DATA
    assert hashlib.sha256(read(store, "b")).hexdigest() == second.staged.sha256


class TestSilence:
    """A server has time to answer as long as it says something."""

    @pytest.fixture
    def server(self, tmp_path: Path) -> Iterator[AsyncSSHServer]:
        (tmp_path / "served").mkdir()
        with running_asyncssh_server(tmp_path / "served") as server:
            yield server

    def test_slow_server(self, server: AsyncSSHServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sftp_session, "ANSWER_SECONDS", 1.0)
        server.behaviour.before_write = lambda _: time.sleep(0.02)
        staged = stage(at_own(server), "file", DATA[: 4 * MIB])
        assert staged.bytes == 4 * MIB

    def test_silent_server(self, server: AsyncSSHServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sftp_session, "ANSWER_SECONDS", 0.5)
        going_on = threading.Event()

        def wait(_: int) -> None:
            going_on.wait(20)

        server.behaviour.before_write = wait
        try:
            with pytest.raises(TransientError, match="no answer in time"):
                at_own(server)._calls.call_once("stage", "file", wrote)
        finally:
            going_on.set()


async def wrote(session: sftp_session.Session) -> None:
    file = await session.create("file")
    await session.write(file, b"rows", 0)
