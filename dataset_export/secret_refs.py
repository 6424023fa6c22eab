"""Secrets by reference: `{env: NAME}` or `{file: PATH}`, never a literal (design: Security)."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from dataset_export.errors import ConfigError


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
        """The secret itself, read now and not kept.

        Raises:
            ConfigError: when the variable is not set or the file cannot be read.
        """
        if self.env is not None:
            value = os.environ.get(self.env)
            if value is None:
                raise ConfigError(f"the environment variable {self.env} is not set; a secret is expected in it")
            return value
        path = Path(self.file or "")
        try:
            return path.read_text(encoding="utf-8").rstrip("\r\n")
        except OSError as error:
            raise ConfigError(f"the secret file {path} cannot be read: {error.strerror}") from error


def revealed(field: str | None) -> str | None:
    """The value of a resource's field: the secret when the field holds the text of a reference to a file.

    A reference to a variable needs none of this: there the field holds Dagster's `EnvVar`.

    Raises:
        ConfigError: when the file cannot be read.
    """
    match = re.fullmatch(r"\{file: (.+)\}", field or "")
    return SecretRef(file=match[1]).reveal() if match else field
