"""The buckets of the Google Cloud Storage server: objects with generations, unfinished multipart uploads, conditions.

Bytes are kept in files, since tests measure the memory of the process that the server shares with them.
"""

import base64
import hashlib
import os
import secrets
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import google_crc32c

CHUNK = 1 << 20
SMALLEST_PART = 5 << 20
MOST_PARTS = 10_000


class Refused(Exception):
    """An error answer: HTTP status, and the code of the XML API."""

    def __init__(self, status: int, code: str, message: str = "") -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message or code


@dataclass(frozen=True)
class Body:
    """Bytes that arrived, in a file of their own."""

    file: Path
    bytes: int
    crc32c: str
    md5: str
    sha256: str

    @classmethod
    def written(cls, folder: Path, chunks: Iterable[bytes]) -> "Body":
        """Write chunks to a new file below `folder`."""
        file, size, crc32c = folder / secrets.token_hex(16), 0, 0
        md5, sha256 = hashlib.md5(), hashlib.sha256()
        with file.open("wb") as stream:
            for chunk in chunks:
                stream.write(chunk)
                size += len(chunk)
                crc32c = google_crc32c.extend(crc32c, chunk)
                md5.update(chunk)
                sha256.update(chunk)
        checksum = base64.b64encode(crc32c.to_bytes(4, "big")).decode()
        return cls(file, size, checksum, base64.b64encode(md5.digest()).decode(), sha256.hexdigest())

    def linked(self) -> "Body":
        """The same bytes as another file, which outlives this one."""
        other = self.file.with_name(secrets.token_hex(16))
        os.link(self.file, other)
        return Body(other, self.bytes, self.crc32c, self.md5, self.sha256)

    def check(self, given: str) -> None:
        """Compare with the checksums of an `x-goog-hash` header. Raises Refused."""
        for one in filter(None, (one.strip() for one in given.split(","))):
            name, _, value = one.partition("=")
            if name not in {"crc32c", "md5"}:
                raise Refused(400, "InvalidDigest")
            if value != getattr(self, name):
                code = "CrcMismatch" if name == "crc32c" else "BadDigest"
                raise Refused(400, code, f"The {name.upper()} you specified did not match what we computed.")


@dataclass(frozen=True)
class Blob:
    """An object: one generation of it. What was uploaded in parts has no MD5."""

    body: Body
    generation: int
    metadata: dict[str, str]
    content_type: str
    modified: datetime
    has_md5: bool = True

    def open(self) -> BinaryIO:
        return self.body.file.open("rb")


@dataclass
class MultipartUpload:
    """An unfinished upload of `key`."""

    key: str
    id: str
    initiated: datetime
    metadata: dict[str, str]
    content_type: str
    parts: dict[int, Body] = field(default_factory=dict[int, Body])


class Bucket:
    """One bucket. Every change happens under its lock, with its conditions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.objects = dict[str, Blob]()
        self.uploads = dict[str, MultipartUpload]()
        self._lock = threading.Lock()
        self._generation = time.time_ns() // 1000

    def everything(self) -> list[str]:
        """Names of all objects, and of unfinished uploads."""
        with self._lock:
            return sorted([*self.objects, *(f"upload of {one.key}" for one in self.uploads.values())])

    def get(self, key: str, match: str | None = None) -> Blob:
        """The object; `match` is a condition on its generation, as a header gives it."""
        blob = self.objects.get(key)
        if blob is None:
            raise Refused(404, "NoSuchKey", "The specified key does not exist.")
        self._require(blob, match)
        return blob

    def put(
        self, key: str, body: Body, metadata: dict[str, str], content_type: str, *, match: str | None = None,
        has_md5: bool = True,
    ) -> Blob:  # fmt: skip
        """Make the body the object of that name."""
        with self._lock:
            self._require(self.objects.get(key), match)
            self._generation += 1
            blob = Blob(body, self._generation, metadata, content_type, datetime.now(UTC), has_md5)
            replaced, self.objects[key] = self.objects.get(key), blob
        if replaced is not None:
            replaced.body.file.unlink()
        return blob

    def delete(self, key: str, match: str | None = None) -> None:
        with self._lock:
            self.get(key, match).body.file.unlink()
            del self.objects[key]

    def initiate(self, key: str, metadata: dict[str, str], content_type: str) -> MultipartUpload:
        upload = MultipartUpload(key, secrets.token_hex(20), datetime.now(UTC), metadata, content_type)
        with self._lock:
            self.uploads[upload.id] = upload
        return upload

    def upload(self, key: str, id: str) -> MultipartUpload:
        upload = self.uploads.get(id)
        if upload is None or upload.key != key:
            raise Refused(404, "NoSuchUpload", "The requested upload was not found.")
        return upload

    def put_part(self, key: str, id: str, number: int, body: Body) -> None:
        with self._lock:
            upload = self.upload(key, id)
            if not 1 <= number <= MOST_PARTS:
                raise Refused(400, "InvalidArgument")
            upload.parts[number] = body

    def complete(self, key: str, id: str, named: list[tuple[int, str]]) -> Blob:
        """Put the parts `named` (number and entity tag) together; replaces what has the name, on no condition."""
        upload = self.upload(key, id)
        if not named:
            raise Refused(400, "MalformedXML", "You must specify at least one part.")
        if sorted({number for number, _ in named}) != [number for number, _ in named]:
            raise Refused(400, "InvalidPartOrder")
        if any(number not in upload.parts or etag_of(upload.parts[number]) != etag for number, etag in named):
            raise Refused(400, "InvalidPart")
        parts = [upload.parts[number] for number, _ in named]
        if any(part.bytes < SMALLEST_PART for part in parts[:-1]):
            raise Refused(400, "EntityTooSmall")

        def chunks() -> Iterable[bytes]:
            for part in parts:
                with part.file.open("rb") as stream:
                    while chunk := stream.read(CHUNK):
                        yield chunk

        blob = self.put(key, Body.written(self.folder, chunks()), upload.metadata, upload.content_type, has_md5=False)
        self.abort(key, id)
        return blob

    def abort(self, key: str, id: str) -> None:
        with self._lock:
            upload = self.upload(key, id)
            del self.uploads[id]
        for part in upload.parts.values():
            part.file.unlink(missing_ok=True)

    def _require(self, blob: Blob | None, match: str | None) -> None:
        if match is not None and int(match) != (blob.generation if blob else 0):
            raise Refused(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold.")


def etag_of(part: Body) -> str:
    """Entity tag of a part: its MD5 in hex, in quotes."""
    return f'"{base64.b64decode(part.md5).hex()}"'
