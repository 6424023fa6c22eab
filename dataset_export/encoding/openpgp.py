"""Encryption of delivered files with OpenPGP, for the holders of one or several public keys (spec S3).

    recipients = read_recipients([Path("partner.asc").read_bytes()], now=datetime.now(UTC))
    with encrypted(recipients, upload.write) as sink:
        sink(b"…")

A file streams through a child process, since the library takes files and keeps the interpreter's lock for as long as it
encrypts one. Nothing is put on disk, and memory does not grow with the file.
"""

import os
import selectors
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, cast

from dataset_export.encoding.contract import Sink
from dataset_export.encoding.openpgp_keys import Recipients
from dataset_export.errors import ConfigError, TransientError

ENCRYPTED_ENDING = ".gpg"
"""What the name of an encrypted file ends in, after the ending of its format."""

PIPE_BYTES = 1 << 20


@contextmanager
def encrypted(recipients: Recipients, sink: Sink) -> Generator[Sink]:
    """A sink for plain bytes; the encrypted ones go on to `sink`, the last of them when the block ends.

    When the block is left by an exception, what `sink` was given is not a whole message: the caller discards it.

    Raises:
        ConfigError: when a key has expired, or the library refuses to encrypt.
        TransientError: when the child process cannot be started or was killed.
    """
    recipients.require_usable(datetime.now(UTC))
    child = _Child(recipients, sink)
    try:
        yield child.write
        child.finish()
    finally:
        child.end()


def encrypt(recipients: Recipients, data: bytes) -> bytes:
    """Encrypt something small in memory. Raises ConfigError when a key has expired."""
    from pysequoia import Cert
    from pysequoia import encrypt as encrypt_bytes

    recipients.require_usable(datetime.now(UTC))
    return encrypt_bytes(data, [Cert.from_bytes(key) for key in recipients.keys], armor=False)


class _Child:
    """A process that encrypts one file. One thread both feeds it and takes what it writes: neither pipe can block the
    other."""

    def __init__(self, recipients: Recipients, sink: Sink) -> None:
        import pysequoia

        self._sink = sink
        program = Path(__file__).with_name("openpgp_child.py")
        library = Path(pysequoia.__file__).parents[1]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", program, library],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                pipesize=PIPE_BYTES,
            )
        except OSError as error:
            raise TransientError(f"the process that encrypts could not be started: {error.strerror}") from error
        pipes = (self._process.stdin, self._process.stdout, self._process.stderr)
        self._stdin, self._stdout, self._stderr = (cast("IO[bytes]", pipe) for pipe in pipes)
        self._input, self._output = self._stdin.fileno(), self._stdout.fileno()
        self._selector = selectors.DefaultSelector()
        for descriptor, event in ((self._input, selectors.EVENT_WRITE), (self._output, selectors.EVENT_READ)):
            os.set_blocking(descriptor, False)
            self._selector.register(descriptor, event)
        keyring = b"".join(recipients.keys)
        self.write(len(keyring).to_bytes(8, "big") + keyring)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt more."""
        view = memoryview(data).cast("B")
        while view:
            for key, _ in self._selector.select():
                if key.fd == self._output:
                    if not self._forward():
                        raise self._failure()
                elif view:
                    try:
                        view = view[os.write(self._input, view[:PIPE_BYTES]) :]
                    except BrokenPipeError:
                        raise self._failure() from None

    def finish(self) -> None:
        """Hand on what is left. Only a child that ends well has written a whole message."""
        self._selector.unregister(self._input)
        self._stdin.close()
        os.set_blocking(self._output, True)
        while self._forward():
            pass
        if self._process.wait() != 0:
            raise self._failure()

    def end(self) -> None:
        """Leave no process and no open pipe, whatever happened."""
        self._selector.close()
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for pipe in (self._stdin, self._stdout, self._stderr):
            pipe.close()

    def _forward(self) -> bool:
        data = os.read(self._output, PIPE_BYTES)
        if data:
            self._sink(data)
        return bool(data)

    def _failure(self) -> Exception:
        """Why the child ended early."""
        code = self._process.wait()
        said = self._stderr.read().decode(errors="replace").strip()
        if code < 0:
            return TransientError(f"the process that encrypts was ended by signal {-code} before the file was whole")
        return ConfigError(f"OpenPGP could not encrypt the file: {said or f'its process ended with {code}'}")
