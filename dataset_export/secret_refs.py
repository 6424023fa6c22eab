"""Secrets by reference: `{env: NAME}` or `{file: PATH}`, never a literal (design: Security)."""

import os
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
