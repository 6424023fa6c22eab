"""A channel, and sending one alert through it by Apprise."""

import logging
import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Protocol

from dataset_export.alerts.alert import Alert, Event
from dataset_export.errors import ConfigError, TransientError
from dataset_export.secret_refs import SecretRef

if TYPE_CHECKING:
    from apprise import AppriseAsset, AppriseResult, NotifyBase

SEND_SECONDS = 15
"""How long a receiver may take before an alert is left to a later try."""

SMTP_SECONDS = 5
"""How long a mail server may take for one answer."""

SERVICES = "https://github.com/caronc/apprise/wiki"

TALKATIVE = ("apprise", "requests", "urllib3")
"""Loggers that print addresses, and an address may be a password."""

_TYPES = {Event.FAILED: "failure", Event.SUCCEEDED: "success", Event.STARTED: "info", Event.ENDED: "info"}


@dataclass(frozen=True)
class Channel:
    """A place that alerts go to (spec S8).

    Attributes:
        id: dataflows name it.
        url: where its Apprise URL is. The URL is a secret: it holds tokens and passwords.
        description: who reads it.
    """

    id: str
    url: SecretRef
    description: str = ""


class Send(Protocol):
    """Hands one alert to a receiver."""

    def __call__(self, channel: Channel, alert: Alert) -> None:
        """Return when the receiver has taken it.

        Raises:
            ConfigError: when the URL is not there or leads nowhere that Apprise knows.
            TransientError: when the receiver does not answer or does not take it. It may have it all the same, if the answer
                was lost.
        """
        ...


def send(channel: Channel, alert: Alert) -> None:
    """Send an alert by Apprise; see `Send`. Takes `SEND_SECONDS` at most."""
    from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType

    _hush()
    asset = AppriseAsset(app_id="dataset_export")
    sender = Apprise(asset=asset)
    sender.add(_service(channel, asset))
    result = sender.notify(
        title=alert.title,
        body=alert.text or alert.title,
        notify_type=NotifyType(_TYPES.get(alert.event, "warning")),
        body_format=NotifyFormat.TEXT,
        timeout=SEND_SECONDS,
    )
    if not result:
        raise TransientError(f"channel {channel.id}: {_reason(result)}")


def _service(channel: Channel, asset: "AppriseAsset") -> "NotifyBase":
    from apprise import Apprise

    with _blaming(channel):
        url = channel.url.reveal().strip()
    service = Apprise.instantiate(url, asset=asset)
    if service is None:
        raise ConfigError(
            f"channel {channel.id}: what {channel.url.as_text()} holds is no URL that Apprise knows; {SERVICES} lists them"
        )
    # Mail servers get 15 seconds for each answer by default, and a mail takes six of them.
    service.socket_connect_timeout = min(service.socket_connect_timeout, SMTP_SECONDS)
    return service


@contextmanager
def _blaming(channel: Channel) -> Generator[None]:
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"channel {channel.id}: {error}") from None


def _reason(result: "AppriseResult") -> str:
    """Why a receiver did not take an alert, in words of ours: those of Apprise and of the receiver may repeat the URL."""
    from apprise import AppriseResultStatus

    if result.status is AppriseResultStatus.TIMEOUT:
        return f"its receiver took longer than {SEND_SECONDS} seconds"
    said = " ".join(entry.message for entry in result.logs())
    if code := re.search(r"\berror=(\d{3})\b", said):
        return f"its receiver answered with HTTP status {code[1]}"
    if re.search(r"connection error", said, re.IGNORECASE):
        return "its receiver could not be reached, or broke off"
    return "its receiver did not take it"


@cache
def _hush() -> None:
    """Keep what libraries log about addresses out of every log of this process, for good: a receiver that is no longer waited
    for may answer, and be logged about, when the next alert is already on its way. Higher levels alone, as for the clients of
    destinations, would not do: Apprise listens to its own loggers, and `_reason` reads what they said."""
    for name in TALKATIVE:
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        logger.propagate = False
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
