"""Destinations that fail: outages that last for hours, and single calls that break off."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dataset_export.destinations.contract import Store
from dataset_export.destinations.local import LocalDestination, LocalStore
from dataset_export.errors import AccessDenied, TransientError

BREAKING = ("stage", "confirm", "publish", "put", "list", "open", "delete")


@dataclass
class Weather:
    """What fails when. `outages` are times in which nothing works, by destination."""

    dice: random.Random
    now: Callable[[], datetime]
    break_off: float = 0.0
    outages: dict[str, list[tuple[datetime, datetime]]] = field(
        default_factory=dict[str, list[tuple[datetime, datetime]]]
    )
    refused: int = 0
    broken: int = 0

    def strike(self, destination: str, call: str) -> None:
        """Raise when this call fails: AccessDenied in an outage, TransientError once in a while."""
        if any(begin <= self.now() < end for begin, end in self.outages.get(destination, ())):
            self.refused += 1
            raise AccessDenied(f"cannot {call} at {destination}: the account is locked; unlock it")
        if call in BREAKING and self.dice.random() < self.break_off:
            self.broken += 1
            raise TransientError(f"cannot {call} at {destination}: the connection broke")


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
            late = name in {"publish", "put"} and self._weather.dice.random() < 0.5
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
