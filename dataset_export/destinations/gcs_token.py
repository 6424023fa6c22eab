"""Signing in to Google Cloud Storage with OAuth 2.0 tokens: of a service account's key, or application default credentials.

The resource of dagster-gcp makes a client of its project and nothing else: it takes no key, no endpoint, and its client
tries again by itself and knows no unfinished multipart uploads. So google-auth is used as it is.
"""

import json
import threading
from typing import TYPE_CHECKING, Any

from dataset_export.errors import AccessDenied, ConfigError

if TYPE_CHECKING:
    from requests import PreparedRequest, Session

SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"


class TokenSignIn:
    """Adds a token to each request, and fetches a new one before it expires or when it was refused. `session` is what
    tokens are fetched with."""

    def __init__(self, credentials: Any, session: "Session") -> None:
        from google.auth.transport.requests import Request

        self._credentials = credentials
        self._transport = Request(session)
        self._lock = threading.Lock()

    def __call__(self, request: "PreparedRequest") -> "PreparedRequest":
        """Add the token. requests calls this. Raises GoogleAuthError when none is to be had."""
        headers = dict[str, str]()
        with self._lock:
            if not self._credentials.valid:
                self._credentials.refresh(self._transport)
            self._credentials.apply(headers)
        request.headers.update(headers)
        return request

    def renewed(self, refused: str) -> bool:
        """Whether there is another token now than that of the refused Authorization header. Raises GoogleAuthError."""
        with self._lock:
            if refused == f"Bearer {self._credentials.token}":
                self._credentials.refresh(self._transport)
            return refused != f"Bearer {self._credentials.token}"


def service_account(key: str) -> Any:
    """Credentials of a service account, from the text of its JSON key.

    Raises:
        ConfigError: when the text is no such key; it repeats nothing of it.
    """
    from google.auth.exceptions import GoogleAuthError
    from google.oauth2.service_account import Credentials

    try:
        return Credentials.from_service_account_info(json.loads(key), scopes=[SCOPE])
    except (GoogleAuthError, ValueError, TypeError, AttributeError, KeyError):
        wrong = ConfigError(
            "service_account_key is not the JSON key of a service account: refer to the whole file that was downloaded"
        )
    raise wrong


def default_credentials(session: "Session") -> Any:
    """Application default credentials: the file that GOOGLE_APPLICATION_CREDENTIALS names, what `gcloud auth
    application-default login` left, the service account of the machine.

    Raises:
        AccessDenied: when there are none.
    """
    import google.auth
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import Request

    try:
        credentials, _ = google.auth.default(scopes=[SCOPE], request=Request(session))
    except (GoogleAuthError, ValueError, OSError):
        wrong = AccessDenied(
            "no application default credentials of Google were found: set GOOGLE_APPLICATION_CREDENTIALS, run `gcloud "
            "auth application-default login`, or give hmac_access_id and hmac_secret, or service_account_key"
        )
    else:
        return credentials
    raise wrong
