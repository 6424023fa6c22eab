"""A real Azure Blob server for the tests: Azurite, Microsoft's emulator, on loopback with a fresh data folder.

It is a package of npm and runs on the node of the virtual environment. The first use installs it beside that, from the
lock in `servers/azurite`; `python -m dataset_export_tests.servers.azurite` only installs it.
"""

import base64
import fcntl
import filecmp
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dataset_export_tests.servers.weed import free_ports

ACCOUNT = "exporttests"
KEY = base64.b64encode(secrets.token_bytes(64)).decode()
PACKAGE = Path(__file__).parent / "azurite"
INSTALLED = Path(sys.prefix) / "azurite"
CORRECTIONS = "like_the_service.js"
START_TIMEOUT = 60.0


@dataclass(frozen=True)
class Azurite:
    """A running server. `endpoint` is the URL of its one account."""

    endpoint: str

    @property
    def port(self) -> int:
        """Its port on 127.0.0.1."""
        return int(self.endpoint.rpartition(":")[2].partition("/")[0])

    def client(self, container: str) -> Any:
        """A ContainerClient with the key of the account."""
        from azure.storage.blob import ContainerClient

        return ContainerClient(
            self.endpoint, container, credential={"account_name": ACCOUNT, "account_key": KEY}, retry_total=0
        )

    def create_container(self) -> str:
        """Create a container and return its name."""
        name = f"c{secrets.token_hex(8)}"
        with self.client(name) as client:
            client.create_container()
        return name

    def sas(self, container: str, permissions: str = "rwdl", *, lasts: timedelta = timedelta(hours=1)) -> str:
        """A shared access signature for a container, from an hour before now; negative `lasts` have expired."""
        from azure.storage.blob import generate_container_sas

        now = datetime.now(UTC)
        return generate_container_sas(
            ACCOUNT, container, account_key=KEY, permission=permissions, start=now - timedelta(hours=1),
            expiry=now + lasts,
        )  # fmt: skip


@contextmanager
def running_azurite(*options: str, scheme: str = "http") -> Iterator[Azurite]:
    """Start the server, with more `options` of its own, wait until it listens, and kill it and its children at the end.

    The command `node` of the virtual environment is a program that starts the real one: hence the process group.
    """
    install()
    folder = Path(tempfile.mkdtemp(prefix="azurite-"))
    [port] = free_ports(1)
    command = [
        str(Path(sys.executable).parent / "node"), "--require", str(INSTALLED / CORRECTIONS),
        str(INSTALLED / "node_modules/azurite/dist/src/blob/main.js"),
        "--location", str(folder / "data"), "--blobHost", "127.0.0.1", "--blobPort", str(port),
        "--disableTelemetry", "--skipApiVersionCheck", "--silent", *options,
    ]  # fmt: skip
    environment = {**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=folder, start_new_session=True)
    try:
        _wait_until_listening(port, process, folder / "log")
        yield Azurite(f"{scheme}://127.0.0.1:{port}/{ACCOUNT}")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def install() -> None:
    """Install what the lock says, unless it is there. Two at once wait for each other."""
    with Path(f"{INSTALLED}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        installed = INSTALLED / "installed-package-lock.json"
        if installed.exists() and filecmp.cmp(installed, PACKAGE / "package-lock.json", shallow=False):
            shutil.copy(PACKAGE / CORRECTIONS, INSTALLED)
            return
        shutil.rmtree(INSTALLED, ignore_errors=True)
        shutil.copytree(PACKAGE, INSTALLED)
        programs = str(Path(sys.executable).parent)
        done = subprocess.run(
            [f"{programs}/npm", "ci"], cwd=INSTALLED, capture_output=True, text=True, check=False,
            env={**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"azurite could not be installed: {done.stdout[-500:]} {done.stderr[-1500:]}")
        shutil.copy(PACKAGE / "package-lock.json", installed)


def _wait_until_listening(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"azurite did not start: its log ends: {log.read_text()[-2000:]}") from error
            time.sleep(0.05)


if __name__ == "__main__":
    install()
