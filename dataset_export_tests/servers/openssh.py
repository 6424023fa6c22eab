"""A real OpenSSH server for the tests: sshd on loopback, as the user of this process, with keys of its own.

It logs in that user by key only; passwords need root and an account of the system. See `install.sh` for the packages.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from getpass import getuser
from pathlib import Path

import asyncssh
import psutil

from dataset_export_tests.servers.weed import free_ports

START_TIMEOUT = 30.0
PASSPHRASE = "correct horse battery staple"
SERVER_KEYS = ("ssh-ed25519", "ssh-rsa")


@dataclass(frozen=True)
class OpenSSH:
    """A running server. `folder` holds its configuration, and is the folder that logins see as any other."""

    port: int
    pid: int
    folder: Path
    username: str
    kinds: Sequence[str] = SERVER_KEYS

    @property
    def private_key(self) -> str:
        """A key that it lets in."""
        return (self.folder / "client").read_text()

    @property
    def encrypted_key(self) -> str:
        """The same, encrypted with `PASSPHRASE`."""
        key = asyncssh.read_private_key(self.folder / "client")
        return key.export_private_key(passphrase=PASSPHRASE, rounds=50).decode()

    @property
    def other_key(self) -> str:
        """A key that it does not let in."""
        return (self.folder / "stranger").read_text()

    def fingerprint(self, kind: str = SERVER_KEYS[0]) -> str:
        """Of its host key."""
        return asyncssh.read_public_key(self.folder / f"{kind}.pub").get_fingerprint()

    def known_hosts(self, kind: str = SERVER_KEYS[0]) -> str:
        """A line of known_hosts."""
        return f"[127.0.0.1]:{self.port} {(self.folder / f'{kind}.pub').read_text()}"

    @contextmanager
    def other_host_keys(self) -> Iterator[None]:
        """Show other host keys to whoever connects in this block."""
        with tempfile.TemporaryDirectory(dir=self.folder) as kept:
            names = [name for kind in self.kinds for name in (kind, f"{kind}.pub")]
            for name in names:
                (self.folder / name).rename(f"{kept}/{name}")
            _write_host_keys(self.folder, self.kinds)
            try:
                yield
            finally:
                for name in names:
                    Path(f"{kept}/{name}").replace(self.folder / name)

    def log(self) -> str:
        """What it wrote since the start or `clear_log`."""
        return (self.folder / "log").read_text()

    def clear_log(self) -> None:
        """Forget what it wrote."""
        (self.folder / "log").write_text("")

    def sessions(self) -> list[psutil.Process]:
        """Its children: what serves each connection."""
        return psutil.Process(self.pid).children()

    def cut_connections(self) -> int:
        """Kill what serves the connections of now; returns how many there were."""
        cut = self.sessions()
        for session in cut:
            # Some end by themselves meanwhile.
            with suppress(psutil.NoSuchProcess):
                for process in (*session.children(recursive=True), session):
                    process.kill()
        return len(cut)


@contextmanager
def running_openssh(
    *options: str, username: str | None = None, kinds: Sequence[str] = SERVER_KEYS
) -> Iterator[OpenSSH]:
    """Start the server, with more lines of configuration and host keys of these kinds (one of ssh-rsa takes a second to
    make), wait until it listens, and stop it by its pid."""
    sshd = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if sshd is None:
        raise RuntimeError("sshd is not installed: run `make servers`, or install the package openssh-server")
    folder = Path(tempfile.mkdtemp(prefix="openssh-"))
    folder.chmod(0o755)
    [port] = free_ports(1)
    _write_host_keys(folder, kinds)
    _write_keys(folder)
    (folder / "sshd_config").write_text("\n".join([*_configuration(folder, port, kinds), *options, ""]))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    command = [sshd, "-D", "-f", str(folder / "sshd_config"), "-E", str(folder / "log")]
    process = subprocess.Popen(command, start_new_session=True)
    server = OpenSSH(port, process.pid, folder, username or getuser(), kinds)
    try:
        wait_until_listening(port, process, folder / "log")
        yield server
    finally:
        server.cut_connections()
        process.send_signal(signal.SIGKILL)
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def wait_until_listening(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Return as soon as `port` of 127.0.0.1 takes connections; RuntimeError when the server ends or takes too long."""
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text()[-2000:] if log.exists() else "nothing"
                raise RuntimeError(f"{process.args!r} did not start: {error}; its log ends: {said}") from error
            time.sleep(0.02)


def _write_host_keys(folder: Path, kinds: Sequence[str]) -> None:
    for kind in kinds:
        key = asyncssh.generate_private_key(kind)
        key.write_private_key(folder / kind)
        key.write_public_key(folder / f"{kind}.pub")
        (folder / kind).chmod(0o600)


def _write_keys(folder: Path) -> None:
    client = asyncssh.generate_private_key("ssh-ed25519")
    client.write_private_key(folder / "client")
    client.write_public_key(folder / "authorized_keys")
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(folder / "stranger")


def _configuration(folder: Path, port: int, kinds: Sequence[str]) -> Sequence[str]:
    return (
        f"Port {port}",
        "ListenAddress 127.0.0.1",
        *(f"HostKey {folder / kind}" for kind in kinds),
        f"PidFile {folder / 'pid'}",
        f"AuthorizedKeysFile {folder / 'authorized_keys'}",
        "StrictModes no",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "UsePAM no",
        "PermitRootLogin yes",
        "MaxStartups 100",
        "Subsystem sftp internal-sftp",
    )
