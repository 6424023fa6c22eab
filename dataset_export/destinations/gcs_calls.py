"""Calls to one bucket through the XML API of Google Cloud Storage: one way of retrying, one way of saying what went wrong.

The XML API is the one that takes both tokens and HMAC keys, and the one that has multipart uploads. Google's client for
it does not exist in Python, so requests are made here.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote
from xml.etree import ElementTree

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

if TYPE_CHECKING:
    from requests import PreparedRequest, Response, Session

PUBLIC_ENDPOINT = "https://storage.googleapis.com"
TIMEOUT_SECONDS = (20, 60)
"""To connect, and between two pieces of an answer."""
POOL_CONNECTIONS = 32
"""Several files are staged at once, and each sends several parts."""

RULES = (
    Rule(NotFound, {"NoSuchBucket"}, (), "create the bucket or correct its name"),
    Rule(StorageFull, {"EntityTooLarge"}, (413,), "limit the bytes per file"),
    Rule(IntegrityError, {"BadDigest", "CrcMismatch"}, (), "the bytes changed on their way: run the export again"),
    Rule(IntegrityError, {"NoSuchUpload"}, (), "somebody ended this upload, or another try did: run the export again"),
    Rule(ConfigError, {"RequestTimeTooSkewed"}, (), "set the clock of this machine"),
    Rule(
        ConfigError,
        {"UserProjectMissing", "UserProjectAccountProblem", "AccountProblem"},
        (),
        "see to the billing of the bucket's project, and of the quota project of the credentials",
    ),
    Rule(
        ConfigError,
        {"CloudKmsBadKey", "CloudKmsDisabledKey", "CloudKmsEncryptionKeyNotFound", "CloudKmsDecryptionKeyNotFound",
         "CloudKmsKeyLocationNotAllowed"},
        (),
        "see to the Cloud KMS key by which the bucket encrypts",
    ),
    Rule(
        ConfigError,
        {"RetentionPolicyNotMet", "ObjectUnderActiveHold"},
        (),
        "a retention policy or a hold forbids changes: use a bucket without one",
    ),
    Rule(TransientError, {"SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable"}, (409,), "it is tried again"),
    Rule(
        AccessDenied,
        {"AuthenticationRequired", "InvalidSecurity", "SignatureDoesNotMatch", "InvalidAccessKeyId", "ExpiredToken"},
        (),
        "nobody was signed in by these credentials: check them, and that the HMAC key is active",
    ),
)  # fmt: skip

HEAD_CODES = {404: "NoSuchKey", 412: "PreconditionFailed"}
"""The answer to a HEAD has no body, so its code follows from its status."""


class Answered(Exception):
    """The service answered with an error code that the caller said it expects."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class SignIn(Protocol):
    """What puts credentials on a request. May be used from several threads."""

    def __call__(self, request: "PreparedRequest") -> "PreparedRequest":
        """Put them on."""
        ...

    def renewed(self, refused: str) -> bool:
        """Whether there are other credentials now than the Authorization header `refused`."""
        ...


@dataclass(frozen=True)
class Request:
    """A request without credentials."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """An answer of the service; the names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    refused: str = field(default="", repr=False)

    def xml(self) -> ElementTree.Element:
        """The body as an element, without namespaces. Raises TransientError when it is not XML."""
        try:
            root = ElementTree.fromstring(self.body)  # noqa: S314  # expat bounds the expansion of entities itself
        except ElementTree.ParseError:
            root = None
        if root is None:
            raise TransientError(
                "an answer that should be XML of Google Cloud Storage is something else; check the endpoint and what "
                "stands before it, it is tried again"
            )
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
        return root


class GCSCalls:
    """Calls to the bucket `name` at `endpoint`. `sign_in` makes the credentials, at the first call, from the session
    that requests are sent with."""

    def __init__(self, name: str, endpoint: str, sign_in: "Callable[[Session], SignIn]") -> None:
        self.name = name
        self._url = f"{endpoint.rstrip('/')}/{quote(name, safe='')}"
        self._make_sign_in = sign_in
        self._ready: tuple[Session, SignIn] | None = None
        self._lock = threading.Lock()

    def call(
        self,
        operation: str,
        method: str,
        key: str = "",
        *,
        query: Mapping[str, str | int | None] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        expect: frozenset[str] = frozenset(),
        has: str = "",
    ) -> Answer:
        """The answer to a request, tried again after transient failures, and once more with renewed credentials after a
        refusal of them.

        Args:
            operation: its name in errors.
            method: of HTTP.
            key: name of the object; "" for the bucket.
            query: parameters; one without a value is None.
            headers: of the request, beside those of the credentials.
            body: of the request.
            expect: codes of error answers that are raised as `Answered`.
            has: name of the root element that the answer must have; "" for an answer without XML.

        Raises:
            Answered: when the service answered with a code of `expect`.
            ExportError: every other failure, in our words; it carries no exception of a library.
        """
        url = self.url_of(key) + _query(query or {})

        def attempt() -> Answer:
            session, sign_in = self._connection()
            for last in (False, True):
                outcome = _outcome(lambda: _send(session, sign_in, Request(method, url, headers or {}, body)))
                if isinstance(outcome, Exception):
                    raise failure_meaning(outcome, operation, self.name)
                if outcome.status != 401 or last:
                    break
                renewal = _outcome(lambda refused=outcome.refused: sign_in.renewed(refused))
                if isinstance(renewal, Exception):
                    raise failure_meaning(renewal, operation, self.name)
                if not renewal:
                    break
            return self._checked(outcome, operation, method, expect, has)

        return with_retries(attempt)

    def pages(
        self, operation: str, query: Mapping[str, str | int | None], *, has: str, tokens: Mapping[str, str]
    ) -> Iterator[ElementTree.Element]:
        """The pages of a listing of the bucket, one request each; `has` as for `call`. `tokens` says which elements of a
        page are which parameters of the request for the next one. Raises ExportError."""
        place = dict[str, str]()
        while True:
            page = self.call(operation, "GET", query={**query, **place}, has=has).xml()
            yield page
            if text(page, "IsTruncated") != "true":
                return
            following = {parameter: text(page, element) for element, parameter in tokens.items()}
            if following == place or not any(following.values()):
                raise ConfigError(
                    f"the bucket {self.name} answered a listing with a page that has no next one and is not the last: "
                    "its server does not page as Google Cloud Storage does"
                )
            place = following

    def url_of(self, key: str) -> str:
        """URL of an object, or of the bucket for ""."""
        return f"{self._url}/{quote(key, safe='/')}" if key else self._url

    def copy_source(self, key: str) -> str:
        """An object of this bucket as `x-goog-copy-source` takes it."""
        return quote(f"{self.name}/{key}", safe="/")

    def _connection(self) -> "tuple[Session, SignIn]":
        with self._lock:
            if self._ready is None:
                session = _new_session()
                self._ready = session, self._make_sign_in(session)
            return self._ready

    def _checked(self, answer: Answer, operation: str, method: str, expect: frozenset[str], has: str) -> Answer:
        if answer.status < 300:
            # A copy or a complete that fails late answers 200 and then with an error.
            root = answer.xml().tag if has else ""
            if root == has:
                return answer
            if root != "Error":
                raise TransientError(
                    f"the answer to {operation} on the bucket {self.name} is not one of Google Cloud Storage; check the "
                    "endpoint and what stands before it, it is tried again"
                )
        code, message = error_of(answer, method)
        if code in expect:
            raise Answered(code)
        raise self._meaning(answer, operation, code, message)

    def _meaning(self, answer: Answer, operation: str, code: str, message: str) -> ExportError:
        request_id = answer.headers.get("x-guploader-uploadid", "unknown")
        said = (
            f"the bucket {self.name} answered {operation} with {code or 'no code'} ({answer.status}, {message}, "
            f"request id {request_id})"
        )
        # An error that comes with a status of success came too late to change the status.
        status = answer.status if answer.status >= 300 else 500
        return meaning(said, RULES, code=code, status=status, headers=answer.headers)


def error_of(answer: Answer, method: str) -> tuple[str, str]:
    """Code and message of an error answer. Nothing else of it is used: some name the string that was signed."""
    if method == "HEAD":
        return HEAD_CODES.get(answer.status, ""), "no message"
    try:
        error = answer.xml()
    except TransientError:
        return "", "no message"
    return text(error, "Code"), quoted(text(error, "Message")).rstrip(".") or "no message"


def text(element: ElementTree.Element, name: str) -> str:
    """Text of a child; "" when there is none."""
    return (element.findtext(name) or "").strip()


def failure_meaning(error: Exception, operation: str, bucket: str) -> ExportError:
    """Our error for a request that got no answer, or was never sent."""
    from google.auth.exceptions import GoogleAuthError, TransportError

    said = f"{operation} on the bucket {bucket} failed"
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return ConfigError(
            f"{said}: the certificate of the endpoint is not trusted; let this machine trust its authority "
            "(REQUESTS_CA_BUNDLE)"
        )
    if isinstance(error, GoogleAuthError):
        # Its text may hold the whole answer of the token's server, so only the first words of it are said.
        first = quoted(error.args[0] if error.args else type(error).__name__)
        if isinstance(error, TransportError) or getattr(error, "retryable", False):
            return TransientError(f"{said}: no token could be fetched ({first}); it is tried again")
        return AccessDenied(f"{said}: no token could be fetched ({first}); check the credentials and what they may do")
    said = f"{said}: {quoted(error).rstrip('.')}"
    if isinstance(error, ValueError) and not isinstance(error, OSError):
        return ConfigError(f"{said}; check the fields of the destination")
    return TransientError(f"{said}; check that the endpoint can be reached, it is tried again")


def _new_session() -> "Session":
    from requests import Session
    from requests.adapters import HTTPAdapter

    session = Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_connections=4, pool_maxsize=POOL_CONNECTIONS, max_retries=0))
    return session


def _send(session: "Session", sign_in: SignIn, request: Request) -> Answer:
    response: Response = session.request(
        request.method,
        request.url,
        headers={"Accept-Encoding": "identity", "Content-Type": "application/octet-stream", **request.headers},
        data=request.body,
        auth=sign_in,
        timeout=TIMEOUT_SECONDS,
        allow_redirects=False,
        stream=True,
    )
    with response:
        # Read as it is: what somebody stored compressed is compared and delivered compressed.
        content: bytes = response.raw.read(decode_content=False)
    used = str(response.request.headers.get("Authorization", ""))
    found = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status_code, found, content, used)


def _outcome(request: Callable[[], Any]) -> Any:
    """What `request` returns, or the exception of a library, caught outside of any `raise`, so that nothing carries it."""
    from google.auth.exceptions import GoogleAuthError
    from requests import RequestException
    from urllib3.exceptions import HTTPError

    try:
        return request()
    except (RequestException, HTTPError, GoogleAuthError, OSError, ValueError) as error:
        return error


def _query(query: Mapping[str, str | int | None]) -> str:
    parts = (name if value is None else f"{name}={quote(str(value), safe='')}" for name, value in query.items())
    return f"?{'&'.join(parts)}" if query else ""
