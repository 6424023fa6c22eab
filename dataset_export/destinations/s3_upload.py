"""Staging on S3: a multipart upload whose parts are sent and which is not completed.

Nothing of it is visible, and the server has checked the SHA-256 of every part. Memory is bounded by the parts that are
on their way and the one that is being filled (`PartSizes.at_once`).
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from dataset_export.destinations.part_upload import PartUpload
from dataset_export.destinations.s3_calls import Answered, Bucket
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
    (encryption, storage class)."""

    def __init__(self, bucket: Bucket, key: str, path: str, sizes: PartSizes, kept_as: Mapping[str, Any]) -> None:
        super().__init__(path, kind="amazon_s3", first_part=sizes.first, max_parts=MAX_PARTS, with_md5=False)
        self._bucket = bucket
        self._key = key
        self._sizes = sizes
        self._kept_as = kept_as
        self._upload_id = ""

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
        """UploadPart. Sent again after a failure it replaces itself."""
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

    def handle(self, parts: list[Part], md5: bytes) -> Mapping[str, Any]:
        """The upload's id and its parts. An empty file is one part of no bytes, since S3 completes no upload without."""
        parts = parts or [self.send_part(1, b"")]
        return {"upload_id": self._upload_id, "parts": [list(part) for part in parts]}

    def drop(self) -> None:
        """Abort the upload."""
        abort(self._bucket, self._key, self._upload_id)
