"""Destinations that fail: outages that last for hours, and single calls that break off."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dataset_export.destinations.contract import Store
from dataset_export.destinations.local import LocalDestination, LocalStore
from dataset_export.errors import AccessDenied, TransientError
from dataset_export_tests.soak.script import Span, within

BREAKING = ("stage", "confirm", "publish", "put", "list", "open", "delete")


@dataclass
class Weather:
    """What fails when.

    Chance is drawn for the n-th call of its kind in an hour, so that it falls alike whichever thread comes first.

    Attributes:
        seed: of what is left to chance.
        now: the time.
        outages: when nothing works, by destination.
        break_off: which share of the calls breaks off.
        refused: calls in an outage so far.
        broken: calls that broke off so far.
    """

    seed: int
    now: Callable[[], datetime]
    outages: Mapping[str, Collection[Span]]
    break_off: float
    refused: int = 0
    broken: int = 0
    _calls: Counter[str] = field(default_factory=Counter[str])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def shine(self) -> None:
        """Nothing fails any more."""
        self.outages, self.break_off = {}, 0.0

    def bad(self, destination: str) -> bool:
        """Whether nothing works at a destination now."""
        return within(self.now(), self.outages.get(destination, ()))

    def strike(self, destination: str, call: str) -> None:
        """Raise when this call fails: AccessDenied in an outage, TransientError once in a while."""
        if self.bad(destination):
            self.refused += 1
            raise AccessDenied(f"cannot {call} at {destination}: the account is locked; unlock it")
        if call in BREAKING and self.chance(destination, call) < self.break_off:
            self.broken += 1
            raise TransientError(f"cannot {call} at {destination}: the connection broke")

    def chance(self, destination: str, call: str) -> float:
        """A number below one, another one at each call."""
        what = f"{self.seed} {self.now():%Y%m%d%H} {destination} {call}"
        with self._lock:
            self._calls[what] += 1
            number = self._calls[what]
        return random.Random(f"{what} {number}").random()


class FailingStore:
    """A store whose calls fail as the weather says, some of them after they took effect."""

    def __init__(self, store: Store, destination: str, weather: Weather) -> None:
        self._store = store
        self._destination = destination
        self._weather = weather

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name not in (*BREAKING, "check"):
            return method

        def call(*arguments: Any, **more: Any) -> Any:
            late = name in {"publish", "put"} and self._weather.chance(self._destination, f"{name} is late") < 0.5
            if not late:
                self._weather.strike(self._destination, name)
            result = method(*arguments, **more)
            if late:
                self._weather.strike(self._destination, name)
            return result

        return call


def let_local_folders_fail(weather: Weather) -> None:
    """Every local destination of this process gets a store that fails."""
    build = LocalDestination.build_store

    def build_failing(self: LocalDestination) -> Any:
        store = build(self)
        assert isinstance(store, LocalStore)
        return FailingStore(store, store.folder.name, weather)

    LocalDestination.build_store = build_failing
