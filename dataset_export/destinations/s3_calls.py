"""Calls to one S3 bucket, with botocore's errors turned into ours.

botocore has retried before an error arrives here (standard mode, a few tries), so whatever is left is final for now.
"""

import threading
from collections.abc import Callable, Collection, Generator, Iterator, Set
from contextlib import contextmanager
from typing import Any, NamedTuple

from dataset_export.errors import (
    AccessDenied,
    ConfigError,
    ExportError,
    IntegrityError,
    NotFound,
    StorageFull,
    TransientError,
)


class Rule(NamedTuple):
    """Which error answers become which error of ours: by their code, else by their HTTP status."""

    error: type[ExportError]
    codes: Set[str]
    statuses: Collection[int]
    advice: str


RULES = (
    Rule(NotFound, {"NoSuchBucket"}, (), "create the bucket or correct its name"),
    Rule(
        StorageFull,
        {"QuotaExceeded", "QuotaExceededException", "InsufficientStorage", "XMinioStorageFull"},
        (507,),
        "free some space or raise the quota, then run the export again",
    ),
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
        "set region_name and endpoint_url to where the bucket is",
    ),
    Rule(ConfigError, {"RequestTimeTooSkewed"}, (), "set the clock of this machine"),
    Rule(
        TransientError,
        {"SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "InternalError", "ServiceUnavailable"},
        (408, 409, 429, *range(500, 600)),
        "it is tried again",
    ),
    Rule(
        AccessDenied,
        {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"},
        (401, 403),
        "check the credentials and that their policy allows this operation on the bucket and folder",
    ),
)
OTHERWISE = Rule(ConfigError, frozenset(), (), "check the bucket, the folder and the endpoint")


class Answered(Exception):
    """The server answered with an error code that the caller said it expects."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Bucket:
    """One bucket, reached through a client that `client_factory` makes at the first call. May be used from several
    threads: a boto3 client is thread-safe, making one is not, so that happens under a lock."""

    def __init__(self, name: str, client_factory: Callable[[], Any]) -> None:
        self.name = name
        self._client_factory = client_factory
        self._client: Any = None
        self._lock = threading.Lock()

    def call(self, operation: str, *, expect: frozenset[str] = frozenset(), **arguments: Any) -> Any:
        """The answer to one operation, named as the client's method is.

        Raises:
            Answered: when the server answered with a code of `expect`.
            ExportError: every other failure, in our words.
        """
        with self.translated(operation, expect):
            return getattr(self._ready_client(), operation)(Bucket=self.name, **arguments)

    def pages(self, operation: str, *, expect: frozenset[str] = frozenset(), **arguments: Any) -> Iterator[Any]:
        """The answers to a paged listing, one request each. Raises as `call` does."""
        with self.translated(operation, expect):
            pages = iter(self._ready_client().get_paginator(operation).paginate(Bucket=self.name, **arguments))
        while True:
            with self.translated(operation, expect):
                page = next(pages, None)
            if page is None:
                return
            yield page

    @contextmanager
    def translated(self, operation: str, expect: frozenset[str] = frozenset()) -> Generator[None]:
        """Turn what the client raises in the block into our errors, or into `Answered`."""
        from botocore.exceptions import BotoCoreError, ClientError
        from urllib3.exceptions import HTTPError

        try:
            yield
        except ClientError as error:
            code = error_code(error.response)
            if code in expect:
                raise Answered(code) from error
            raise answer_meaning(error.response, operation, self.name) from error
        except (BotoCoreError, HTTPError, OSError) as error:
            raise failure_meaning(error, operation, self.name) from error

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
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    text = str(response.get("Error", {}).get("Message", "")) or "no message"
    by_code = (rule for rule in RULES if code in rule.codes)
    by_status = (rule for rule in RULES if status in rule.statuses)
    rule = next(by_code, None) or next(by_status, OTHERWISE)
    return rule.error(f"the bucket {bucket} answered {operation} with {code} ({status}, {text}); {rule.advice}")


def failure_meaning(error: Exception, operation: str, bucket: str) -> ExportError:
    """Our error for a call that got no answer, or was never sent."""
    from botocore import exceptions as botocore
    from urllib3.exceptions import HTTPError

    said = f"{operation} on the bucket {bucket} failed: {str(error).rstrip('.')}"
    if isinstance(error, botocore.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return ConfigError(f"{said}; let this machine trust the endpoint's certificate authority (AWS_CA_BUNDLE)")
    if isinstance(error, (botocore.ChecksumError, botocore.FlexibleChecksumError)):
        return IntegrityError(f"{said}; the bytes that arrived are not those stored: try again")
    broken = (botocore.HTTPClientError, botocore.ConnectionError, botocore.IncompleteReadError, HTTPError, OSError)
    if isinstance(error, broken):
        return TransientError(f"{said}; check that the endpoint can be reached, it is tried again")
    if isinstance(error, (botocore.NoCredentialsError, botocore.PartialCredentialsError)):
        return AccessDenied(f"{said}; set the access key id and the secret access key, or a profile")
    if isinstance(error, (botocore.CredentialRetrievalError, botocore.UnauthorizedSSOTokenError)):
        return AccessDenied(f"{said}; renew the credentials")
    return ConfigError(f"{said}; check the bucket, region, endpoint and profile")
