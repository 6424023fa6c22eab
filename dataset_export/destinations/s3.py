"""Amazon S3, and servers that speak its protocol.

Staged files are unfinished multipart uploads; completing one makes the file visible, whole and without replacing
anything (`If-None-Match: *`). The answer to such a call may be lost, and the client's own retry then meets the file
that its first try wrote: so the object is read back and compared before it is called a conflict.
"""

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC
from typing import Any, BinaryIO

from pydantic import Field

from dataset_export.destinations.contract import HIDDEN_FOLDER, Entry, Leftover, Staged, Store, check_path
from dataset_export.destinations.found import Found, conflict, gone, reads_as
from dataset_export.destinations.io_manager import DestinationIOManager, secret_field
from dataset_export.destinations.policy import Policy
from dataset_export.destinations.s3_calls import Answered, Bucket
from dataset_export.destinations.s3_client import Access, s3_client
from dataset_export.destinations.s3_copy import RefusedBuckets
from dataset_export.destinations.s3_kept import KeptAs
from dataset_export.destinations.s3_parts import (
    DEFAULT_PART_BYTES,
    MIN_PART_BYTES,
    Part,
    PartSizes,
    composite_checksum,
    parts_of,
)
from dataset_export.destinations.s3_policy import s3_policy
from dataset_export.destinations.s3_reading import NO_SUCH_KEY, open_object
from dataset_export.destinations.s3_upload import NO_SUCH_UPLOAD, S3Upload, abort, unfinished_uploads
from dataset_export.errors import ConfigError, IntegrityError, TransientError

TAKEN = frozenset({"PreconditionFailed"})
PARTS_GONE = NO_SUCH_UPLOAD | {"InvalidPart", "InvalidPartOrder"}


class S3Destination(DestinationIOManager):
    """Deliver to a folder of an S3 bucket. Credentials come from the fields, else from where AWS clients look for them
    (environment, profile, instance role); with `role_arn` they assume that role, and its credentials are renewed for as
    long as an export takes."""

    bucket: str = Field(description="Name of the bucket; it must exist.")
    folder: str = Field(default="", description="Folder of the bucket to deliver to; empty for the whole bucket.")
    region_name: str | None = Field(default=None, description="AWS region of the bucket.")
    endpoint_url: str | None = Field(default=None, description="URL of an S3 server that is not Amazon's.")
    path_style: bool | None = Field(
        default=None, description="Whether the bucket stands in the path of URLs or in the host name; unset: either."
    )
    ca_bundle: str | None = Field(default=None, description="PEM file of the certificate authorities to trust.")
    allow_insecure: bool = Field(default=False, description="Allow an endpoint_url without TLS (http://).")
    aws_access_key_id: str | None = secret_field("Access key id")
    aws_secret_access_key: str | None = secret_field("Secret access key")
    aws_session_token: str | None = secret_field("Session token")
    profile_name: str | None = Field(default=None, description="Profile of the AWS configuration files.")
    role_arn: str | None = Field(default=None, description="ARN of a role to assume with the credentials.")
    external_id: str | None = Field(default=None, description="External id that the role asks for.")
    role_session_name: str = Field(default="dataset_export", description="Name of the role's sessions, in logs of AWS.")
    server_side_encryption: str | None = Field(
        default=None, description="How the server encrypts: AES256, aws:kms or aws:kms:dsse; unset: as the bucket says."
    )
    kms_key_id: str | None = Field(default=None, description="Id, alias or ARN of the KMS key.")
    bucket_key: bool | None = Field(default=None, description="Whether a key of the bucket saves requests to KMS.")
    storage_class: str | None = Field(default=None, description="Storage class of the data files.")

    def build_store(self) -> Store:
        """An `S3Store`. Raises ConfigError for an endpoint without TLS, and for fields that do not go together."""
        if (self.endpoint_url or "").lower().startswith("http:") and not self.allow_insecure:
            raise ConfigError(
                f"the endpoint {self.endpoint_url} of the bucket {self.bucket} has no TLS: use https, or write out "
                "allow_insecure: true"
            )
        if self.external_id is not None and self.role_arn is None:
            raise ConfigError(f"the external_id of the bucket {self.bucket} belongs to a role: give role_arn too")
        return S3Store(self._client, self.bucket, self.folder, kept_as=self._kept_as(), server=self.endpoint_url)

    def policy(self) -> Policy:
        """An IAM policy for the folder of the bucket."""
        key = (self.kms_key_id or "") if self._kept_as().by_kms else ""
        return s3_policy(self.bucket, self.folder, kms_key=key, role=self.role_arn, external_id=self.external_id)

    def _kept_as(self) -> KeptAs:
        return KeptAs(self.server_side_encryption, self.kms_key_id, self.bucket_key, self.storage_class).checked()

    def _client(self) -> Any:
        return s3_client(
            Access(
                region=self.region_name,
                endpoint_url=self.endpoint_url,
                access_key_id=self.aws_access_key_id,
                secret_access_key=self.aws_secret_access_key,
                session_token=self.aws_session_token,
                profile=self.profile_name,
                role_arn=self.role_arn,
                external_id=self.external_id,
                role_session_name=self.role_session_name,
                ca_bundle=self.ca_bundle,
                path_style=self.path_style,
            )
        )


class S3Store:
    """`Store` over the folder `folder` of a bucket.

    `client_factory` makes a botocore S3 client without retries of its own, at the first call. `part_size` is in bytes,
    8 MiB at least. `server` is the endpoint, where it is not Amazon's. What the credentials need is in `s3_policy`.
    """

    def __init__(
        self,
        client_factory: Callable[[], Any],
        bucket: str,
        folder: str = "",
        *,
        part_size: int = DEFAULT_PART_BYTES,
        kept_as: KeptAs | None = None,
        server: str | None = None,
    ) -> None:
        if part_size < MIN_PART_BYTES:
            raise ConfigError(f"parts of {part_size} bytes are too small for S3: use {MIN_PART_BYTES} or more")
        self.bucket = bucket
        self.server = server
        self._calls = Bucket(bucket, client_factory)
        folder = folder.strip("/")
        self._root = f"{check_path(folder)}/" if folder else ""
        self._part_size = part_size
        self._kept_as = kept_as or KeptAs()
        self._refused = RefusedBuckets()

    def uri(self, path: str) -> str:
        """`s3://bucket/folder/path`."""
        return f"s3://{self.bucket}/{self._key(path) if path else self._root}"

    def check(self) -> None:
        """List one object and one unfinished upload of the folder."""
        self._calls.call("list_objects_v2", Prefix=self._root, MaxKeys=1)
        self._calls.call("list_multipart_uploads", Prefix=self._root, MaxUploads=1)

    def stage(self, path: str, *, size_hint: int | None = None) -> S3Upload:
        """An upload whose parts fit `size_hint`. Unfinished uploads of exactly this key are aborted when it begins."""
        sizes = PartSizes.planned(self._part_size, size_hint)
        return S3Upload(
            self._calls, self._key(path), path, sizes, self._kept_as.file_arguments(), refused=self._refused
        )

    def confirm(self, staged: Staged) -> None:
        """Compare the parts the server holds with those we sent (sizes, entity tags, and checksums where it lists
        them). Raises IntegrityError."""
        try:
            held = list(self._held_parts(staged))
        except Answered:
            if self._find(staged) is Found.OURS:
                return
            raise gone(self.uri(staged.path)) from None
        sent = dict(enumerate(parts_of(staged), start=1))
        # As sets: some servers list a part twice after a retry sent it twice. Another version of a part is refused.
        expected = {(number, part.bytes, part.etag, part.sha256) for number, part in sent.items()}
        found = {_part_listed(part, sent) for part in held}
        if found != expected or sum(part.bytes for part in sent.values()) != staged.bytes:
            raise IntegrityError(f"the parts held for {self.uri(staged.path)} are not those sent: run the export again")

    def publish(self, staged: Staged) -> None:
        """Complete the upload on the condition that the key is free."""
        parts = parts_of(staged)
        checksum = composite_checksum(parts)
        try:
            answer = self._calls.call(
                "complete_multipart_upload",
                expect=PARTS_GONE | TAKEN,
                Key=self._key(staged.path),
                UploadId=staged.handle["upload_id"],
                IfNoneMatch="*",
                MultipartUpload={
                    "Parts": [
                        {"PartNumber": number, "ETag": part.etag, "ChecksumSHA256": part.sha256}
                        for number, part in enumerate(parts, start=1)
                    ]
                },
            )
        except (Answered, TransientError) as error:
            self._settle(staged, error)
            return
        if answer.get("ChecksumSHA256", checksum) != checksum:
            raise IntegrityError(f"{self.uri(staged.path)} is not what was staged: delete it and run the export again")

    def discard(self, staged: Staged) -> None:
        """Abort the upload."""
        abort(self._calls, self._key(staged.path), staged.handle["upload_id"])

    def put(self, path: str, data: bytes, *, replace: bool = False) -> None:
        """PutObject, on the condition that the key is free unless `replace`."""
        condition = {} if replace else {"IfNoneMatch": "*"}
        key, digest = self._key(path), hashlib.sha256(data)
        try:
            self._calls.call(
                "put_object",
                expect=TAKEN,
                Key=key,
                Body=data,
                ChecksumSHA256=base64.b64encode(digest.digest()).decode(),
                **self._kept_as.encryption(),
                **condition,
            )
        except (Answered, TransientError) as error:
            if reads_as(self.open, path, len(data), digest.hexdigest()):
                return
            if isinstance(error, TransientError):
                raise
            raise conflict(self.uri(path)) from error

    def list(self, folder: str) -> Iterator[Entry]:
        """Objects below `folder`. They are sorted here, because directory buckets and some servers list folder by
        folder. Keys that end in `/` are folders that a console made, not files."""
        prefix = self._prefix(folder)
        show_hidden = f"{folder}/".startswith(f"{HIDDEN_FOLDER}/")
        found: list[Entry] = []
        for page in self._calls.pages("list_objects_v2", Prefix=prefix):
            for one in page.get("Contents", []):
                path = one["Key"].removeprefix(self._root)
                if not path.endswith("/") and (show_hidden or not path.startswith(f"{HIDDEN_FOLDER}/")):
                    found.append(Entry(path, one["Size"], one["LastModified"].astimezone(UTC)))
        yield from sorted(found, key=lambda entry: entry.path)

    def open(self, path: str) -> BinaryIO:
        """The object, streamed; see `open_object`."""
        try:
            return open_object(self._calls, self._key(path))
        except Answered:
            raise FileNotFoundError(f"{self.uri(path)} does not exist") from None

    def delete(self, path: str) -> None:
        """DeleteObject: in a bucket with versions the old version stays below a delete marker."""
        self._calls.call("delete_object", Key=self._key(path))

    def leftovers(self, folder: str = "") -> Iterator[Leftover]:
        """Unfinished multipart uploads. Their size is not known without a request for each, so `bytes` is None."""
        for one in unfinished_uploads(self._calls, self._prefix(folder)):
            path, started = one["Key"].removeprefix(self._root), one["Initiated"].astimezone(UTC)
            yield Leftover(path, started, None, {"upload_id": one["UploadId"]})

    def discard_leftover(self, leftover: Leftover) -> None:
        """Abort an unfinished upload."""
        abort(self._calls, self._key(leftover.path), leftover.handle["upload_id"])

    def _settle(self, staged: Staged, error: Answered | TransientError) -> None:
        """Decide what a complete without a clear answer did, by looking at the object."""
        found = self._find(staged)
        if found is Found.OURS:
            self.discard(staged)  # published by an earlier upload of the same bytes: ours is then still unfinished
            return
        if found is Found.FOREIGN:
            raise conflict(self.uri(staged.path)) from error
        if isinstance(error, TransientError):
            raise error
        if error.code in PARTS_GONE:
            raise gone(self.uri(staged.path)) from error
        raise TransientError(f"{self.uri(staged.path)} was there and vanished: it is tried again") from error

    def _find(self, staged: Staged) -> Found:
        try:
            head = self._calls.call(
                "head_object", expect=NO_SUCH_KEY, Key=self._key(staged.path), ChecksumMode="ENABLED"
            )
        except Answered:
            return Found.NOTHING
        if head["ContentLength"] != staged.bytes:
            return Found.FOREIGN
        if head.get("ChecksumSHA256") == composite_checksum(parts_of(staged)):
            return Found.OURS
        # The same bytes sent in other parts have another checksum, and some servers keep none: then the bytes decide.
        return Found.OURS if reads_as(self.open, staged.path, staged.bytes, staged.sha256) else Found.FOREIGN

    def _held_parts(self, staged: Staged) -> Iterator[Any]:
        for page in self._calls.pages(
            "list_parts", expect=NO_SUCH_UPLOAD, Key=self._key(staged.path), UploadId=staged.handle["upload_id"]
        ):
            yield from page.get("Parts", [])

    def _key(self, path: str) -> str:
        return self._root + check_path(path)

    def _prefix(self, folder: str) -> str:
        return f"{self._key(folder)}/" if folder else self._root


def _part_listed(listed: Any, sent: Mapping[int, Part]) -> tuple[int, int, str, str]:
    """Number, bytes, entity tag and checksum of a part as the server lists it. Some servers list no checksums: then the
    entity tag has to do, which the server gave for bytes whose SHA-256 it had checked."""
    number = listed["PartNumber"]
    assumed = sent[number].sha256 if number in sent else ""
    return number, listed["Size"], listed["ETag"].strip('"'), listed.get("ChecksumSHA256", assumed)
