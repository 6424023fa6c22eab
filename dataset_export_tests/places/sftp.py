"""A folder of OpenSSH's server."""

import posixpath
import socket
import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import paramiko
import pytest

from dataset_export.destinations.contract import Staged
from dataset_export.destinations.sftp import SFTPDestination
from dataset_export_tests.places.contract import Place, Witness
from dataset_export_tests.servers.openssh import OpenSSH


def open_place(request: pytest.FixtureRequest) -> Place:
    """A folder that does not exist yet."""
    server: OpenSSH = request.getfixturevalue("openssh")
    folder = f"{request.getfixturevalue('tmp_path')}/delivered"
    client = connect(server.port, server.username, key=f"{server.folder}/client")
    request.addfinalizer(client.close)
    return place_at(server, folder, ParamikoWitness(client.open_sftp(), folder))


def place_at(server: OpenSSH, folder: str, witness: Witness) -> Place:
    """The folder `folder` of `server`."""

    def destination(*, port: int = server.port, key: str = server.private_key) -> SFTPDestination:
        return SFTPDestination(
            host="127.0.0.1",
            port=port,
            username=server.username,
            folder=folder,
            private_key=key,
            # A fingerprint and no file: that would name the port, and a proxy has another one.
            host_key_fingerprint=server.fingerprint(),
            # By size alone, other bytes of the same size would not be seen.
            read_back_hash=True,
        )

    return Place(
        "sftp",
        destination(),
        witness,
        refused=destination(key=server.other_key),
        port=server.port,
        at_port=lambda other: destination(port=other),
    )


def connect(port: int, username: str, *, key: str | None = None, password: str | None = None) -> paramiko.SSHClient:
    """A client that is not ours. It trusts whoever listens there: the test has started that server."""
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    client.connect(
        "127.0.0.1", port, username, password=password, key_filename=key, allow_agent=False, look_for_keys=False
    )
    transport = client.get_transport()
    assert transport is not None
    # Else every small request waits for a delayed acknowledgement.
    transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


@dataclass(frozen=True)
class ParamikoWitness:
    """The folder, by paramiko."""

    client: Any
    folder: str
    lock: threading.Lock = field(default_factory=threading.Lock)

    def everything(self) -> list[str]:
        try:
            return sorted(self._below(self.folder))
        except FileNotFoundError:
            return []

    def plant(self, path: str, data: bytes) -> None:
        with self.lock:
            self._write(f"{self.folder}/{path}", data)

    def damage(self, staged: Staged) -> None:
        self._write(f"{self.folder}/{staged.handle['hidden']}", b"x" * staged.bytes)

    def _below(self, folder: str) -> Iterator[str]:
        for one in self.client.listdir_attr(folder):
            path = f"{folder}/{one.filename}"
            if stat.S_ISDIR(one.st_mode):
                yield from self._below(path)
            else:
                yield posixpath.relpath(path, self.folder)

    def _write(self, path: str, data: bytes) -> None:
        try:
            file = self.client.open(path, "wb")
        except FileNotFoundError:
            self._make(posixpath.dirname(path))
            file = self.client.open(path, "wb")
        with file:
            # Without this each write waits for the answer to the one before.
            file.set_pipelined(True)
            file.write(data)

    def _make(self, folder: str) -> None:
        try:
            self.client.mkdir(folder)
        except FileNotFoundError:
            self._make(posixpath.dirname(folder))
            self._make(folder)
        except OSError:
            self.client.stat(folder)  # there already, or this says what is wrong
