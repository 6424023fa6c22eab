"""Where in the YAML something is written, so that every refusal names its file and line."""

import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dagster_shared.yaml_utils.source_position import SourcePositionTree
from pydantic import BaseModel, ValidationError

from dataset_export.components.findings import Key, findings
from dataset_export.errors import ConfigError
from dataset_export.secret_refs import SecretRef


@dataclass(frozen=True)
class Source:
    """The place of one declaration.

    Attributes:
        project_root: relative paths in the YAML are relative to it.
        positions: lines of the document; None for a declaration made in Python.
    """

    project_root: Path
    positions: SourcePositionTree | None = None

    def at(self, *path: Key) -> str:
        """`file:line` of an attribute, or of the nearest thing around it that is written."""
        if self.positions is None:
            return "declared in Python"
        position, _ = self.positions.lookup_closest_and_path(["attributes", *path], None)
        return f"{short(Path(position.filename))}:{position.start.line}"

    def error(self, message: str, *path: Key) -> ConfigError:
        """A ConfigError that begins with the place."""
        return ConfigError(f"{self.at(*path)}: {message}")

    @contextmanager
    def blaming(self, *path: Key) -> Generator[None]:
        """Put the place of an attribute before the ConfigError of a check that knows no YAML."""
        try:
            yield
        except ConfigError as error:
            raise self.error(str(error), *path) from None

    def refusal(self, error: ValidationError, model: type[BaseModel]) -> ConfigError:
        """All of pydantic's findings, one a line, in our words. What was written is not repeated: it may be a secret."""
        return ConfigError("\n".join(f"{self.at(*found.path)}: {found.what}" for found in findings(error, model)))

    def path(self, written: str, *path: Key) -> str:
        """A local path made absolute (from the project root), or an `s3://` URL as it is.

        Raises:
            ConfigError: for any other URL, one with a password in it, and an empty path.
        """
        self.refuse_password(written, *path)
        if written.startswith("s3://"):
            return written
        if "://" in written:
            scheme = written.split("://", maxsplit=1)[0]
            raise self.error(f"{scheme}:// is not read; give a local path or an s3:// URL", *path)
        if not written.strip():
            raise self.error("the path is empty; give a folder", *path)
        return str(self.project_root / Path(written).expanduser())

    def refuse_password(self, written: str, *path: Key) -> None:
        """Raise ConfigError for a URL that carries `user:password@`, since URLs are shown."""
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://[^/@\s]*:[^/@\s]*@", written):
            raise self.error("a password stands in this URL, and URLs are shown; take it out", *path)

    def secret(self, ref: SecretRef) -> SecretRef:
        """A reference whose file, if it is one, is absolute."""
        return ref if ref.file is None else SecretRef(file=str(self.project_root / Path(ref.file).expanduser()))


def short(file: Path) -> str:
    """A file as a person would name it here: relative to the working folder when it is inside."""
    return str(file.relative_to(Path.cwd())) if file.is_relative_to(Path.cwd()) else str(file)
