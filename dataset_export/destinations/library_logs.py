"""What client libraries may log: nothing of what they were given, and nothing that a server repeats of it."""

import logging
import re

LEVELS = {
    # For debugging, whole requests with session tokens and signatures.
    "botocore": logging.INFO,
    # What a server says as it hangs up.
    "asyncssh": logging.WARNING,
    # The answer of the authority to a refused sign-in, as a warning; our error says what of it may be shown.
    "azure.identity": logging.ERROR,
}
"""From which level on the records of a library's loggers are taken."""


def keep_secrets_out_of_logs() -> None:
    """Silence what of the libraries' logs holds secrets, and redact URLs in the log of urllib3. Called before a client is
    made; repeats safely."""
    for name, level in LEVELS.items():
        logger = logging.getLogger(name)
        logger.setLevel(max(level, logger.level))
    urllib3 = logging.getLogger("urllib3.connectionpool")
    if not any(isinstance(one, _WithoutSignatures) for one in urllib3.filters):
        urllib3.addFilter(_WithoutSignatures())


def without_signature(text: str) -> str:
    """`text` with the query of every URL cut off, and whatever else may hold a signature or a key."""
    text = re.sub(r"\?[^\s'\"<>]*", "?…", text)
    return re.sub(r"(?i)\b(sig|signature|accountkey|sharedaccesssignature|client_secret)=[^\s&;'\"]+", r"\1=…", text)


class _WithoutSignatures(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if "sig=" in (message := record.getMessage()):
            record.msg, record.args = without_signature(message), ()
        return True
