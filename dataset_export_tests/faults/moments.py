"""A store that calls back when an export takes a step, so that a fault begins exactly there."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from dataset_export.destinations.contract import Store
from dataset_export_tests.faults.mortal import COUNTED, step_name


class WatchedStore:
    """Calls `at[step]` once, right before the first step of that name (`stage`, `publish`, `put-journal`,
    `put-manifest`, `delete-file`, …: see `step_name`)."""

    def __init__(self, store: Store, at: Mapping[str, Callable[[], object]]) -> None:
        self._store = store
        self._at = dict(at)
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name not in COUNTED:
            return method

        def call(*args: Any, **options: Any) -> Any:
            with self._lock:
                begin = self._at.pop(step_name(name, args[0]), None)
                if begin is not None:
                    begin()
            return method(*args, **options)

        return call
