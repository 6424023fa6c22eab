"""Calls to one S3 bucket: tried again where that helps, with botocore's errors turned into ours.

The client comes without retries of its own, so that one policy holds for every destination and a Retry-After counts.
"""

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

from dataset_export.destinations.answers import Rule, meaning
from dataset_export.destinations.retry import with_retries
from dataset_export.errors import (
    AccessDenied,
    ConfigError,
    ExportError,
    IntegrityError,
    NotFound,
    StorageFull,
    TransientError,
)
from dataset_export.redaction import quoted

RULES = (
    Rule(NotFound, {"NoSuchBucket"}, (), "create the bucket or correct its name"),
    Rule(
        StorageFull,
        {"QuotaExceeded", "QuotaExceededException", "InsufficientStorage", "XMinioStorageFull"},
        (),
        "free some space or raise the quota, then run the export again",
    ),
    Rule(StorageFull, {"EntityTooLarge"}, (413,), "limit the bytes per file"),
    Rule(
        IntegrityError,
        {"BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"},
        (),
        "the bytes changed on their way: run the export again",
    ),
    Rule(
        ConfigError,
        {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"},
        (301, 307),
        "set the region and the endpoint_url to where the bucket is",
    ),
    Rule(ConfigError, {"RequestTimeTooSkewed"}, (), "set the clock of this machine"),
    Rule(ConfigError, {"InvalidStorageClass"}, (), "correct storage_class"),
    Rule(
        TransientError,
        {"SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "InternalError", "ServiceUnavailable"},
        (409,),
        "it is tried again",
    ),
    Rule(
        AccessDenied,
        {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"},
        (),
        "the credentials have expired: renew the session token, or name a role_arn, whose credentials are renewed "
        "during an export",
    ),
    Rule(
        AccessDenied,
        {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "InvalidClientTokenId"},
        (),
        "check the credentials and that their policy allows this operation on the bucket and folder",
    ),
    Rule(
        ConfigError,
        {"KMS.NotFoundException", "KMS.DisabledException", "KMS.KMSInvalidStateException"},
        (),
        "check kms_key_id and the state of that key",
    ),
)

UNSENDABLE = (
    "it could not be sent: check that each of the credentials is one line, without spaces and without letters that no "
    "header takes"
)

NEXT_PAGE = {
    "list_objects_v2": {"ContinuationToken": "NextContinuationToken"},
    "list_multipart_uploads": {"KeyMarker": "NextKeyMarker", "UploadIdMarker": "NextUploadIdMarker"},
    "list_parts": {"PartNumberMarker": "NextPartNumberMarker"},
}
"""For each paged listing: the arguments that ask for the next page, and where the last answer says their values."""


class Answered(Exception):
    """The server answered with an error code that the caller said it expects."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Bucket:
    """One bucket, reached through a client that `client_factory` makes at the first call. May be used from several
    threads: a botocore client is thread-safe, making one is not, so that happens under a lock."""

    def __init__(self, name: str, client_factory: Callable[[], Any]) -> None:
        self.name = name
        self._client_factory = client_factory
        self._client: Any = None
        self._lock = threading.Lock()

    @property
    def endpoint(self) -> str:
        """URL of the server."""
        return str(self._ready_client().meta.endpoint_url)

    def call(self, operation: str, *, expect: frozenset[str] = frozenset(), **arguments: Any) -> Any:
        """The answer to one operation, named as the client's method is; tried again as `retry.with_retries` says.

        Raises:
            Answered: when the server answered with a code of `expect`.
            ExportError: every other failure, in our words.
        """
        return with_retries(lambda: self.call_once(operation, expect=expect, **arguments))

    def call_once(self, operation: str, *, expect: frozenset[str] = frozenset(), **arguments: Any) -> Any:
        """As `call`, with one try: for a caller that repeats more than the call."""
        with self.translated(operation, expect):
            return getattr(self._ready_client(), operation)(Bucket=self.name, **arguments)

    def pages(self, operation: str, *, expect: frozenset[str] = frozenset(), **arguments: Any) -> Iterator[Any]:
        """The answers to a paged listing, one request each, and each is tried again on its own. Raises as `call`."""
        place: dict[str, Any] = {}
        while True:
            page = self.call(operation, expect=expect, **arguments, **place)
            yield page
            if not page.get("IsTruncated"):
                return
            following = {argument: page[name] for argument, name in NEXT_PAGE[operation].items() if page.get(name)}
            if not following or following == place:
                raise ConfigError(
                    f"the bucket {self.name} answered {operation} with a page that has no next one and is not the "
                    "last: its server does not page as S3 does"
                )
            place = following

    @contextmanager
    def translated(self, operation: str, expect: frozenset[str] = frozenset()) -> Generator[None]:
        """Turn what the client raises in the block into our errors, or into `Answered`."""
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError
        from urllib3.exceptions import HTTPError

        try:
            yield
        except ClientError as error:
            assuming = error.operation_name == "AssumeRole"
            code = error_code(error.response)
            if code in expect and not assuming:
                raise Answered(code) from None
            asked = "the request for the role" if assuming else operation
            raise answer_meaning(error.response, asked, self.name) from None
        except ResponseParserError:
            raise TransientError(
                f"the answer to {operation} on the bucket {self.name} is not one of AWS; check the endpoint and what "
                "stands before it, it is tried again"
            ) from None
        except (BotoCoreError, HTTPError, OSError) as error:
            raise failure_meaning(error, operation, self.name) from None

    def _ready_client(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = self._client_factory()
            return self._client


def error_code(response: Any) -> str:
    """The code of an error answer. The answer to a HEAD has no body, so its code is only the number of the status."""
    code = str(response.get("Error", {}).get("Code", ""))
    return {"404": "NoSuchKey", "403": "AccessDenied", "412": "PreconditionFailed"}.get(code, code)


def answer_meaning(response: Any, operation: str, bucket: str) -> ExportError:
    """Our error for an error answer of the server."""
    code = error_code(response)
    metadata = response.get("ResponseMetadata", {})
    status = int(metadata.get("HTTPStatusCode", 0))
    text = quoted(response.get("Error", {}).get("Message", "")) or "no message"
    said = f"the bucket {bucket} answered {operation} with {code} ({status}, {text})"
    return meaning(said, RULES, code=code, status=status, headers=metadata.get("HTTPHeaders", {}))


def failure_meaning(error: Exception, operation: str, bucket: str) -> ExportError:
    """Our error for a call that got no answer, or was never sent."""
    from botocore import exceptions as botocore
    from urllib3.exceptions import HTTPError

    said = f"{operation} on the bucket {bucket} failed: {quoted(error).rstrip('.')}"
    if isinstance(error, botocore.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return ConfigError(f"{said}; name the file with the endpoint's certificate authority in ca_bundle")
    if isinstance(error, (botocore.ChecksumError, botocore.FlexibleChecksumError)):
        return IntegrityError(f"{said}; the bytes that arrived are not those stored: try again")
    if isinstance(error, botocore.HTTPClientError) and isinstance(error.kwargs.get("error"), ValueError):
        return ConfigError(f"{said}; {UNSENDABLE}")
    broken = (botocore.HTTPClientError, botocore.ConnectionError, botocore.IncompleteReadError, HTTPError, OSError)
    if isinstance(error, broken):
        return TransientError(f"{said}; check that the endpoint can be reached, it is tried again")
    missing = (botocore.NoCredentialsError, botocore.PartialCredentialsError)
    if isinstance(error, (*missing, botocore.CredentialRetrievalError, botocore.UnauthorizedSSOTokenError)):
        set_or_renew = "set the access key id and the secret access key, or a profile"
        return AccessDenied(f"{said}; {set_or_renew if isinstance(error, missing) else 'renew the credentials'}")
    return ConfigError(f"{said}; check the bucket, region, endpoint and profile")
