"""Staging on S3: a multipart upload whose parts are sent and which is not completed.

Nothing of it is visible, and the server has checked the SHA-256 of every part. Memory is bounded by the parts that are
on their way and the one that is being filled (`PartSizes.at_once`).
"""

import base64
import hashlib
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from dataset_export.destinations.contract import Staged
from dataset_export.destinations.s3_calls import Answered, Bucket
from dataset_export.destinations.s3_parts import MAX_PARTS, WORKERS, Part, PartSizes
from dataset_export.errors import ExportError, StorageFull

NO_SUCH_UPLOAD = frozenset({"NoSuchUpload"})


def abort(bucket: Bucket, key: str, upload_id: str) -> None:
    """Drop an unfinished upload. Gone already: returns."""
    try:
        bucket.call("abort_multipart_upload", expect=NO_SUCH_UPLOAD, Key=key, UploadId=upload_id)
    except Answered:
        return


def unfinished_uploads(bucket: Bucket, prefix: str) -> Iterator[Any]:
    """Unfinished uploads whose key begins with `prefix`, as the server lists them."""
    for page in bucket.pages("list_multipart_uploads", Prefix=prefix):
        yield from page.get("Uploads", [])


class S3Upload:
    """One file being staged at `key`. `kept_as` are the arguments of the upload that say how the object is kept
    (encryption, storage class)."""

    def __init__(self, bucket: Bucket, key: str, path: str, sizes: PartSizes, kept_as: Mapping[str, Any]) -> None:
        self._bucket = bucket
        self._key = key
        self._path = path
        self._sizes = sizes
        self._kept_as = kept_as
        self._digest = hashlib.sha256()
        self._bytes = 0
        self._buffer = bytearray()
        self._parts: list[Part] = []
        self._sending: deque[Future[Part]] = deque()
        self._upload_id = ""
        self._pool: ThreadPoolExecutor | None = None
        self._staged: Staged | None = None

    @property
    def staged(self) -> Staged:
        """The receipt."""
        if self._staged is None:
            raise RuntimeError(f"{self._path} is not staged yet: the receipt exists after the with block")
        return self._staged

    def __enter__(self) -> Self:
        for unfinished in list(unfinished_uploads(self._bucket, self._key)):
            if unfinished["Key"] == self._key:
                abort(self._bucket, self._key, unfinished["UploadId"])
        answer = self._bucket.call(
            "create_multipart_upload", Key=self._key, ChecksumAlgorithm="SHA256", **self._kept_as
        )
        self._upload_id = answer["UploadId"]
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="s3-part")
        return self

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append bytes. Blocks while too many parts are on their way; raises what the sending of an earlier part
        raised."""
        view = memoryview(data).cast("B")
        self._digest.update(view)
        self._bytes += len(view)
        while view:
            limit = self._sizes.size(self._next_number)
            taken = view[: limit - len(self._buffer)]
            self._buffer += taken
            view = view[len(taken) :]
            if len(self._buffer) == limit:
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
        if number > MAX_PARTS:
            raise StorageFull(
                f"{self._path} has more than {self._bytes} bytes and needs more than the {MAX_PARTS} parts that S3 "
                "allows: limit the bytes per file"
            )
        while len(self._sending) >= self._sizes.at_once(number):
            self._parts.append(self._sending.popleft().result())
        if self._pool is None:
            raise RuntimeError("write() belongs inside the with block")
        self._sending.append(self._pool.submit(self._send_part, number, self._buffer))
        self._buffer = bytearray()

    def _send_part(self, number: int, body: bytearray) -> Part:
        sha256 = base64.b64encode(hashlib.sha256(body).digest()).decode()
        answer = self._bucket.call(
            "upload_part",
            Key=self._key,
            UploadId=self._upload_id,
            PartNumber=number,
            Body=body,
            ChecksumSHA256=sha256,
        )
        return Part(answer["ETag"].strip('"'), sha256, len(body))

    def _finish(self) -> None:
        if self._buffer or self._next_number == 1:  # an empty file is one part of no bytes
            self._send()
        while self._sending:
            self._parts.append(self._sending.popleft().result())
        self._close_pool()
        handle = {"upload_id": self._upload_id, "parts": [list(part) for part in self._parts]}
        self._staged = Staged(self._path, self._bytes, self._digest.hexdigest(), handle)

    def _abort(self, error: BaseException) -> None:
        # Parts that arrive after the abort would stay, so those on their way are waited for.
        self._close_pool()
        try:
            abort(self._bucket, self._key, self._upload_id)
        except ExportError as failed:
            error.add_note(f"and its unfinished upload could not be aborted: {failed}")

    def _close_pool(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
