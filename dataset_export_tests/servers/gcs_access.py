"""Who may do what at the Google Cloud Storage server: HMAC keys (V4 signatures), tokens, and the server that issues them."""

import hashlib
import hmac
import json
import re
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from dataset_export_tests.servers.gcs_bucket import Refused

ACCOUNT = "exporter@tests.iam.gserviceaccount.com"
SCOPES = {
    "https://www.googleapis.com/auth/devstorage.read_write",
    "https://www.googleapis.com/auth/devstorage.full_control",
    "https://www.googleapis.com/auth/cloud-platform",
}
AUDIENCE = "https://oauth2.googleapis.com/token"
"""Whom an assertion is for: this one, wherever the key says that tokens are issued."""
ANYTHING = None
SKEW = timedelta(minutes=15)


@dataclass
class Access:
    """Credentials that the server knows. `permissions` are those of the one account, `ANYTHING` for all."""

    hmac_id: str = field(default_factory=lambda: f"GOOG1E{secrets.token_hex(27).upper()}")
    hmac_secret: str = field(default_factory=lambda: secrets.token_urlsafe(30))
    permissions: frozenset[str] | None = ANYTHING
    token_lasts: int = 3600
    tokens: dict[str, float] = field(default_factory=dict[str, float])
    issued: int = 0

    def __post_init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._key_id = secrets.token_hex(20)
        self._lock = threading.Lock()

    def token(self) -> str:
        """A new token."""
        with self._lock:
            token = f"ya29.{secrets.token_urlsafe(40)}"
            self.tokens[token] = time.time() + self.token_lasts
            self.issued += 1
        return token

    def key_file(self, endpoint: str) -> str:
        """Text of the JSON key of the service account, whose tokens are issued at `endpoint`."""
        pem = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        key = {
            "type": "service_account", "project_id": "tests", "private_key_id": self._key_id,
            "private_key": pem.decode(), "client_email": ACCOUNT, "client_id": "1", "token_uri": f"{endpoint}/token",
        }  # fmt: skip
        return json.dumps(key)

    def grant(self, form: str) -> tuple[int, dict[str, object]]:
        """The answer to a request for a token: a signed assertion, exchanged (RFC 7523)."""
        given = {name: values[0] for name, values in parse_qs(form).items()}
        if given.get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer":
            return 400, {"error": "unsupported_grant_type"}
        try:
            claims = jwt.decode(
                given.get("assertion", ""), self._key.public_key(), algorithms=["RS256"], audience=AUDIENCE,
                issuer=ACCOUNT, options={"require": ["exp", "iat", "aud", "iss"]},
            )  # fmt: skip
        except jwt.InvalidTokenError:
            return 400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
        if not SCOPES & set(str(claims.get("scope", "")).split()):
            return 400, {"error": "invalid_scope"}
        return 200, {"access_token": self.token(), "expires_in": self.token_lasts, "token_type": "Bearer"}

    def check(self, method: str, target: str, headers: Mapping[str, str]) -> None:
        """Whether the request (headers by lower-case name) comes from the account. Raises Refused."""
        given = headers.get("authorization", "")
        scheme, _, rest = given.partition(" ")
        if scheme == "Bearer":
            if self.tokens.get(rest, 0) < time.time():
                raise Refused(401, "AuthenticationRequired", "Authentication required.")
        elif scheme == "GOOG4-HMAC-SHA256":
            self._check_signature(method, target, headers, rest)
        elif given:
            raise Refused(401, "AuthenticationRequired", "Authentication required.")
        else:
            raise Refused(403, "AccessDenied", "Anonymous caller does not have access.")

    def require(self, *permissions: str) -> None:
        """Whether the account has the permissions. Raises Refused."""
        for permission in permissions:
            if self.permissions is not ANYTHING and permission not in self.permissions:
                raise Refused(403, "AccessDenied", f"{ACCOUNT} does not have {permission} access.")

    def _check_signature(self, method: str, target: str, headers: Mapping[str, str], rest: str) -> None:
        match = re.fullmatch(
            r"Credential=([^/]+)/(\d{8})/([^/]+)/storage/goog4_request, ?SignedHeaders=([^,]+), ?Signature=(\w+)", rest
        )
        if match is None or match[1] != self.hmac_id:
            raise Refused(403, "InvalidSecurity", "The provided security credentials are not valid.")
        _, day, location, names, signature = match.groups()
        moment = headers.get("x-goog-date", "")
        when = datetime.strptime(moment, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if abs(datetime.now(UTC) - when) > SKEW or not moment.startswith(day):
            raise Refused(403, "RequestTimeTooSkewed")
        signed = names.split(";")
        unsigned = {name for name in headers if name == "host" or name.startswith("x-goog-")}.difference(signed)
        if unsigned or signed != sorted(signed):
            raise Refused(403, "SignatureDoesNotMatch", f"Not signed: {', '.join(unsigned)}.")
        split = urlsplit(target)
        query = "&".join(sorted(one if "=" in one else f"{one}=" for one in split.query.split("&") if one))
        lines = [method, split.path, query]
        lines += [f"{name}:{re.sub(' +', ' ', headers.get(name, '').strip())}" for name in signed]
        lines += ["", names, headers.get("x-goog-content-sha256", "")]
        digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        scope = f"{day}/{location}/storage/goog4_request"
        key = ("GOOG4" + self.hmac_secret).encode()
        for word in (day, location, "storage", "goog4_request"):
            key = hmac.new(key, word.encode(), hashlib.sha256).digest()
        text = f"GOOG4-HMAC-SHA256\n{moment}\n{scope}\n{digest}"
        if not hmac.compare_digest(hmac.new(key, text.encode(), hashlib.sha256).hexdigest(), signature):
            raise Refused(403, "SignatureDoesNotMatch", "The request signature we calculated does not match.")
