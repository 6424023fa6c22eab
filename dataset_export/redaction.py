"""Texts that may be shown: without the secrets of this process, and without what looks like credentials.

What a server or a library says ends up in logs, in the UI and on terminals, and neither can be trusted not to repeat what it
was sent: a header that it does not like, the URL with its signature, a form with a password in it. So every foreign text goes through
`quoted` on its way into a message of ours.
"""

import json
import re
import threading
from base64 import b64encode
from html import escape
from urllib.parse import quote, quote_plus

MOST_CHARACTERS = 300
SHORTEST_SECRET = 4
"""Shorter ones would be found in every text."""
SHORTEST_OPAQUE = 16
"""Characters from which a word with letters and digits in it is taken for a credential."""
HIDDEN = "…"

_WORD_ENDS = re.compile(r"([\s'\"<>()\[\]{},;&:=?|\\]+)")
_FILE_NAME = re.compile(r".+\.(parquet|json|gz|gpg|crc)")
_NAME = re.compile(r"[a-z0-9]+([-._]+[a-z0-9]+)+")
"""Of a host, a bucket, a request: small letters, and something that joins them."""

_known: set[str] = set()
_lock = threading.Lock()


def remember(secret: str) -> str:
    """Keep a secret out of every text that is `quoted` from now on, also its lines alone. Returns it."""
    lines = [line.strip() for line in secret.splitlines()]
    forms = {form for part in (secret, *lines) if len(part) >= SHORTEST_SECRET for form in _forms(part)}
    with _lock:
        _known.update(forms)
    return secret


def without_secrets(text: str) -> str:
    """`text` with `…` for each remembered secret in it, however it is quoted or encoded there."""
    with _lock:
        found = [form for form in _known if form in text]
    for form in sorted(found, key=len, reverse=True):
        text = text.replace(form, HIDDEN)
    return text


def quoted(text: object) -> str:
    """What a server or a library said, fit to be shown: one line of at most `MOST_CHARACTERS`, without remembered secrets,
    and without what looks like credentials (signatures, tokens and keys that were derived or issued on the way)."""
    line = " ".join(without_secrets(str(text)).split())
    line = "".join(HIDDEN if _is_opaque(part) else part for part in _WORD_ENDS.split(line))
    return line if len(line) <= MOST_CHARACTERS else line[:MOST_CHARACTERS] + HIDDEN


def _forms(secret: str) -> set[str]:
    once = json.dumps(secret)[1:-1]
    return {
        secret,
        secret.replace("\n", " "),
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        once,
        json.dumps(once)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        repr(secret.encode())[2:-1],
        escape(secret),
        b64encode(secret.encode()).decode(),
    }


def _is_opaque(word: str) -> bool:
    return any(_is_credential(part) for part in word.split("/"))


def _is_credential(part: str) -> bool:
    if len(part) < SHORTEST_OPAQUE or _NAME.fullmatch(part) or _FILE_NAME.fullmatch(part):
        return False
    return re.search(r"[0-9]", part) is not None and re.search(r"[A-Za-z]", part) is not None
