"""Parts that the server copies from an object that it has, so that their bytes are not sent.

The bytes are at hand all the same: whatever the server refuses, and whatever it copies that is not shown to be equal, is sent
instead. A copy counts when its SHA-256 is that of the bytes or, from a server that tells none, when its entity tag is their MD5.
"""

import hashlib
import logging
from typing import Any
from urllib.parse import urlsplit

from dataset_export.destinations.contract import Origin
from dataset_export.destinations.s3_calls import Answered, Bucket
from dataset_export.errors import CorruptFile, ExportError, TransientError

LOG = logging.getLogger("dataset_export")

CHANGED = frozenset({"PreconditionFailed"})

MIN_RANGE_BYTES = 5 << 20
"""Of a smaller object S3 copies no range, only the whole."""

AMAZON = (".amazonaws.com", ".amazonaws.com.cn")


class RefusedBuckets(set[str]):
    """Buckets of which the server has refused to copy with the credentials of one store: it is not asked again."""


class PartCopies:
    """Copies of the parts of one object into an upload. May be used from several threads."""

    def __init__(self, bucket: Bucket, origin: Origin, refused: RefusedBuckets) -> None:
        self._bucket = bucket
        self._origin = origin
        self._refused = refused

    def copy(self, start: int, body: bytes, sha256: str, **part: Any) -> str | None:
        """Have `body`, which was read from byte `start` of the object, copied into the part that `part` names for the client.

        Args:
            start: in bytes.
            body: what the copy has to be.
            sha256: of the body, base64.
            part: Key, UploadId and PartNumber.

        Returns:
            The entity tag of the part (without quotes), or None when the body has to be sent.

        Raises:
            CorruptFile: when the object is not the one any more that was there before it was read.
        """
        origin = self._origin
        if origin.bucket in self._refused or not self._is_same_server():
            return None
        whole = start == 0 and len(body) < MIN_RANGE_BYTES
        try:
            answer = self._bucket.call_once(
                "upload_part_copy",
                expect=CHANGED,
                CopySource={"Bucket": origin.bucket, "Key": origin.key},
                CopySourceIfMatch=origin.etag,
                **({} if whole else {"CopySourceRange": f"bytes={start}-{start + len(body) - 1}"}),
                **part,
            )
        except Answered:
            raise CorruptFile(
                f"the file s3://{origin.bucket}/{origin.key} was changed while it was exported: export again, and write new "
                "files instead of changing those that are there"
            ) from None
        except TransientError:
            return None  # sending the body is tried as often as any call
        except ExportError as error:
            self._give_up(str(error))
            return None
        copied = answer.get("CopyPartResult", {})
        etag = str(copied.get("ETag", "")).strip('"')
        if _is_copy(copied.get("ChecksumSHA256"), etag, body, sha256):
            return etag
        self._give_up("its checksum of a copy is not comparable with that of the bytes")
        return None

    def _is_same_server(self) -> bool:
        return server_of(self._origin.server or "") == server_of(self._bucket.endpoint)

    def _give_up(self, why: str) -> None:
        self._refused.add(self._origin.bucket)
        LOG.info(
            "Files of the bucket %s are sent to the bucket %s and not copied by their server: %s.",
            self._origin.bucket,
            self._bucket.name,
            why.rstrip("."),
        )


def server_of(endpoint: str) -> str:
    """Host and port of a URL; "" for Amazon's, whatever the region."""
    place = urlsplit(endpoint)
    return "" if (place.hostname or "").endswith(AMAZON) else place.netloc.lower()


def _is_copy(copied_sha256: str | None, etag: str, body: bytes, sha256: str) -> bool:
    if copied_sha256 is not None:
        return copied_sha256 == sha256
    return etag == hashlib.md5(body, usedforsecurity=False).hexdigest()
