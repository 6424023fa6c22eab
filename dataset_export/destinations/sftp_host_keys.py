"""Which host key a server must show. There is no way to trust whatever comes (design: Security)."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataset_export.errors import AccessDenied, ConfigError

if TYPE_CHECKING:
    from asyncssh import SSHClient, SSHKnownHosts

FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}=?")
FAMILIES = (
    ("ssh-ed25519",),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    ("rsa-sha2-512", "rsa-sha2-256"),
)
"""Kinds of keys. A server has one of each of some kinds and shows the one that is asked for first, and a fingerprint
does not say of which kind its key is: so each is asked for first once. All are asked for every time, because servers hang
up without a word on whoever asks only for kinds that they lack, which looks like a broken connection."""
KNOWN_KINDS_FIRST = "+" + ",".join(kind for family in FAMILIES for kind in family)
"""For asyncssh: what the known_hosts file holds, then all others."""


class HostKeys:
    """The keys trusted for one host: those of a file in the format of OpenSSH's known_hosts, or the one of a
    fingerprint (`SHA256:…`, as `ssh-keygen -l` prints it).

    Raises:
        ConfigError: unless exactly one of the two is given and the fingerprint is one.
    """

    def __init__(self, host: str, port: int, *, known_hosts: str | None, fingerprint: str | None) -> None:
        if (known_hosts is None) == (fingerprint is None):
            raise ConfigError(
                f"the host key of {host} is always verified: give known_hosts (a file) or host_key_fingerprint "
                "(SHA256:…), exactly one of the two"
            )
        if fingerprint is not None and not FINGERPRINT.fullmatch(fingerprint):
            raise ConfigError(
                f"host_key_fingerprint of {host} is no fingerprint: write SHA256: and 43 characters, as "
                "`ssh-keygen -l -f ssh_host_ed25519_key.pub` prints it on the server"
            )
        self._host = host
        self._port = port
        self._file = Path(known_hosts).expanduser() if known_hosts is not None else None
        self._fingerprint = fingerprint.rstrip("=") if fingerprint is not None else None
        self._families: list[Any] = _asked_for() if fingerprint is not None else [KNOWN_KINDS_FIRST]

    def attempts(self) -> list[Any]:
        """Kinds of host keys to ask the server for, in order of preference, one connection after the other, until it
        shows a trusted key. With a known_hosts file one is enough: the kinds that it holds come first."""
        return list(self._families)

    def found(self, algorithms: Any) -> None:
        """Ask for this kind first next time."""
        self._families.sort(key=lambda one: one != algorithms)

    def options(self, shown: list[str]) -> dict[str, Any]:
        """Arguments of `asyncssh.connect`. Fingerprints of keys that are not trusted are added to `shown`.

        Raises:
            ConfigError: when the file cannot be read.
        """
        known: Any = ([], [], []) if self._file is None else self._read()
        return {"known_hosts": known, "client_factory": self._client(shown)}

    def refusal(self, shown: list[str]) -> AccessDenied:
        """The error for a server that showed other keys only."""
        server = f"{self._host}:{self._port}"
        came = " and ".join(dict.fromkeys(shown))
        advice = "if its operator confirms the new key, correct"
        if self._fingerprint is not None:
            return AccessDenied(
                f"the server {server} shows the host key {came} and not {self._fingerprint}, so nothing was sent; "
                f"{advice} host_key_fingerprint"
            )
        if not (expected := self._expected()):
            return AccessDenied(
                f"{self._file} has no key of {server}, which shows {came}, so nothing was sent; if its operator confirms "
                "that key, add it there"
            )
        return AccessDenied(
            f"the server {server} shows the host key {came} and not {' or '.join(expected)} as {self._file} says, so "
            f"nothing was sent; {advice} that file"
        )

    def _client(self, shown: list[str]) -> "Callable[[], SSHClient]":
        import asyncssh

        pinned = self._fingerprint

        class Verifying(asyncssh.SSHClient):
            def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
                fingerprint = key.get_fingerprint("sha256")
                if pinned is not None and fingerprint.rstrip("=") == pinned:
                    return True
                shown.append(fingerprint)
                return False

        return Verifying

    def _expected(self) -> list[str]:
        import asyncssh

        known = self._read()
        keys = asyncssh.match_known_hosts(known, self._host, "", self._port)[0]
        return [key.get_fingerprint("sha256") for key in keys]

    def _read(self) -> "SSHKnownHosts":
        import asyncssh

        try:
            return asyncssh.read_known_hosts(str(self._file))
        except OSError as error:
            raise ConfigError(f"the known_hosts file {self._file} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise ConfigError(f"the known_hosts file {self._file} is not in OpenSSH's format: {error}") from error


def _asked_for() -> list[Any]:
    return [sum((*FAMILIES[first:], *FAMILIES[:first]), ()) for first in range(len(FAMILIES))]
