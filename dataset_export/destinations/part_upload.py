"""Sending one file as parts, several at a time, in bounded memory.

Parts are held until the service has them: those that wait or travel (`PartUpload.at_once`) and the one that is being
filled. A subclass says what a part is at its service.
"""

import hashlib
import io
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from dataset_export.destinations.contract import Staged
from dataset_export.errors import ExportError, StorageFull

WORKERS = 4
GROWTHS = 10
"""How many sizes the parts of a file of unknown size take: the last ones are this many times the first one."""

Part = TypeVar("Part")


def part_size(number: int, first: int, max_parts: int) -> int:
    """Bytes of part `number` (from 1) when the first has `first` bytes. Sizes grow by `first` ten times, so `max_parts`
    parts hold 5.5 times what parts of one size would, whatever the size hint said."""
    return first * (1 + (number - 1) // (max_parts // GROWTHS))


def first_part_size(smallest: int, size_hint: int | None, max_parts: int) -> int:
    """Bytes of the first part: `smallest`, or more where `max_parts` of that size would not hold `size_hint`."""
    return max(smallest, -(-(size_hint or 0) // max_parts))


class PartUpload(ABC, Generic[Part]):
    """One file being staged in parts: an `Upload` but for the calls to the service.

    Threads are named after `kind`. `with_md5` is whether `handle` gets the MD5 of the file, which costs twice as much time
    as its SHA-256.
    """

    def __init__(self, path: str, *, kind: str, first_part: int, max_parts: int, with_md5: bool = True) -> None:
        self.path = path
        self.first_part = first_part
        self._kind = kind
        self._max_parts = max_parts
        self._digests = {"sha256": hashlib.sha256()}
        if with_md5:
            self._digests["md5"] = hashlib.md5(usedforsecurity=False)
        self._bytes = 0
        self._buffer = io.BytesIO()
        self._parts: list[Part] = []
        self._sending: deque[Future[Part]] = deque()
        self._pool: ThreadPoolExecutor | None = None
        self._staged: Staged | None = None

    @abstractmethod
    def begin(self) -> None:
        """Drop leftovers of an earlier try and begin. Called when the block is entered."""

    @abstractmethod
    def send_part(self, number: int, body: bytes) -> Part:
        """Send part `number` (from 1), in a thread of the pool. Raises ExportError."""

    @abstractmethod
    def handle(self, parts: list[Part], md5: bytes) -> Mapping[str, Any]:
        """The handle of the receipt, when all `parts` are there (none of an empty file); `md5` is that of the whole
        file, no bytes without `with_md5`."""

    @abstractmethod
    def drop(self) -> None:
        """Drop what was sent. Raises ExportError when that fails."""

    def part_bytes(self, number: int) -> int:
        """Bytes of part `number` (from 1), unless it is the last one."""
        return part_size(number, self.first_part, self._max_parts)

    def at_once(self, number: int) -> int:
        """How many parts may wait or travel when part `number` is one of them."""
        return WORKERS + 1

    @property
    def staged(self) -> Staged:
        """The receipt."""
        if self._staged is None:
            raise RuntimeError(f"{self.path} is not staged yet: the receipt exists after the with block")
        return self._staged

    def __enter__(self) -> Self:
        self.begin()
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix=f"{self._kind}-part")
        return self

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append bytes. Blocks while too many parts are on their way; raises what the sending of an earlier part
        raised."""
        view = memoryview(data).cast("B")
        for digest in self._digests.values():
            digest.update(view)
        self._bytes += len(view)
        while view:
            limit = self.part_bytes(self._next_number)
            taken = view[: limit - self._buffer.tell()]
            self._buffer.write(taken)
            view = view[len(taken) :]
            if self._buffer.tell() == limit:
                self._send()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._finish()
        except BaseException as failed:
            self._abort(failed)
            raise
        if error is not None:
            self._abort(error)

    @property
    def _next_number(self) -> int:
        return len(self._parts) + len(self._sending) + 1

    def _send(self) -> None:
        number = self._next_number
        if number > self._max_parts:
            raise StorageFull(
                f"{self.path} has more than {self._bytes} bytes and needs more than the {self._max_parts} parts that the "
                "service allows: limit the bytes per file"
            )
        while len(self._sending) >= self.at_once(number):
            self._parts.append(self._sending.popleft().result())
        if self._pool is None:
            raise RuntimeError("write() belongs inside the with block")
        # Of a BytesIO that is written from its beginning only, this is no copy.
        body, self._buffer = self._buffer.getvalue(), io.BytesIO()
        self._sending.append(self._pool.submit(self.send_part, number, body))

    def _finish(self) -> None:
        if self._buffer.tell():
            self._send()
        while self._sending:
            self._parts.append(self._sending.popleft().result())
        self._close_pool()
        md5 = self._digests.get("md5")
        handle = self.handle(self._parts, md5.digest() if md5 else b"")
        self._staged = Staged(self.path, self._bytes, self._digests["sha256"].hexdigest(), handle)

    def _abort(self, error: BaseException) -> None:
        # Parts that arrive after the drop would stay, so those on their way are waited for.
        self._close_pool()
        try:
            self.drop()
        except ExportError as failed:
            error.add_note(f"and what was sent of {self.path} could not be removed: {failed}")

    def _close_pool(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
