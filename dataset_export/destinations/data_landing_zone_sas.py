"""The SAS URI of a data landing zone: reading it, and having a new one before or after it expires."""

import logging
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from dataset_export.destinations.azure_calls import CLIENT_OPTIONS, made
from dataset_export.errors import AccessDenied, ConfigError, TransientError
from dataset_export.redaction import remember

NEAR_EXPIRY = timedelta(minutes=5)
EARLY_SECONDS = 20.0
"""How often a new SAS URI is looked for while the old one still works."""
COMMAND_SECONDS = 120.0
WAY_OUT = "refresh the credentials of the data landing zone and put the new SAS URI where sas_uri points, or set refresh_command"
log = logging.getLogger(__name__)


class SasUri(NamedTuple):
    """A SAS URI in its parts: URL of the container without the signature, what authorises, and until when (UTC)."""

    url: str
    token: str
    expires: datetime | None

    def ends_within(self, span: timedelta) -> bool:
        """Whether it expires before `span` from now; False where it does not say."""
        return self.expires is not None and self.expires - datetime.now(UTC) < span


def parsed(text: str) -> SasUri:
    """The parts of a SAS URI. Its messages never repeat what was given.

    Raises:
        ConfigError: for what is no URL of a container with a signature.
    """
    url = urlsplit(text.strip())
    asked = parse_qs(url.query)
    if url.scheme not in {"https", "http"} or not url.netloc or url.path in {"", "/"} or "sig" not in asked:
        raise ConfigError("this is no SAS URI of a container: https://ACCOUNT.blob.core.windows.net/CONTAINER?…&sig=…")
    try:
        expires = datetime.fromisoformat(asked["se"][0]) if "se" in asked else None
    except ValueError:
        raise ConfigError("the expiry (se) in the SAS URI is no time") from None
    if expires is not None:
        expires = expires.replace(tzinfo=expires.tzinfo or UTC).astimezone(UTC)
    remember(asked["sig"][0])
    return SasUri(f"{url.scheme}://{url.netloc}{url.path.rstrip('/')}", url.query, expires)


def printed_by(command: Sequence[str]) -> str:
    """What a command prints on its standard output: a new SAS URI. Neither that nor its errors are repeated anywhere.

    Raises:
        ConfigError: when there is no such program.
        AccessDenied: when it fails.
        TransientError: when it does not end.
    """
    try:
        done = subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except OSError as error:
        raise ConfigError(f"refresh_command {command[0]} cannot be started: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise TransientError(f"refresh_command {command[0]} did not end within {COMMAND_SECONDS:.0f} seconds") from None
    if done.returncode:
        raise AccessDenied(
            f"refresh_command {command[0]} ended with exit code {done.returncode}: run it by hand to see why"
        )
    return done.stdout


class SasClient:
    """A `ClientSource` whose client follows the SAS URI: it is read again when it is about to expire, and when the
    service refuses it.

    `read` returns the SAS URI there is (a secret), `refresh` a new one; without `refresh`, `read` is asked again,
    for somebody else may have renewed it. `accept` checks a URL without its signature and raises ConfigError.
    """

    def __init__(
        self, read: Callable[[], str], refresh: Callable[[], str] | None, accept: Callable[[str], None]
    ) -> None:
        self._read = read
        self._refresh = refresh
        self._accept = accept
        self._lock = threading.Lock()
        self._sas: SasUri | None = None
        self._client: Any = None
        self._look_again = 0.0

    def current(self) -> Any:
        """See `ClientSource.current`. Raises AccessDenied when the SAS URI has expired and there is no new one."""
        with self._lock:
            if self._sas is None:
                self._take(parsed(self._read()))
            if self._sas is not None and self._sas.ends_within(timedelta(0)):
                self._take_new(self._sas)
            elif self._sas is not None and self._sas.ends_within(NEAR_EXPIRY):
                self._take_new_early(self._sas)
            return self._client

    def renewed(self, refused: Any) -> bool:
        """See `ClientSource.renewed`. Raises AccessDenied when what was refused has expired and there is no new one."""
        with self._lock:
            if self._client is refused and self._sas is not None:
                self._take_new(self._sas)
            return self._client is not refused

    def url(self) -> str:
        """URL of the container, without the signature."""
        self.current()
        return self._sas.url if self._sas is not None else ""

    def _take_new_early(self, old: SasUri) -> None:
        """Look for a new one now and then: the old one still works, so nothing fails when there is none."""
        if time.monotonic() < self._look_again:
            return
        self._look_again = time.monotonic() + EARLY_SECONDS
        try:
            self._take_new(old)
        except (AccessDenied, TransientError) as error:
            log.warning("no new SAS URI of %s yet, which expires at %s: %s", old.url, old.expires, error)

    def _take_new(self, old: SasUri) -> None:
        new = parsed((self._refresh or self._read)())
        if new.token != old.token:
            if new.url != old.url:
                raise ConfigError(f"the new SAS URI is of {new.url}, not of {old.url}: start the export again with it")
            self._take(new)
        if self._sas is not None and self._sas.expires is not None and self._sas.ends_within(timedelta(0)):
            raise AccessDenied(f"the SAS URI of {old.url} expired at {self._sas.expires:%Y-%m-%dT%H:%M:%SZ}: {WAY_OUT}")

    def _take(self, sas: SasUri) -> None:
        from azure.core.credentials import AzureSasCredential
        from azure.storage.blob import ContainerClient

        self._accept(sas.url)
        account, _, container = sas.url.rpartition("/")
        client = made(
            lambda: ContainerClient(account, container, credential=AzureSasCredential(sas.token), **CLIENT_OPTIONS)
        )
        if self._sas is not None:
            log.info("took a new SAS URI of %s, good until %s", sas.url, sas.expires)
        self._sas, self._client = sas, client
