"""Reading one object of a bucket as a stream that outlives its connections."""

import io
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from dataset_export.destinations.retry import with_retries
from dataset_export.destinations.s3_calls import Answered, Bucket
from dataset_export.errors import IntegrityError, TransientError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

READ_SIZE = 1 << 20
NO_SUCH_KEY = frozenset({"NoSuchKey"})
CHANGED = NO_SUCH_KEY | {"PreconditionFailed", "InvalidRange"}


def open_object(bucket: Bucket, key: str) -> BinaryIO:
    """A stream over the object as it is now. When its connection breaks, reading goes on where it stopped, as long as
    the object is the same; each MiB is tried as often as any call.

    Raises (opening and reading):
        Answered: when there is no such object (only at opening).
        TransientError: when reading breaks again and again at one place.
        IntegrityError: when the object was replaced or deleted while it was read.
    """
    answer = bucket.call("get_object", expect=NO_SUCH_KEY, Key=key)
    return cast("BinaryIO", io.BufferedReader(_Body(bucket, key, answer), READ_SIZE))


class _Body(io.RawIOBase):
    """An object's bytes as they arrive."""

    def __init__(self, bucket: Bucket, key: str, answer: Any) -> None:
        self._bucket = bucket
        self._key = key
        self._body: Any = answer["Body"]
        self._etag: str = answer["ETag"]
        self._size: int = answer["ContentLength"]
        self._read_so_far = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        view = memoryview(buffer).cast("B")
        chunk = with_retries(lambda: self._next(len(view)))
        view[: len(chunk)] = chunk
        self._read_so_far += len(chunk)
        return len(chunk)

    def close(self) -> None:
        if not self.closed:
            self._drop()
        super().close()

    def _next(self, size: int) -> bytes:
        if self._body is None:
            self._body = self._rest()
        try:
            with self._bucket.translated("get_object"):
                return self._body.read(size)
        except TransientError:
            self._drop()
            raise

    def _rest(self) -> Any:
        if self._read_so_far == self._size:
            return io.BytesIO()
        start = f"bytes {self._read_so_far}-"
        try:
            answer = self._bucket.call_once(
                "get_object", expect=CHANGED, Key=self._key, IfMatch=self._etag, Range=start.replace(" ", "=")
            )
        except Answered as error:
            raise IntegrityError(
                f"{self._key} in the bucket {self._bucket.name} was replaced or deleted while it was read: read it again"
            ) from error
        if not answer.get("ContentRange", "").startswith(start):
            answer["Body"].close()
            raise IntegrityError(
                f"the bucket {self._bucket.name} answered a request for the rest of {self._key} with something else: "
                "read it again"
            )
        return answer["Body"]

    def _drop(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None
