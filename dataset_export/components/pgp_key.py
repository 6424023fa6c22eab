"""The public keys that files of a destination are encrypted for, as they are written in YAML."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dataset_export.components.source import Key, Source, short
from dataset_export.encoding.openpgp_keys import Recipients, read_recipients, together
from dataset_export.errors import ConfigError

LOG = logging.getLogger("dataset_export")

FIELD = "pgp_public_key"
MAX_BYTES = 4 << 20
"""More than any key has: another file was meant."""

WARN_AHEAD = timedelta(days=30)


def recipients_of(written: str | Sequence[str], source: Source) -> Recipients:
    """Read and check one key or several; each is an armored block or the path of a file. Warns of one that expires soon.

    Raises:
        ConfigError: with file and line, for a file that cannot be read and for each key that cannot encrypt.
    """
    now = datetime.now(UTC)
    if isinstance(written, str):
        recipients = _one(written, now, source, FIELD)
    else:
        each = [_one(one, now, source, FIELD, index) for index, one in enumerate(written)]
        with source.blaming(FIELD):
            recipients = together(each)
    if recipients.usable_until is not None and recipients.usable_until - now < WARN_AHEAD:
        LOG.warning(
            "%s: of the OpenPGP keys %s the first expires on %s, and from then on nothing loads; ask its owner for one that "
            "is extended",
            source.at(FIELD),
            ", ".join(recipients.fingerprints),
            recipients.usable_until.date().isoformat(),
        )
    return recipients


def _one(written: str, now: datetime, source: Source, *path: Key) -> Recipients:
    if "-----BEGIN" in written:
        name, data = FIELD, written.encode()
    else:
        file = source.project_root / Path(written).expanduser()
        name, data = f"{FIELD} {short(file)}", _content(file, written, source, *path)
    try:
        return read_recipients([data], now=now)
    except ConfigError as error:
        raise source.error(f"{name}: {error}", *path) from None


def _content(file: Path, written: str, source: Source, *path: Key) -> bytes:
    if not written.strip():
        raise source.error(f"{FIELD} is empty; give an armored public key, or the path of a file that holds one", *path)
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no path"
        raise source.error(
            f"{FIELD} {short(file)} cannot be read ({reason}); give an armored public key, or the path of a file that "
            "holds one",
            *path,
        ) from None
    if len(data) > MAX_BYTES:
        raise source.error(f"{FIELD} {short(file)} is too large for a key; give the file of the public key", *path)
    return data
