"""What an SFTP server, or the connection to it, means by an error (spec S8).

SFTP has few codes, and OpenSSH says `Failure` for a full disk, a file in the way and a folder that is not empty alike;
whoever calls knows more and looks, see `sftp_files.py`.
"""

import re

from dataset_export.destinations.answers import Rule, meaning
from dataset_export.errors import (
    AccessDenied,
    ConfigError,
    Conflict,
    ExportError,
    NotFound,
    StorageFull,
    TransientError,
)
from dataset_export.redaction import quoted

FULL = Rule(
    StorageFull,
    frozenset({"SFTPNoSpaceOnFilesystem", "SFTPQuotaExceeded"}),
    (),
    "free some space or raise the quota, then run the export again",
)
RULES = (
    FULL,
    Rule(
        AccessDenied,
        frozenset({"SFTPPermissionDenied", "SFTPWriteProtect", "SFTPCannotDelete"}),
        (),
        "give the account the right to list, write and delete there (`dataset-export doctor` shows it row by row)",
    ),
    Rule(
        AccessDenied,
        frozenset({"PermissionDenied"}),
        (),
        "check the username and the password or private key, and that the server lets this account in",
    ),
    Rule(NotFound, frozenset({"SFTPNoSuchFile", "SFTPNoSuchPath"}), (), "check the folder of the destination"),
    Rule(
        Conflict,
        frozenset({"SFTPFileAlreadyExists", "SFTPNotADirectory", "SFTPFileIsADirectory"}),
        (),
        "a file has the name of a folder or the other way round: move it away",
    ),
    Rule(
        ConfigError,
        frozenset({"SFTPBadMessage", "SFTPInvalidFilename", "SFTPInvalidParameter", "SFTPLinkLoop"}),
        (),
        "change the folder template or the file names",
    ),
    Rule(ConfigError, frozenset({"SFTPOpUnsupported"}), (), "deliver to a server that can do this"),
    Rule(
        ConfigError,
        frozenset({"KeyExchangeFailed", "ProtocolNotSupported", "IllegalUserName"}),
        (),
        "check the host, the port and the username, and that the server allows current algorithms",
    ),
    Rule(
        TransientError,
        frozenset({"SFTPFailure"}),
        (),
        "a disk or a quota may be full; it is tried again",
    ),
)  # fmt: skip
NO_SFTP = Rule(
    ConfigError,
    frozenset({"ChannelOpenError", "SFTPBadMessage"}),
    (),
    "have its operator allow the account SFTP (with OpenSSH: `ForceCommand internal-sftp`, and MaxSessions of at least 1)",
)
BROKEN = Rule(TransientError, frozenset(), (0,), "check that the server can be reached, it is tried again")
"""Whatever no rule knows is a broken connection, or a server on its way down."""

SAYS_FULL = re.compile(r"quota|no space|disk full|space left", re.IGNORECASE)
NAMELESS = frozenset({"SFTPFailure", "SFTPError"})


def answer_meaning(error: Exception, doing: str, where: str, *, full: bool = False) -> ExportError:
    """Our error for what asyncssh raised while `doing` something at `where` (an address without credentials).

    Args:
        error: of asyncssh, of the operating system, or a TimeoutError.
        doing: a verb, for the message.
        where: the thing, for the message.
        full: whether a look at the filesystem found no room.
    """
    code = type(error).__name__
    said = f"cannot {doing} {where}: {_text(error)}"
    if full or (code in NAMELESS and SAYS_FULL.search(said)):
        return meaning(said, (FULL,), code="SFTPQuotaExceeded", status=0)
    return meaning(said, (*RULES, BROKEN), code=code, status=0)


def session_meaning(error: Exception, who: str) -> ExportError:
    """Our error for what asyncssh raised while it began an SFTP session for `who` (an address and an account), after the
    login."""
    said = f"{who} may log in and gets no SFTP session: {_text(error)}"
    return meaning(said, (NO_SFTP, BROKEN), code=type(error).__name__, status=0)


def _text(error: Exception) -> str:
    """In one line and without a full stop at the end; some errors of the event loop have no text."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    text = getattr(error, "reason", "") or getattr(error, "strerror", "") or str(error) or type(error).__name__
    return quoted(text).rstrip(".")
