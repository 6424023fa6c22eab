"""Google Cloud Storage.

Staged files are hidden objects; a copy inside the bucket makes the file visible, whole and without replacing anything
(`x-goog-if-generation-match: 0`). The answer to such a call may be lost, and its repetition then meets the file that the
first one wrote: so the object is looked at and compared before it is called a conflict.
"""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlsplit

from pydantic import Field

from dataset_export.destinations.contract import HIDDEN_FOLDER, Entry, Leftover, Staged, Store, check_path
from dataset_export.destinations.found import Found, conflict, gone, reads_as
from dataset_export.destinations.gcs_calls import PUBLIC_ENDPOINT, Answer, Answered, GCSCalls, SignIn, text
from dataset_export.destinations.gcs_checksums import hash_header
from dataset_export.destinations.gcs_hmac import HmacSignIn
from dataset_export.destinations.gcs_policy import gcs_policy
from dataset_export.destinations.gcs_token import TokenSignIn, default_credentials, service_account
from dataset_export.destinations.gcs_upload import (
    ABSENT,
    DEFAULT_PART_BYTES,
    MAX_PARTS,
    MIN_PART_BYTES,
    NO_SUCH_KEY,
    GCSUpload,
    Staging,
    began,
    handle_of,
    list_objects,
    look,
)
from dataset_export.destinations.io_manager import DestinationIOManager, secret_field
from dataset_export.destinations.part_upload import first_part_size
from dataset_export.destinations.policy import Policy
from dataset_export.destinations.ranged_reading import RANGE_BYTES, ranged_stream
from dataset_export.errors import ConfigError, IntegrityError, TransientError
from dataset_export.secret_refs import revealed

if TYPE_CHECKING:
    from requests import Session

TAKEN = frozenset({"PreconditionFailed"})
EMPTY = frozenset({"InvalidRange"})
"""The answer to every range of an object of no bytes."""
SHA256 = "x-goog-meta-sha256"
"""Metadata of an object of ours: the SHA-256 of its bytes, in hex."""


class GCSDestination(DestinationIOManager):
    """Deliver to a folder of a bucket of Google Cloud Storage. Without an HMAC key and without a service account's key,
    application default credentials are taken."""

    bucket: str = Field(description="Name of the bucket; it must exist.")
    folder: str = Field(default="", description="Folder of the bucket to deliver to; empty for the whole bucket.")
    hmac_access_id: str | None = secret_field("Access id of an HMAC key")
    hmac_secret: str | None = secret_field("Secret of the HMAC key")
    service_account_key: str | None = secret_field("JSON key of a service account")
    endpoint_url: str | None = Field(
        default=None, description="URL of the service, where it is not Google's public one."
    )
    allow_insecure: bool = Field(default=False, description="Allow an endpoint_url without TLS (http://).")

    def build_store(self) -> Store:
        """A `GCSStore`. Raises ConfigError for fields that do not go together, and for a missing TLS."""
        if (self.hmac_access_id is None) != (self.hmac_secret is None):
            raise ConfigError(f"hmac_access_id and hmac_secret of the bucket {self.bucket} belong together: give both")
        if self.hmac_secret is not None and self.service_account_key is not None:
            raise ConfigError(
                f"give one way to sign in to the bucket {self.bucket}: an HMAC key or a service account's"
            )
        endpoint = self.endpoint_url or PUBLIC_ENDPOINT
        if urlsplit(endpoint).scheme != "https" and not self.allow_insecure:
            raise ConfigError(
                f"the endpoint {endpoint} of the bucket {self.bucket} has no TLS: use https, or write out "
                "allow_insecure: true"
            )
        return GCSStore(GCSCalls(self.bucket, endpoint, self._sign_in), self.folder, server=self.endpoint_url)

    def policy(self) -> Policy:
        """A custom role of Google's IAM, and how it is granted on the bucket."""
        return gcs_policy(self.bucket, self.folder)

    def _sign_in(self, session: "Session") -> SignIn:
        access_id, secret = revealed(self.hmac_access_id), revealed(self.hmac_secret)
        if access_id is not None and secret is not None:
            return HmacSignIn(access_id, secret)
        key = revealed(self.service_account_key)
        return TokenSignIn(service_account(key) if key is not None else default_credentials(session), session)


class GCSStore:
    """`Store` over the folder `folder` of the bucket of `calls`. `part_bytes` is the size of the first parts, `server` the
    endpoint, where it is not Google's public one. What the credentials need is in `gcs_policy`."""

    def __init__(
        self, calls: GCSCalls, folder: str = "", *, part_bytes: int = DEFAULT_PART_BYTES, server: str | None = None
    ) -> None:
        if part_bytes < MIN_PART_BYTES:
            raise ConfigError(f"parts of {part_bytes} bytes are too small: use {MIN_PART_BYTES} or more")
        self._calls = calls
        self.server = server
        folder = folder.strip("/")
        self._root = f"{check_path(folder)}/" if folder else ""
        self._part_bytes = part_bytes
        self._staging = Staging(calls, self._root)

    def uri(self, path: str) -> str:
        """`gs://bucket/folder/path`."""
        return f"gs://{self._calls.name}/{self._key(path) if path else self._root}"

    def check(self) -> None:
        """List one object and one unfinished upload of the folder."""
        listing = {"prefix": self._root}
        self._calls.call(
            "List Objects", "GET", query={"list-type": 2, "max-keys": 1, **listing}, has="ListBucketResult"
        )
        self._calls.call(
            "List Multipart Uploads",
            "GET",
            query={"uploads": None, "max-uploads": 1, **listing},
            has="ListMultipartUploadsResult",
        )

    def stage(self, path: str, *, size_hint: int | None = None) -> GCSUpload:
        """An upload whose parts fit `size_hint`. What was staged for exactly this path is dropped when it begins."""
        first_part = first_part_size(self._part_bytes, size_hint, MAX_PARTS)
        return GCSUpload(self._staging, check_path(path), first_part=first_part)

    def confirm(self, staged: Staged) -> None:
        """Compare generation, size and CRC32C of the hidden object with those of the receipt. Raises IntegrityError."""
        key = self._hidden_key(staged)
        _, generation, crc32c = handle_of(staged)
        held = look(self._calls, key)
        if held is not None and (held.generation, held.bytes, held.crc32c) == (generation, staged.bytes, crc32c):
            return
        if self._find(staged) is Found.OURS:
            return
        if held is not None:
            raise IntegrityError(f"the bytes held for {self.uri(staged.path)} are not those sent: run the export again")
        raise gone(self.uri(staged.path))

    def publish(self, staged: Staged) -> None:
        """Copy the hidden object, on the conditions that it is the staged one and that the name is free; then remove
        it."""
        hidden = self._hidden_key(staged)
        token, generation, _ = handle_of(staged)
        try:
            self._calls.call(
                "Copy Object",
                "PUT",
                self._key(staged.path),
                headers={
                    "x-goog-copy-source": self._calls.copy_source(hidden),
                    "x-goog-copy-source-if-generation-match": generation,
                    "x-goog-metadata-directive": "REPLACE",
                    SHA256: staged.sha256,
                    **ABSENT,
                },
                expect=TAKEN | NO_SUCH_KEY,
                has="CopyObjectResult",
            )
        except (Answered, TransientError) as error:
            self._settle(staged, error)
        self._staging.drop(staged.path, token)

    def discard(self, staged: Staged) -> None:
        """Remove the hidden object."""
        self._staging.drop(check_path(staged.path), handle_of(staged)[0])

    def put(self, path: str, data: bytes, *, replace: bool = False) -> None:
        """Put Object, on the condition that the name is free unless `replace`."""
        sha256 = hashlib.sha256(data).hexdigest()
        headers = {"x-goog-hash": hash_header(data), SHA256: sha256, **({} if replace else ABSENT)}
        try:
            self._calls.call("Put Object", "PUT", self._key(path), headers=headers, body=data, expect=TAKEN)
        except (Answered, TransientError) as error:
            if reads_as(self.open, path, len(data), sha256):
                return
            if isinstance(error, TransientError):
                raise
            raise conflict(self.uri(path)) from error

    def list(self, folder: str) -> Iterator[Entry]:
        """Objects below `folder`. Names that end in `/` are folders that a console made, not files."""
        prefix = f"{self._key(folder)}/" if folder else self._root
        show_hidden = f"{folder}/".startswith(f"{HIDDEN_FOLDER}/")
        found: list[Entry] = []
        for page in list_objects(self._calls, prefix):
            for one in page.findall("Contents"):
                # Not stripped: a name may begin or end with a space.
                path = (one.findtext("Key") or "").removeprefix(self._root)
                is_staged = path.startswith(f"{HIDDEN_FOLDER}/staging/")
                is_hidden = path.startswith(f"{HIDDEN_FOLDER}/")
                if not path.endswith("/") and not is_staged and (show_hidden or not is_hidden):
                    modified = datetime.fromisoformat(text(one, "LastModified")).astimezone(UTC)
                    found.append(Entry(path, int(text(one, "Size")), modified))
        yield from sorted(found, key=lambda entry: entry.path)

    def open(self, path: str) -> BinaryIO:
        """The object, read in ranges of one generation of it."""
        key = self._key(path)
        try:
            first = self._range(key, 0, RANGE_BYTES, {}, NO_SUCH_KEY | EMPTY)
        except Answered as answer:
            if answer.code in EMPTY:
                return ranged_stream(b"", 0, lambda start, size: b"")
            raise FileNotFoundError(f"{self.uri(path)} does not exist") from None
        size = int(first.headers.get("content-range", f"/{len(first.body)}").rpartition("/")[2])
        condition = {"x-goog-if-generation-match": first.headers.get("x-goog-generation", "")}

        def read_range(start: int, size: int) -> bytes:
            try:
                return self._range(key, start, size, condition, NO_SUCH_KEY | TAKEN | EMPTY).body
            except Answered as answer:
                raise TransientError(f"{self.uri(path)} was replaced while it was read") from answer

        return ranged_stream(first.body, size, read_range)

    def delete(self, path: str) -> None:
        """Delete Object. Where soft delete or versions are on, the service keeps it as long as they say."""
        try:
            self._calls.call("Delete Object", "DELETE", self._key(path), expect=NO_SUCH_KEY)
        except Answered:
            return

    def leftovers(self, folder: str = "") -> Iterator[Leftover]:
        """Hidden objects, and unfinished uploads to them; the size of an upload is not known."""
        if folder:
            check_path(folder)
        for hidden in self._staging.below(folder):
            started = began(hidden.token)
            if started is not None and hidden.path != folder:
                handle = {"token": hidden.token, "upload_id": hidden.upload_id}
                yield Leftover(hidden.path, started, hidden.bytes, handle)

    def discard_leftover(self, leftover: Leftover) -> None:
        """Remove a hidden object, or abort an unfinished upload."""
        self._staging.drop(check_path(leftover.path), leftover.handle["token"], leftover.handle["upload_id"])

    def _range(self, key: str, start: int, size: int, condition: dict[str, str], expect: frozenset[str]) -> Answer:
        headers = {"Range": f"bytes={start}-{start + size - 1}", "Accept-Encoding": "gzip", **condition}
        answer = self._calls.call("Get Object", "GET", key, headers=headers, expect=expect)
        if start and not answer.headers.get("content-range", "").startswith(f"bytes {start}-"):
            raise IntegrityError(
                f"the bucket {self._calls.name} answered a request for the rest of {key} with something else: read it "
                "again"
            )
        return answer

    def _settle(self, staged: Staged, error: Answered | TransientError) -> None:
        """Decide what a copy without a clear answer did, by looking at the objects. Returns when the file is ours."""
        found = self._find(staged)
        if found is Found.OURS:
            return
        if found is Found.FOREIGN:
            raise conflict(self.uri(staged.path)) from error
        if isinstance(error, TransientError):
            raise error
        held = look(self._calls, self._hidden_key(staged))
        if held is None or held.generation != staged.handle["generation"]:
            raise gone(self.uri(staged.path)) from error
        raise TransientError(f"{self.uri(staged.path)} was there and vanished: it is tried again") from error

    def _find(self, staged: Staged) -> Found:
        held = look(self._calls, self._key(staged.path))
        if held is None:
            return Found.NOTHING
        if (held.bytes, held.crc32c) != (staged.bytes, staged.handle["crc32c"]):
            return Found.FOREIGN
        if held.sha256 == staged.sha256:
            return Found.OURS
        # Written by another tool, an object of the same bytes has no such metadata: then the bytes decide.
        return Found.OURS if reads_as(self.open, staged.path, staged.bytes, staged.sha256) else Found.FOREIGN

    def _key(self, path: str) -> str:
        return self._root + check_path(path)

    def _hidden_key(self, staged: Staged) -> str:
        return self._staging.key(check_path(staged.path), handle_of(staged)[0])
