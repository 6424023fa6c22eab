"""Staging on Google Cloud Storage: a multipart upload to a name in the hidden folder, completed when the file ends.

The file's own name shows nothing until the hidden object is copied to it, which takes no data across the network. The
upload is not made at the name itself, because the service knows no condition for completing one: it would replace what
somebody else wrote there. Every upload has a hidden name of its own, so two tries at one path never mix.
"""

import re
import secrets
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from xml.etree import ElementTree

from dataset_export.destinations.contract import HIDDEN_FOLDER, Staged
from dataset_export.destinations.gcs_calls import Answered, GCSCalls, text
from dataset_export.destinations.gcs_checksums import CRC32C, hash_header, stored_crc32c
from dataset_export.destinations.part_upload import PartUpload
from dataset_export.errors import IntegrityError

STAGING = f"{HIDDEN_FOLDER}/staging/"
MAX_PARTS = 10_000
MIN_PART_BYTES = 5 << 20
DEFAULT_PART_BYTES = 8 << 20
NO_SUCH_KEY = frozenset({"NoSuchKey"})
NO_SUCH_UPLOAD = frozenset({"NoSuchUpload"})
ABSENT = {"x-goog-if-generation-match": "0"}
"""The condition that there is no object of that name."""


class Hidden(NamedTuple):
    """Something staged: a hidden object, or an unfinished multipart upload to one.

    Attributes:
        path: where the file is meant to be visible, relative to the destination's folder.
        token: what tells this upload from others to that path.
        upload_id: of an unfinished upload; "" for an object.
        bytes: size of an object; None for an upload.
    """

    path: str
    token: str
    upload_id: str
    bytes: int | None


class Held(NamedTuple):
    """An object as the service has it: generation, bytes, base64 CRC32C, and our SHA-256 in its metadata ("" for none)."""

    generation: str
    bytes: int
    crc32c: str
    sha256: str


def new_token(began: datetime) -> str:
    """The last segment of a hidden name: when the upload began, and what no other upload has."""
    return f"{int(began.timestamp()):010d}.{secrets.token_hex(8)}"


def began(token: str) -> datetime | None:
    """When the upload of a hidden name began; None for a name that is not ours."""
    match = re.fullmatch(r"(\d{10})\.[0-9a-f]{16}", token)
    return datetime.fromtimestamp(int(match[1]), UTC) if match else None


class Staging:
    """The hidden names of a destination whose folder is `root` ("" or ending in `/`)."""

    def __init__(self, calls: GCSCalls, root: str) -> None:
        self.calls = calls
        self._below = f"{root}{STAGING}"

    def key(self, path: str, token: str) -> str:
        """Name of the hidden object of an upload."""
        return f"{self._below}{path}/{token}"

    def of(self, path: str) -> Iterator[Hidden]:
        """What is staged for exactly this path."""
        return (hidden for hidden in self.below(path) if hidden.path == path)

    def below(self, folder: str) -> Iterator[Hidden]:
        """What is staged for paths below `folder` ("" for all), and for `folder` itself."""
        prefix = f"{self._below}{folder}/" if folder else self._below
        for page in list_objects(self.calls, prefix):
            yield from self._ours(page.findall("Contents"))
        for page in list_uploads(self.calls, prefix):
            yield from self._ours(page.findall("Upload"))

    def drop(self, path: str, token: str, upload_id: str = "") -> None:
        """Remove a hidden object, or abort the upload to it. Gone already: returns."""
        key = self.key(path, token)
        query = {"uploadId": upload_id} if upload_id else {}
        operation = "Abort Multipart Upload" if upload_id else "Delete Object"
        try:
            self.calls.call(operation, "DELETE", key, query=query, expect=NO_SUCH_KEY | NO_SUCH_UPLOAD)
        except Answered:
            return

    def _ours(self, found: list[ElementTree.Element]) -> Iterator[Hidden]:
        for one in found:
            path, _, token = (one.findtext("Key") or "").removeprefix(self._below).rpartition("/")
            if path and began(token) is not None:
                size = text(one, "Size")
                yield Hidden(path, token, text(one, "UploadId"), int(size) if size else None)


def list_objects(calls: GCSCalls, prefix: str) -> Iterator[ElementTree.Element]:
    """Pages of the objects whose name begins with `prefix`."""
    return calls.pages(
        "List Objects",
        {"list-type": 2, "prefix": prefix},
        has="ListBucketResult",
        tokens={"NextContinuationToken": "continuation-token"},
    )


def list_uploads(calls: GCSCalls, prefix: str) -> Iterator[ElementTree.Element]:
    """Pages of the unfinished multipart uploads whose name begins with `prefix`."""
    return calls.pages(
        "List Multipart Uploads",
        {"uploads": None, "prefix": prefix},
        has="ListMultipartUploadsResult",
        tokens={"NextKeyMarker": "key-marker", "NextUploadIdMarker": "upload-id-marker"},
    )


def look(calls: GCSCalls, key: str) -> Held | None:
    """The object `key`, or None when there is none."""
    try:
        headers = calls.call("Get Object Metadata", "HEAD", key, expect=NO_SUCH_KEY).headers
    except Answered:
        return None
    size = headers.get("x-goog-stored-content-length") or headers.get("content-length", "0")
    generation, sha256 = headers.get("x-goog-generation", ""), headers.get("x-goog-meta-sha256", "")
    return Held(generation, int(size), stored_crc32c(headers), sha256)


class GCSUpload(PartUpload[str]):
    """One file being staged for `path`, in parts; a part is known by its entity tag."""

    def __init__(self, staging: Staging, path: str, *, first_part: int) -> None:
        super().__init__(path, kind="google_cloud_storage", first_part=first_part, max_parts=MAX_PARTS, with_md5=False)
        self._staging = staging
        self._calls = staging.calls
        self._token = self._key = self._upload_id = ""
        self._crc32c = CRC32C()

    def begin(self) -> None:
        """Drop what an earlier try staged for this path, and initiate the upload."""
        for hidden in list(self._staging.of(self.path)):
            self._staging.drop(hidden.path, hidden.token, hidden.upload_id)
        self._token = new_token(datetime.now(UTC))
        self._key = self._staging.key(self.path, self._token)
        answer = self._calls.call(
            "Initiate Multipart Upload", "POST", self._key, query={"uploads": None}, has="InitiateMultipartUploadResult"
        )
        self._upload_id = text(answer.xml(), "UploadId")

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """See `PartUpload.write`."""
        self._crc32c.update(memoryview(data).cast("B"))
        super().write(data)

    def send_part(self, number: int, body: bytes) -> str:
        """Upload Part. Sent again after a failure it replaces itself."""
        answer = self._calls.call(
            "Upload Part",
            "PUT",
            self._key,
            query={"partNumber": number, "uploadId": self._upload_id},
            headers={"x-goog-hash": hash_header(body)},
            body=body,
        )
        return answer.headers["etag"]

    def handle(self, parts: list[str], md5: bytes) -> Mapping[str, Any]:
        """Complete the upload to the hidden object and compare what the service made of it.

        Raises:
            IntegrityError: when it has another size or checksum.
        """
        if parts:
            self._complete(parts)
        else:
            self._put_empty()
        held = look(self._calls, self._key)
        if held is None or (held.bytes, held.crc32c) != (self._bytes, self._crc32c.text()):
            raise IntegrityError(f"what the bucket holds of {self.path} is not what was sent: run the export again")
        return {"token": self._token, "generation": held.generation, "crc32c": held.crc32c}

    def drop(self) -> None:
        """Abort the upload, and remove the object if it was completed."""
        if self._upload_id:
            self._staging.drop(self.path, self._token, self._upload_id)
            self._staging.drop(self.path, self._token)

    def _complete(self, parts: list[str]) -> None:
        root = ElementTree.Element("CompleteMultipartUpload")
        for number, etag in enumerate(parts, start=1):
            part = ElementTree.SubElement(root, "Part")
            ElementTree.SubElement(part, "PartNumber").text = str(number)
            ElementTree.SubElement(part, "ETag").text = etag
        try:
            self._calls.call(
                "Complete Multipart Upload",
                "POST",
                self._key,
                query={"uploadId": self._upload_id},
                headers={"Content-Type": "application/xml"},
                body=ElementTree.tostring(root),
                expect=NO_SUCH_UPLOAD,
                has="CompleteMultipartUploadResult",
            )
        except Answered:
            # An earlier try of this call did it and its answer was lost: the object is looked at next.
            return

    def _put_empty(self) -> None:
        """A multipart upload has one part at least, so a file of no bytes is an object put as a whole."""
        self._staging.drop(self.path, self._token, self._upload_id)
        self._calls.call("Put Object", "PUT", self._key, headers={"x-goog-hash": hash_header(b"")})


def handle_of(staged: Staged) -> tuple[str, str, str]:
    """Token, generation and CRC32C of a receipt."""
    return staged.handle["token"], staged.handle["generation"], staged.handle["crc32c"]
