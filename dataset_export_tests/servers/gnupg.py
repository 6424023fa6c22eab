"""GnuPG with a home of its own: another implementation of OpenPGP, which makes keys and decrypts what we encrypt."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

LONG_AGO = "20200101T000000"


@dataclass(frozen=True)
class GnuPG:
    """A keyring in the folder `home`. Its agent ends with the context of `running_gnupg`."""

    home: Path

    def make_key(self, name: str, *, encrypts: bool = True, expires: str = "never", at: str | None = None) -> str:
        """Make a key that signs, with a subkey that encrypts, and return its fingerprint.

        Args:
            name: its user id.
            encrypts: whether there is a subkey.
            expires: when both do, as gpg takes it (`never`, `1y`).
            at: make it at another time (`20200101T000000`, UTC).
        """
        self._run("--quick-generate-key", name, "ed25519", "sign", expires, at=at)
        listed = self._run("--list-keys", "--with-colons", f"={name}").decode().splitlines()
        fingerprint = next(line.split(":")[9] for line in listed if line.startswith("fpr:"))
        if encrypts:
            self.add_subkey(fingerprint, expires=expires, at=at)
        return fingerprint

    def add_subkey(self, fingerprint: str, *, expires: str = "never", at: str | None = None) -> None:
        """Add a subkey that encrypts."""
        self._run("--quick-add-key", fingerprint, "cv25519", "encr", expires, at=at)

    def revoke(self, fingerprint: str) -> None:
        """Revoke a key by the certificate that gpg made for it; a colon guards that against use by accident."""
        made = self.home / "openpgp-revocs.d" / f"{fingerprint}.rev"
        certificate = self.home / "revocation"
        certificate.write_text(made.read_text().replace("\n:-----BEGIN", "\n-----BEGIN"))
        self._run("--import", certificate)

    def revoke_subkey(self, fingerprint: str) -> None:
        """Revoke the first subkey of a key."""
        answers = b"key 1\nrevkey\ny\n0\n\ny\nsave\n"
        self._run("--no-tty", "--command-fd", "0", "--edit-key", fingerprint, data=answers, batch=False)

    def public_key(self, *fingerprints: str, armor: bool = True) -> bytes:
        return self._run(*(["--armor"] if armor else []), "--export", *fingerprints)

    def secret_key(self, fingerprint: str, *, armor: bool = True) -> bytes:
        return self._run(*(["--armor"] if armor else []), "--export-secret-keys", fingerprint)

    def sign(self, fingerprint: str, data: bytes) -> bytes:
        return self._run("--armor", "--local-user", fingerprint, "--detach-sign", data=data)

    def encrypt(self, fingerprint: str, data: bytes) -> bytes:
        return self._run("--armor", "--trust-model", "always", "--recipient", fingerprint, "--encrypt", data=data)

    def decrypt(self, message: bytes) -> bytes:
        """The plain bytes; raises CalledProcessError unless the message is whole and for one of our keys."""
        return self._run("--decrypt", data=message)

    def decrypt_file(self, message: Path, output: Path) -> None:
        self._run("--yes", "--output", output, "--decrypt", message)

    def _run(
        self, *arguments: str | Path, data: bytes | None = None, at: str | None = None, batch: bool = True
    ) -> bytes:
        command = ["gpg", "--homedir", self.home, "--quiet"]
        command += ["--batch"] if batch else []
        command += ["--pinentry-mode", "loopback", "--passphrase", ""]
        command += ["--faked-system-time", at] if at else []
        done = subprocess.run([*command, *arguments], input=data or b"", capture_output=True, check=False)
        if done.returncode != 0:
            raise subprocess.CalledProcessError(done.returncode, "gpg", done.stdout, done.stderr)
        return done.stdout


@contextmanager
def running_gnupg() -> Iterator[GnuPG]:
    """An empty keyring, and its agent while it is needed."""
    if shutil.which("gpg") is None:
        raise RuntimeError("gpg is not installed: `make test` installs gnupg with the other servers")
    # A socket's path has to be short, so the home is not below pytest's folders.
    with TemporaryDirectory(prefix="gnupg-") as home:
        try:
            yield GnuPG(Path(home))
        finally:
            subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=True, capture_output=True)
