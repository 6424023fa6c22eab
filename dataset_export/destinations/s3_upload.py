"""Staging on S3: a multipart upload whose parts are sent and which is not completed.

Nothing of it is visible, and the server has checked the SHA-256 of every part. Memory is bounded by the parts that are
on their way and the one that is being filled (`PartSizes.at_once`).
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from dataset_export.destinations.contract import Origin
from dataset_export.destinations.part_upload import PartUpload
from dataset_export.destinations.s3_calls import Answered, Bucket
from dataset_export.destinations.s3_copy import PartCopies, RefusedBuckets
from dataset_export.destinations.s3_parts import MAX_PARTS, Part, PartSizes

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


class S3Upload(PartUpload[Part]):
    """One file being staged at `key`. `kept_as` are the arguments of the upload that say how the object is kept
    (encryption, storage class); `refused` are the buckets that nothing is copied from."""

    def __init__(
        self,
        bucket: Bucket,
        key: str,
        path: str,
        sizes: PartSizes,
        kept_as: Mapping[str, Any],
        *,
        refused: RefusedBuckets,
    ) -> None:
        super().__init__(path, kind="amazon_s3", first_part=sizes.first, max_parts=MAX_PARTS, with_md5=False)
        self._bucket = bucket
        self._key = key
        self._sizes = sizes
        self._kept_as = kept_as
        self._refused = refused
        self._upload_id = ""
        self._copies: PartCopies | None = None

    def copies(self, origin: Origin) -> None:
        """Parts are copied from an object of the same server."""
        if origin.server is not None:
            self._copies = PartCopies(self._bucket, origin, self._refused)

    def begin(self) -> None:
        """Abort the uploads of an earlier try at this key, and create one."""
        for unfinished in list(unfinished_uploads(self._bucket, self._key)):
            if unfinished["Key"] == self._key:
                abort(self._bucket, self._key, unfinished["UploadId"])
        answer = self._bucket.call(
            "create_multipart_upload", Key=self._key, ChecksumAlgorithm="SHA256", **self._kept_as
        )
        self._upload_id = answer["UploadId"]

    def part_bytes(self, number: int) -> int:
        """See `PartSizes.size`."""
        return self._sizes.size(number)

    def at_once(self, number: int) -> int:
        """See `PartSizes.at_once`."""
        return self._sizes.at_once(number)

    def send_part(self, number: int, body: bytes) -> Part:
        """UploadPartCopy where it can be, else UploadPart. Sent again after a failure it replaces itself."""
        sha256 = base64.b64encode(hashlib.sha256(body).digest()).decode()
        part: dict[str, Any] = {"Key": self._key, "UploadId": self._upload_id, "PartNumber": number}
        if self._copies is not None and body:
            etag = self._copies.copy(self._sizes.start(number), body, sha256, **part)
            if etag is not None:
                return Part(etag, sha256, len(body))
        answer = self._bucket.call("upload_part", Body=body, ChecksumSHA256=sha256, **part)
        return Part(answer["ETag"].strip('"'), sha256, len(body))

    def handle(self, parts: list[Part], md5: bytes) -> Mapping[str, Any]:
        """The upload's id and its parts. An empty file is one part of no bytes, since S3 completes no upload without."""
        parts = parts or [self.send_part(1, b"")]
        return {"upload_id": self._upload_id, "parts": [list(part) for part in parts]}

    def drop(self) -> None:
        """Abort the upload."""
        abort(self._bucket, self._key, self._upload_id)
