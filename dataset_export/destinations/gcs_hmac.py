"""Signing requests to the XML API of Google Cloud Storage with an HMAC key (Google's V4 process, `GOOG4-HMAC-SHA256`).

The SHA-256 of the body is part of what is signed, so the service refuses a body that changed on its way.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from requests import PreparedRequest

ALGORITHM = "GOOG4-HMAC-SHA256"
LOCATION = "auto"
"""The service takes any location here; the word is there for tools of other services."""


class HmacSignIn:
    """Signs each request with an access id and its secret."""

    def __init__(self, access_id: str, secret: str) -> None:
        self._access_id = access_id
        self._secret = secret

    def __call__(self, request: "PreparedRequest") -> "PreparedRequest":
        """Add the headers of the signature. requests calls this when everything else is in place."""
        body = request.body if isinstance(request.body, bytes) else b""
        url = urlsplit(request.url or "")
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        request.headers["Host"] = url.netloc
        request.headers["x-goog-date"] = moment
        request.headers["x-goog-content-sha256"] = hashlib.sha256(body).hexdigest()
        headers = {name.lower(): str(value) for name, value in request.headers.items() if is_signed(name.lower())}
        signed = Signed(request.method or "", url.path, url.query, headers)
        request.headers["Authorization"] = authorization(self._access_id, self._secret, signed)
        return request

    def renewed(self, refused: str) -> bool:
        """A key that is given once stays what it is."""
        return False


@dataclass(frozen=True)
class Signed:
    """What of a request is signed: method, path and query as they are sent, and headers by their lower-case names,
    `host`, `x-goog-date` and `x-goog-content-sha256` among them."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]

    def canonical(self) -> str:
        """The request in the one form that both sides sign."""
        names = sorted(self.headers)
        parameters = (one if "=" in one else f"{one}=" for one in self.query.split("&") if one)
        headers = (f"{name}:{' '.join(self.headers[name].split())}" for name in names)
        payload = self.headers["x-goog-content-sha256"]
        return "\n".join((self.method, self.path, "&".join(sorted(parameters)), *headers, "", ";".join(names), payload))


def is_signed(header: str) -> bool:
    """Whether a header (lower case) is one that the service wants to be signed."""
    return header == "host" or header.startswith("x-goog-")


def authorization(access_id: str, secret: str, signed: Signed) -> str:
    """The value of the Authorization header."""
    moment = signed.headers["x-goog-date"]
    scope = f"{moment[:8]}/{LOCATION}/storage/goog4_request"
    text = "\n".join((ALGORITHM, moment, scope, hashlib.sha256(signed.canonical().encode()).hexdigest()))
    key = f"GOOG4{secret}".encode()
    for step in scope.split("/"):
        key = hmac.digest(key, step.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    names = ";".join(sorted(signed.headers))
    return f"{ALGORITHM} Credential={access_id}/{scope}, SignedHeaders={names}, Signature={signature}"
