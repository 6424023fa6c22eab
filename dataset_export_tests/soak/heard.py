"""What the receivers of alerts have heard: two web hooks, which fail at times."""

import os
import re
from collections import Counter
from collections.abc import Collection, Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from dataset_export_tests.servers.receiver import Receiver, running_receiver
from dataset_export_tests.soak.script import Span, within

OPS_VARIABLE = "SOAK_OPS_URL"
TOKEN = "t0ken"
UNAVAILABLE = 503
MANY = 1_000
LATE_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC: .*")


@dataclass
class Ear:
    """The receiver of one channel.

    Attributes:
        receiver: the server.
        deaf: when it takes nothing.
        answers_lost: when it takes alerts and its answers get lost.
        unanswered: how many of what it has taken nobody knows that it has.
    """

    receiver: Receiver
    deaf: Collection[Span]
    answers_lost: Collection[Span]
    unanswered: Counter[str] = field(default_factory=Counter[str])
    turned_away: int = 0
    _seen: int = 0

    def listen(self, moment: datetime | None) -> None:
        """From now on, behave as at this moment; None: for good."""
        self.look()
        deaf = moment is not None and within(moment, self.deaf)
        self.receiver.statuses = [UNAVAILABLE] * MANY if deaf else []
        self.receiver.drop = moment is not None and not deaf and within(moment, self.answers_lost)

    def look(self) -> None:
        """Note what came since."""
        new = self.receiver.taken[self._seen :]
        self._seen += len(new)
        if self.receiver.drop:
            self.unanswered.update(what for alert in new for what in _said(alert))
        if self.receiver.statuses:
            self.turned_away += MANY - len(self.receiver.statuses)
            self.receiver.statuses = [UNAVAILABLE] * MANY

    def heard(self) -> Counter[str]:
        """What it has said that it took."""
        self.look()
        taken = Counter(what for alert in self.receiver.taken for what in _said(alert))
        taken.subtract(self.unanswered)
        return +taken


@contextmanager
def ears(
    folder: Path, deaf: Mapping[str, Collection[Span]], answers_lost: Mapping[str, Collection[Span]]
) -> Generator[tuple[dict[str, Ear], dict[str, Any]]]:
    """The receivers by channel, and where the declarations find their URLs: one in a variable, one in a file."""
    with ExitStack() as stack:
        found = {
            channel: Ear(stack.enter_context(running_receiver()), deaf[channel], answers_lost[channel])
            for channel in deaf
        }
        os.environ[OPS_VARIABLE] = f"{found['ops'].receiver.url}/{TOKEN}"
        file = folder / "mail_url"
        file.write_text(f"{found['mail'].receiver.url}/{TOKEN}\n")
        yield found, {"ops": {"env": OPS_VARIABLE}, "mail": {"file": str(file)}}


def _said(alert: Mapping[str, Any]) -> list[str]:
    """What one alert tells, in the words of `Expected.told`."""
    title: str = alert["title"]
    late = re.match(r"(\w+): export of .* is late", title)
    if late is None:
        return [title]
    return [f"{late[1]} is late: {line}" for line in alert["message"].splitlines() if LATE_LINE.fullmatch(line)]
