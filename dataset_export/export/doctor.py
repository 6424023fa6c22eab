"""Try out at a destination all that a delivery needs, with a probe in the hidden folder that is removed again.

Row by row: what the credentials allow, what the service answered, and which permissions a refused operation needs. A
row that fails does not end the examination, unless the destination cannot be reached at all.
"""

import hashlib
import os
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from uuid import uuid4

from dataset_export.destinations.contract import HIDDEN_FOLDER, Leftover, Staged, Store
from dataset_export.destinations.policy import Operation, Policy
from dataset_export.errors import AccessDenied, Conflict, ExportError, IntegrityError, TransientError

PROBE_FOLDER = f"{HIDDEN_FOLDER}/probe"
PROBE_BYTES = 8 << 20
SMALL = b"dataset_export probes what these credentials allow; this file may be deleted\n"


class Outcome(StrEnum):
    """What became of one operation."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Row:
    """One operation that was tried.

    Attributes:
        operation: which.
        outcome: what became of it.
        answer: what the service answered, or why it was not tried.
        permissions: what the operation needs, when the service refused it; at least one of them is missing.
        seconds: how long it took; None when it was not tried.
    """

    operation: Operation
    outcome: Outcome
    answer: str
    permissions: tuple[str, ...] = ()
    seconds: float | None = None


@dataclass(frozen=True)
class Examination:
    """All rows of a destination, in the order of a delivery.

    Attributes:
        rows: one for each `Operation`.
        latency_seconds: of the first answer; None when none came.
        bytes_per_second: of staging `PROBE_BYTES`; None when that failed.
        left: what of the probe could not be removed, with the reason.
    """

    rows: tuple[Row, ...]
    latency_seconds: float | None
    bytes_per_second: float | None
    left: tuple[str, ...]

    @property
    def healthy(self) -> bool:
        """Whether every operation was tried and works, and nothing is left."""
        return all(row.outcome is Outcome.OK for row in self.rows) and not self.left


def examine(open_store: Callable[[], Store], policy: Policy) -> Examination:
    """Try every operation once and remove what that made.

    Args:
        open_store: makes the store; what it raises is the answer to the first row.
        policy: names the permissions of a refused operation.
    """
    return _Examiner(open_store, policy).run()


class _Examiner:
    def __init__(self, open_store: Callable[[], Store], policy: Policy) -> None:
        self._open_store = open_store
        self._policy = policy
        self._folder = f"{PROBE_FOLDER}/{uuid4().hex}"
        self._large, self._small, self._unfinished = (f"{self._folder}/{name}" for name in ("large", "small", "left"))
        self._store: Store | None = None
        self._staged: Staged | None = None
        self._leftovers: list[Leftover] = []
        self._rows: dict[Operation, Row] = {}
        self._touched: set[str] = set()
        """Paths that may be at the destination: written, or the answer was lost."""

    def run(self) -> Examination:
        try:
            self._try(Operation.CHECK, self._check)
            if self._store is not None:
                self._try_all()
        finally:
            left = self._clean()
        latency, staging = self._rows[Operation.CHECK], self._rows.get(Operation.STAGE)
        unreachable = latency.outcome is not Outcome.OK and self._store is None
        return Examination(
            rows=tuple(self._rows.get(one) or _skipped(one, "the destination cannot be used") for one in Operation),
            latency_seconds=None if unreachable else latency.seconds,
            bytes_per_second=PROBE_BYTES / staging.seconds if staging and _is_ok(staging) and staging.seconds else None,
            left=tuple(left),
        )

    def _try_all(self) -> None:
        self._try(Operation.STAGE, self._stage)
        self._try(Operation.CONFIRM, self._confirm, after=Operation.STAGE)
        self._try(Operation.PUBLISH, self._publish, after=Operation.STAGE)
        self._try(Operation.LIST, self._list)
        self._try(Operation.READ, self._read)
        self._try(Operation.PUT, self._put)
        self._try(Operation.REPLACE, self._replace, after=Operation.PUT)
        self._try(Operation.LEFTOVERS, self._find_leftovers)
        self._try(Operation.DISCARD, self._discard, after=Operation.STAGE, and_after=Operation.LEFTOVERS)
        self._try(Operation.DELETE, self._delete)

    def _try(
        self,
        operation: Operation,
        action: Callable[[], str],
        *,
        after: Operation | None = None,
        and_after: Operation | None = None,
    ) -> None:
        for needed in (after, and_after):
            if needed is not None and not self._worked(needed):
                self._rows[operation] = _skipped(operation, f"not tried, since '{needed}' did not work")
                return
        begin = time.monotonic()
        try:
            outcome, answer, permissions = Outcome.OK, action(), ()
        except ExportError as error:
            refused = isinstance(error, AccessDenied)
            permissions = self._policy.permissions[operation] if refused else ()
            outcome, answer = Outcome.FAILED, str(error)
            if operation is Operation.CHECK and not refused:
                # Everything else would fail for the same reason, each time after all its tries.
                self._store = None
        self._rows[operation] = Row(operation, outcome, answer, permissions, round(time.monotonic() - begin, 6))

    def _worked(self, operation: Operation) -> bool:
        return operation in self._rows and _is_ok(self._rows[operation])

    @property
    def _at(self) -> Store:
        if self._store is None:
            raise RuntimeError("there is no store before the first row")
        return self._store

    def _check(self) -> str:
        self._store = self._open_store()
        self._store.check()
        return "reached with these credentials"

    def _stage(self) -> str:
        self._staged = self._send(self._large, os.urandom(PROBE_BYTES))
        return f"{PROBE_BYTES:,} bytes sent, not visible"

    def _confirm(self) -> str:
        self._at.confirm(self._receipt)
        return "holds what was sent"

    def _publish(self) -> str:
        with self._touching(self._large):
            self._at.publish(self._receipt)
        return "visible, whole"

    def _list(self) -> str:
        found = {entry.path: entry.bytes for entry in self._at.list(self._folder)}
        if self._worked(Operation.PUBLISH) and found.get(self._large) != PROBE_BYTES:
            raise IntegrityError(f"the listing of {self._at.uri(self._folder)} does not show what was published there")
        return f"{len(found)} of the probe's files listed"

    def _read(self) -> str:
        try:
            with closing(self._at.open(self._large)) as stream:
                digest = hashlib.sha256()
                while chunk := stream.read(1 << 20):
                    digest.update(chunk)
        except FileNotFoundError:
            if self._worked(Operation.PUBLISH):
                raise IntegrityError(f"{self._at.uri(self._large)} was published and cannot be found") from None
            return "answered; there was nothing to read"
        if digest.hexdigest() != self._receipt.sha256:
            raise IntegrityError(f"{self._at.uri(self._large)} was read back with another SHA-256 than was sent")
        return "the SHA-256 is that of what was sent"

    def _put(self) -> str:
        with self._touching(self._small):
            self._at.put(self._small, SMALL)
        try:
            self._at.put(self._small, SMALL + b"other bytes\n")
        except Conflict:
            return "written; other bytes under the same name were refused"
        raise IntegrityError(
            f"{self._at.uri(self._small)} was replaced although it was there: this service does not hold to conditions, "
            "so deliveries could overwrite each other"
        )

    def _replace(self) -> str:
        with self._touching(self._small):
            self._at.put(self._small, SMALL * 2, replace=True)
        return "replaced where that was asked for"

    def _find_leftovers(self) -> str:
        if self._worked(Operation.STAGE):
            self._send(self._unfinished, SMALL)
        self._leftovers = [one for one in self._at.leftovers(self._folder) if one.path == self._unfinished]
        if self._worked(Operation.STAGE) and not self._leftovers:
            raise IntegrityError(f"bytes were staged for {self._at.uri(self._unfinished)} and cannot be found")
        return "found what was staged and not published" if self._leftovers else "answered; there was nothing to find"

    def _discard(self) -> str:
        for leftover in self._leftovers:
            self._at.discard_leftover(leftover)
        if any(one.path == self._unfinished for one in self._at.leftovers(self._folder)):
            raise IntegrityError(
                f"the bytes staged for {self._at.uri(self._unfinished)} were removed and are still there"
            )
        return "removed what was staged"

    def _delete(self) -> str:
        for path in (self._large, self._small):
            self._at.delete(path)
            try:
                self._at.open(path).close()
            except FileNotFoundError:
                self._touched.discard(path)
            else:
                raise IntegrityError(f"{self._at.uri(path)} was deleted and is still there")
        return "deleted"

    @property
    def _receipt(self) -> Staged:
        if self._staged is None:
            raise RuntimeError("nothing is staged")
        return self._staged

    def _send(self, path: str, data: bytes) -> Staged:
        with self._at.stage(path, size_hint=len(data)) as upload:
            upload.write(data)
        return upload.staged

    def _touching(self, path: str) -> "_Touching":
        return _Touching(self._touched, path)

    def _clean(self) -> list[str]:
        """Remove all of the probe that is still there, and say what cannot be removed."""
        store, left = self._store, list[str]()
        if store is None or Operation.STAGE not in self._rows:
            return left

        def removed(what: str, action: Callable[[], None]) -> None:
            try:
                action()
            except ExportError as error:
                left.append(f"{what}: {error}")

        def staged() -> None:
            for leftover in list(store.leftovers(self._folder)):
                removed(
                    f"bytes staged for {store.uri(leftover.path)}", lambda one=leftover: store.discard_leftover(one)
                )

        for path in sorted(self._touched):
            removed(store.uri(path), lambda one=path: store.delete(one))
        if self._worked(Operation.STAGE):
            removed(f"bytes staged below {store.uri(self._folder)}", staged)
        return left


class _Touching:
    """Notes a path as one that may be at the destination, unless the service clearly refused to write it."""

    def __init__(self, touched: set[str], path: str) -> None:
        self._touched = touched
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, ExportError) or isinstance(error, TransientError):
            self._touched.add(self._path)


def _is_ok(row: Row) -> bool:
    return row.outcome is Outcome.OK


def _skipped(operation: Operation, reason: str) -> Row:
    return Row(operation, Outcome.SKIPPED, reason)
