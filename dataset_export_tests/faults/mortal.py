"""Steps of an export at which its process is killed with SIGKILL: calls to the store, names given, events recorded."""

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from dagster import DagsterEventType

from dataset_export.destinations.contract import HIDDEN_FOLDER, Staged, Store, Upload

PART = 17 << 20
"""Bytes that fill a part of an upload, so that a part is on its way when the process dies."""

COUNTED = ("stage", "publish", "discard", "put", "delete", "discard_leftover")
LOGGED = ("confirm",)


@dataclass(frozen=True)
class Death:
    """Where a process dies: at the `nth` step (from 1) of the kind `what`, `before`, `after` or `inside` it (`inside` is
    for uploads, when some bytes were sent)."""

    what: str
    nth: int
    when: str

    def __str__(self) -> str:
        return f"{self.when}-{self.what}-{self.nth}"


class Steps:
    """Counts the steps of one process, logs them to a file that outlives it, and kills the process at one of them.

    The log has a line `begin <what> <path>` before and `end <what> <path>` after each step.
    """

    def __init__(self, log: Path, death: Death | None = None) -> None:
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._death = death
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def step(self, what: str, path: str = "") -> Iterator[int]:
        with self._lock:
            self._counts[what] += 1
            number = self._counts[what]
        self.note(f"begin {what} {path}")
        self.perhaps_die(Death(what, number, "before"))
        yield number
        self.note(f"end {what} {path}")
        self.perhaps_die(Death(what, number, "after"))

    def note(self, line: str) -> None:
        os.write(self._log, f"{line}\n".encode())

    def is_last(self, death: Death) -> bool:
        return death == self._death

    def perhaps_die(self, death: Death) -> None:
        if self.is_last(death):
            os.kill(os.getpid(), signal.SIGKILL)


class MortalStore:
    """A store whose calls are steps."""

    def __init__(self, store: Store, steps: Steps) -> None:
        self._store = store
        self._steps = steps

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name in LOGGED:
            return lambda *args: self._log(name, method, *args)
        if name not in COUNTED:
            return method
        if name == "stage":
            return lambda path, **options: MortalUpload(method(path, **options), path, self._steps)
        return lambda *args, **options: self._call(name, method, *args, **options)

    def _call(self, name: str, method: Any, *args: Any, **options: Any) -> Any:
        with self._steps.step(step_name(name, args[0]), _path(args[0])):
            return method(*args, **options)

    def _log(self, name: str, method: Any, staged: Staged) -> None:
        method(staged)
        self._steps.note(f"end {name} {staged.path}")


class MortalUpload:
    """One file being staged; the step lasts from the beginning of the upload to its receipt."""

    def __init__(self, upload: Upload, path: str, steps: Steps) -> None:
        self._upload = upload
        self._path = path
        self._steps = steps

    @property
    def staged(self) -> Staged:
        return self._upload.staged

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._upload.write(data)
        inside = Death("stage", self._number, "inside")
        if self._steps.is_last(inside):
            self._upload.write(bytes(PART))
        self._steps.perhaps_die(inside)

    def __enter__(self) -> "MortalUpload":
        self._step = self._steps.step("stage", self._path)
        self._number = self._step.__enter__()
        self._upload.__enter__()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._upload.__exit__(kind, error, trace)
        self._step.__exit__(kind, error, trace)


@contextmanager
def mortal_process(steps: Steps, instance: dg.DagsterInstance) -> Iterator[None]:
    """Makes steps of what happens outside the calls to a store or inside of one: the event that records an export
    (promise P3), and on a filesystem the moment at which a file gets its name, between the halves of `put` and `publish`."""
    storage = instance.event_log_storage
    link, store_event = os.link, storage.store_event

    def mortal_link(source: Any, target: Any, **options: Any) -> None:
        with steps.step("link", str(target)):
            link(source, target, **options)

    def mortal_event(event: dg.EventLogEntry) -> None:
        if event.dagster_event and event.dagster_event.event_type is DagsterEventType.ASSET_MATERIALIZATION:
            with steps.step("record"):
                store_event(event)
        else:
            store_event(event)

    os.link, storage.store_event = mortal_link, mortal_event
    try:
        yield
    finally:
        os.link, storage.store_event = link, store_event


def _path(thing: Any) -> str:
    return thing if isinstance(thing, str) else thing.path


def step_name(name: str, thing: Any) -> str:
    if name not in {"put", "delete"}:
        return name
    kind = (
        "journal" if _path(thing).startswith(HIDDEN_FOLDER) else "manifest" if "manifest-" in _path(thing) else "file"
    )
    return f"{name}-{kind}"
