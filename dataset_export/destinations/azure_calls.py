"""Calls to Azure Storage: one way of retrying, one way of saying what went wrong, and no signature in any text.

A shared access signature (SAS) travels in the query of every URL, so whatever an SDK says about a URL is redacted
before it becomes part of an error or of a log.
"""

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from dataset_export.destinations.answers import Rule, meaning
from dataset_export.destinations.library_logs import keep_secrets_out_of_logs, without_signature
from dataset_export.destinations.retry import with_retries
from dataset_export.errors import AccessDenied, ConfigError, ExportError, IntegrityError, NotFound, TransientError
from dataset_export.redaction import quoted

if TYPE_CHECKING:
    from azure.core.exceptions import HttpResponseError

CLIENT_OPTIONS: dict[str, Any] = {
    "retry_total": 0,
    "connection_timeout": 20,
    "read_timeout": 60,
    "logging_enable": False,
    # One request for every `put` and every ranged read: splitting is done here, where it is retried.
    "max_single_put_size": 256 << 20,
    "max_single_get_size": 16 << 20,
}
"""Keyword arguments for every client of azure-storage-*: its own retries are off (`retry.py` does them)."""

NO_SUCH_CONTAINER = frozenset({"ContainerNotFound", "FilesystemNotFound"})
REFUSED_CREDENTIALS = frozenset({"AuthenticationFailed", "AuthorizationFailure", "InvalidAuthenticationInfo"})
"""What the service answers to credentials that it does not accept; an expired SAS is among them."""

RULES = (
    Rule(NotFound, NO_SUCH_CONTAINER, (), "create it or correct its name"),
    Rule(IntegrityError, frozenset({"Md5Mismatch", "Crc64Mismatch"}), (), "the bytes changed on their way: run the export again"),
    Rule(
        TransientError,
        frozenset({"ServerBusy", "OperationTimedOut", "InternalError", "ContainerBeingDeleted", "FilesystemBeingDeleted",
                   "InternalOperationAbortError", "SourcePathIsBeingDeleted", "DestinationPathIsBeingDeleted"}),
        (),
        "it is tried again",
    ),
    Rule(
        AccessDenied,
        frozenset({"AuthorizationSourceIPMismatch", "IpAuthorizationError"}),
        (),
        "let the network rules of the account and the SAS allow this machine",
    ),
    Rule(
        AccessDenied,
        frozenset({"KeyBasedAuthenticationNotPermitted", "PublicAccessNotPermitted"}),
        (),
        "this account takes Microsoft Entra credentials only: use a service principal or the default credential",
    ),
    Rule(AccessDenied, frozenset({"AccountIsDisabled"}), (), "enable the storage account"),
    Rule(
        ConfigError,
        frozenset({"LeaseIdMissing", "LeaseIdMismatchWithBlobOperation", "LeaseIdMismatchWithContainerOperation"}),
        (),
        "somebody holds a lease on it: break the lease",
    ),
    Rule(ConfigError, frozenset({"SnapshotsPresent"}), (), "delete its snapshots first"),
    Rule(
        ConfigError,
        frozenset({"BlobImmutableDueToPolicy", "ContainerImmutableStorageWithLegalHold"}),
        (),
        "a retention policy forbids changes: wait for it to end or use a container without one",
    ),
    Rule(
        ConfigError,
        frozenset({"BlockCountExceedsLimit"}),
        (),
        "it holds too many uncommitted blocks: remove them with `dataset-export sweep`",
    ),
)  # fmt: skip
CLOCK = Rule(ConfigError, frozenset(), range(1000), "set the clock of this machine")

Client = Any
Answer = TypeVar("Answer")


class Answered(Exception):
    """The service answered with an error code that the caller said it expects."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class ClientSource(Protocol):
    """Where the client for the next call comes from. May be used from several threads."""

    def current(self) -> Client:
        """The client to use now. Raises ExportError when none can be made."""
        ...

    def renewed(self, refused: Client) -> bool:
        """Whether there is another client now than `refused`, whose credentials the service did not take."""
        ...


class LazyClient:
    """A client made by `factory` at the first call, and kept."""

    def __init__(self, factory: Callable[[], Client]) -> None:
        self._factory = factory
        self._client: Client = None
        self._lock = threading.Lock()

    def current(self) -> Client:
        """See `ClientSource.current`."""
        with self._lock:
            if self._client is None:
                self._client = made(self._factory)
            return self._client

    def renewed(self, refused: Client) -> bool:
        """Credentials that are given once stay what they are."""
        return self.current() is not refused


def made(factory: Callable[[], Client]) -> Client:
    """The client that `factory` makes. Raises ConfigError, without what the SDK was given."""
    keep_secrets_out_of_logs()
    try:
        return factory()
    except ValueError as error:
        failed = ConfigError(f"the client of the storage account cannot be made: {_said(error)}")
    raise failed


class AzureCalls:
    """Calls to one container or file system.

    `name` says in errors what is called (`the container exports of the account lake`); `source` gives the client.
    """

    def __init__(self, name: str, source: ClientSource) -> None:
        self.name = name
        self._source = source

    def call(
        self, operation: str, request: Callable[[Client], Answer], *, expect: frozenset[str] = frozenset()
    ) -> Answer:
        """What `request` returns for the client, tried again after transient failures, and once more with renewed
        credentials after a refusal of them. `operation` is the service's own name of it, for errors.

        Raises:
            Answered: when the service answered with a code of `expect`.
            ExportError: every other failure, in our words; it carries no exception of the SDK.
        """

        def attempt() -> Answer:
            client = self._source.current()
            outcome = _outcome(lambda: request(client))
            if isinstance(outcome, _Failed) and outcome.code in REFUSED_CREDENTIALS and self._source.renewed(client):
                client = self._source.current()
                outcome = _outcome(lambda: request(client))
            if not isinstance(outcome, _Failed):
                return outcome
            if outcome.code in expect:
                raise Answered(outcome.code)
            raise our_error(outcome.error, operation, self.name)

        return with_retries(attempt)

    def pages(self, operation: str, listing: Callable[[Client], Any]) -> Iterator[list[Any]]:
        """The pages of a listing, one request each. `listing` returns the SDK's `ItemPaged`. Raises ExportError."""
        token: str | None = None
        while True:

            def one_page(client: Client, token: str | None = token) -> tuple[list[Any], str | None]:
                pages = listing(client).by_page(continuation_token=token)
                return list(next(pages)), pages.continuation_token

            page, token = self.call(operation, one_page)
            yield page
            if not token:
                return


class _Failed:
    """An exception of the SDK, caught outside of any `raise`, so that nothing carries it further."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.code = error_code(error)


def _outcome(request: Callable[[], Answer]) -> "Answer | _Failed":
    from azure.core.exceptions import AzureError
    from urllib3.exceptions import HTTPError

    try:
        return request()
    except (AzureError, HTTPError, OSError, ValueError) as error:
        return _Failed(error)


def error_code(error: Exception) -> str:
    """The service's code of an error answer; "" for none."""
    code: object = getattr(error, "error_code", None) or ""
    return str(getattr(code, "value", code))


def our_error(error: Exception, operation: str, name: str) -> ExportError:
    """Our error for what an SDK raised at `operation` on the thing called `name`."""
    from azure.core.exceptions import ClientAuthenticationError, HttpResponseError

    if isinstance(error, HttpResponseError) and error.response is not None and error_code(error):
        return _answer_meaning(error, operation, name)
    said = f"{operation} on {name} failed: {_said(error)}"
    if isinstance(error, ClientAuthenticationError):
        return AccessDenied(f"{said}; check the credentials: nobody could be signed in with them")
    if isinstance(error, HttpResponseError) and error.response is not None:
        return meaning(said, RULES, code="", status=int(error.status_code or 0), headers=_headers(error))
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return ConfigError(f"{said}; let this machine trust the endpoint's certificate authority (REQUESTS_CA_BUNDLE)")
    if isinstance(error, ValueError):
        return ConfigError(f"{said}; check the fields of the destination")
    return TransientError(f"{said}; check that the endpoint can be reached, it is tried again")


def _answer_meaning(error: "HttpResponseError", operation: str, name: str) -> ExportError:
    code, status = error_code(error), int(error.status_code or 0)
    headers = _headers(error)
    text = _said(error).rstrip(".")
    request_id = next((value for key, value in headers.items() if key.lower() == "x-ms-request-id"), "unknown")
    said = f"{name} answered {operation} with {code} ({status}, {text}, request id {request_id})"
    if "date header too old" in str(error):
        return meaning(said, (CLOCK,), code=code, status=status)
    return meaning(said, RULES, code=code, status=status, headers=headers)


def _headers(error: "HttpResponseError") -> dict[str, str]:
    return dict(getattr(error.response, "headers", None) or {})


def _said(error: Exception) -> str:
    """The first line, fit to be shown: the SDKs append the whole answer, with the string that was signed, below it."""
    return quoted(without_signature((str(error).splitlines() or [type(error).__name__])[0]))
