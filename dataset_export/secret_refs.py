"""Secrets by reference: `{env: NAME}` or `{file: PATH}`, never a literal (design: Security)."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from dataset_export.errors import ConfigError
from dataset_export.redaction import remember


@dataclass(frozen=True)
class SecretRef:
    """Where a secret is: exactly one of an environment variable's name and a file's path."""

    env: str | None = None
    file: str | None = None

    def __post_init__(self) -> None:
        if (self.env is None) == (self.file is None):
            raise ConfigError("a secret is given as {env: NAME} or {file: PATH}, exactly one of the two")

    def as_text(self) -> str:
        """The reference as a person writes it, `{file: /run/secrets/key}`: it may be shown, and `revealed` reads it."""
        return f"{{env: {self.env}}}" if self.env is not None else f"{{file: {self.file}}}"

    def reveal(self) -> str:
        """The secret itself, read now. It is kept out of every text that is `quoted` from now on.

        Raises:
            ConfigError: when the variable is not set or the file cannot be read.
        """
        if self.env is not None:
            value = os.environ.get(self.env)
            if value is None:
                raise ConfigError(f"the environment variable {self.env} is not set; a secret is expected in it")
            return remember(value)
        path = Path(self.file or "")
        try:
            return remember(path.read_text(encoding="utf-8").rstrip("\r\n"))
        except OSError as error:
            raise ConfigError(f"the secret file {path} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError:
            raise ConfigError(f"the secret file {path} cannot be read: it is no text in UTF-8") from None


def revealed(field: str | None) -> str | None:
    """The value of a resource's field that holds a secret: read now when the field holds the text of a reference to a file.

    Of a reference to a variable Dagster has put the value there. Either is kept out of every text that is `quoted`.

    Raises:
        ConfigError: when the file cannot be read.
    """
    match = re.fullmatch(r"\{file: (.+)\}", field or "")
    if match:
        return SecretRef(file=match[1]).reveal()
    return remember(field) if field is not None else None
