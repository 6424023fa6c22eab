"""Who may do what at the Data Lake server: the key of the account, shared access signatures, tokens of a principal.

Shared Key and the service SAS are verified as "Authorize with Shared Key" and "Create a service SAS" describe them.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qsl, unquote, urlsplit

from dataset_export_tests.servers.dfs_tree import Refused

SIGNED_HEADERS = (
    "content-encoding", "content-language", "content-length", "content-md5", "content-type", "date",
    "if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range",
)  # fmt: skip
SAS_FIELDS_BEFORE_RESOURCE = ("sp", "st", "se")
SAS_FIELDS_AFTER_RESOURCE = (
    "si", "sip", "spr", "sv", "sr", "snapshot", "ses", "rscc", "rscd", "rsce", "rscl", "rsct",
)  # fmt: skip
NOT_AUTHENTICATED = Refused(403, "AuthenticationFailed")
NOT_ALLOWED = Refused(403, "AuthorizationPermissionMismatch")
CLOCK_SKEW = timedelta(minutes=15)


@dataclass
class Principal:
    """A service principal: what it signs in with, and the tokens that it was given."""

    client_id: str = "11111111-2222-3333-4444-555555555555"
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    tokens: set[str] = field(default_factory=set[str])
    may_ask_about_account: bool = True

    def sign_in(self, form: Mapping[str, str]) -> str | None:
        """A token for a client-credentials request; None for a wrong secret."""
        if form.get("client_id") != self.client_id or form.get("client_secret") != self.secret:
            return None
        token = secrets.token_urlsafe(32)
        self.tokens.add(token)
        return token


@dataclass(frozen=True)
class Access:
    """The credentials that an account knows."""

    account: str
    key: str
    principal: Principal

    def check(self, method: str, target: str, headers: Mapping[str, str], file_system: str, needs: str) -> None:
        """Let the request pass or raise Refused. `headers` have lower-case names; `needs` is the letter of the SAS
        permission, "" where any does."""
        query = dict(parse_qsl(urlsplit(target).query, keep_blank_values=True))
        scheme, _, value = headers.get("authorization", "").partition(" ")
        if scheme == "SharedKey":
            self._check_key(method, target, headers, value)
        elif scheme == "Bearer":
            if value not in self.principal.tokens:
                raise Refused(401, "InvalidAuthenticationInfo")
            if query.get("restype") == "account" and not self.principal.may_ask_about_account:
                raise NOT_ALLOWED
        elif "sig" in query:
            self.check_sas(query, file_system, needs)
        else:
            raise Refused(401, "NoAuthenticationInformation")

    def check_sas(self, query: Mapping[str, str], file_system: str, needs: str) -> None:
        """Check a SAS for a container: signature, time, permission."""
        fields = [query.get(name, "") for name in SAS_FIELDS_BEFORE_RESOURCE]
        fields += [f"/blob/{self.account}/{file_system}"]
        fields += [query.get(name, "") for name in SAS_FIELDS_AFTER_RESOURCE]
        now = datetime.now(UTC)
        valid = (
            query.get("sr") == "c"
            and hmac.compare_digest(query.get("sig", ""), self._signature("\n".join(fields)))
            and now < _moment(query["se"])
            and ("st" not in query or _moment(query["st"]) <= now)
        )
        if not valid:
            raise NOT_AUTHENTICATED
        if needs not in query.get("sp", ""):
            raise NOT_ALLOWED

    def _check_key(self, method: str, target: str, headers: Mapping[str, str], value: str) -> None:
        account, _, signature = value.partition(":")
        sent = parsedate_to_datetime(headers.get("x-ms-date") or headers.get("date", ""))
        length = headers.get("content-length", "")
        signed = {**headers, "content-length": "" if length == "0" else length}
        split = urlsplit(target)
        values: dict[str, list[str]] = {}
        for part in filter(None, split.query.split("&")):
            name, _, text = part.partition("=")
            values.setdefault(unquote(name).lower(), []).append(unquote(text))
        lines = [method, *(signed.get(name, "") for name in SIGNED_HEADERS)]
        lines += [f"{name}:{headers[name].strip()}" for name in sorted(headers) if name.startswith("x-ms-")]
        lines += [f"/{self.account}{split.path}"]
        lines += [f"{name}:{','.join(sorted(values[name]))}" for name in sorted(values)]
        expected = self._signature("\n".join(lines))
        fresh = abs(datetime.now(UTC) - sent) < CLOCK_SKEW
        if account != self.account or not fresh or not hmac.compare_digest(signature, expected):
            raise NOT_AUTHENTICATED

    def _signature(self, text: str) -> str:
        digest = hmac.digest(base64.b64decode(self.key), text.encode(), hashlib.sha256)
        return base64.b64encode(digest).decode()


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
