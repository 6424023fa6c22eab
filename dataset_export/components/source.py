"""Where in the YAML something is written, so that every refusal names its file and line."""

import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from dagster_shared.yaml_utils.source_position import SourcePositionTree
from pydantic import BaseModel, ValidationError

from dataset_export.errors import ConfigError
from dataset_export.secret_refs import SecretRef

Key = str | int


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
        return ConfigError("\n".join(self._finding(dict(finding), model) for finding in error.errors()))

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

    def _finding(self, finding: Mapping[str, object], model: type[BaseModel]) -> str:
        path = cast("tuple[Key, ...]", finding["loc"])
        if path and path[0] in variants(model):
            model, path = variants(model)[str(path[0])], path[1:]
        dotted = ".".join(str(part) for part in path)
        context = cast("Mapping[str, object]", finding.get("ctx", {}))
        match finding["type"]:
            case "extra_forbidden":
                known = ", ".join(_fields_at(model, path[:-1]))
                what = f"the key {dotted!r} is not known; keys here are {known}"
            case "missing":
                what = f"{dotted!r} is missing; add it"
            case "union_tag_not_found":
                path, what = ("type",), f"'type' is missing; it is one of {', '.join(variants(model))}"
            case "union_tag_invalid":
                path, what = ("type",), f"type is {context['tag']!r}; it has to be one of {', '.join(variants(model))}"
            case "value_error":
                what = f"{dotted}: {context['error']}" if dotted else str(context["error"])
            case _:
                what = f"{dotted}: {finding['msg']}"
        return f"{self.at(*path)}: {what}"


def short(file: Path) -> str:
    """A file as a person would name it here: relative to the working folder when it is inside."""
    return str(file.relative_to(Path.cwd())) if file.is_relative_to(Path.cwd()) else str(file)


def variants(model: type[BaseModel]) -> Mapping[str, type[BaseModel]]:
    """The models of a union that `type` tells apart, by that type; none for any other model."""
    root = model.model_fields.get("root")
    if root is None or root.discriminator != "type":
        return {}
    members = cast("tuple[type[BaseModel], ...]", getattr(root.annotation, "__args__", ()))
    return {member.model_fields["type"].annotation.__args__[0]: member for member in members}  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]


def _fields_at(model: type[BaseModel], path: tuple[Key, ...]) -> list[str]:
    annotation: Any = model
    for part in path:
        found = _model_in(annotation)
        if found is not None and part in found.model_fields:
            annotation = found.model_fields[str(part)].annotation
    found = _model_in(annotation)
    return list(found.model_fields) if found is not None else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model of a field, of the items of a list or of the values of a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for one in get_args(annotation) if (found := _model_in(one)) is not None), None)
