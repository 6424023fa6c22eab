"""Which columns of a dataset a dataflow delivers, and how: as it is declared, and as the manifest tells it.

What can be checked without the table is checked when the declarations load; whether the table has the columns, when an
export is planned.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any

from dataset_export.encoding.column_path import ColumnPath, parse_path, path_text
from dataset_export.encoding.contract import ColumnRule
from dataset_export.errors import ConfigError
from dataset_export.secret_refs import SecretRef

if TYPE_CHECKING:
    import pyarrow as pa

    from dataset_export.encoding.projection import Projection

SALT_CHARACTERS = 16
"""A salt has at least so many: whoever knows values of a hashed column could try out shorter ones."""


@dataclass(frozen=True)
class Columns:
    """The columns of a dataset that are delivered, by path (`encoding.column_path`). Nothing set: all of them, as they are.

    Attributes:
        include: only these.
        exclude: not these; of something included, a part.
        hash: these as SHA-256 over the salt and their value (`encoding.hashing`).
        mask: these as a text, or as null, in every row.
        salt: where the secret salt of hashes is.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    hash: tuple[str, ...] = ()
    mask: Mapping[str, str | None] = field(default_factory=dict[str, "str | None"])
    salt: SecretRef | None = None

    def __post_init__(self) -> None:
        if self.hash and self.salt is None:
            raise ConfigError("hash needs a salt; write {env: NAME} or {file: PATH}")
        if self.salt is not None and not self.hash:
            raise ConfigError("salt is only for hash; name the columns to hash, or take it out")
        include, exclude, hashed, masked = (
            _parsed(paths) for paths in (self.include, self.exclude, self.hash, self.mask)
        )
        for setting, paths in {"include": include, "exclude": exclude, "hash": hashed, "mask": masked}.items():
            _refuse_overlap((setting, path) for path in paths)
        changing = [
            *(("exclude", path) for path in exclude),
            *(("hash", path) for path in hashed),
            *(("mask", path) for path in masked),
        ]
        _refuse_overlap(changing)
        for setting, path in changing:
            _require_included(setting, path, include)

    def rule(self) -> ColumnRule:
        """What an encoder makes of it, with the salt revealed; made just before use and never stored.

        Raises:
            ConfigError: when the salt cannot be read or is too short.
        """
        return ColumnRule(
            include=_parsed(self.include),
            exclude=_parsed(self.exclude),
            hashed=_parsed(self.hash),
            masked={parse_path(path): text for path, text in self.mask.items()},
            salt=_revealed(self.salt) if self.salt is not None else b"",
        )


def projection_of(columns: Columns, schema: "pa.Schema", whose: str) -> "Projection":
    """What the table's columns become. `whose` are the settings, in words.

    Raises:
        ConfigError: when the settings name what the table does not have, or leave nothing, or the salt cannot be read.
    """
    from dataset_export.encoding.projection import Projection

    try:
        return Projection(schema, columns.rule())
    except ConfigError as error:
        raise ConfigError(f"{whose}: columns: {error}") from None


def columns_document(columns: Columns, projection: "Projection") -> dict[str, Any] | None:
    """What a manifest says of columns that are not delivered as they are; None when the dataflow sets nothing.

    Of the salt it has a fingerprint, so that a change of it is noticed: 8 bytes by scrypt, which is slow on purpose, for
    whoever would try out salts with it.
    """
    if columns == Columns():
        return None
    document: dict[str, Any] = {
        "leftOut": [path_text(path) for path in projection.left_out()],
        "hashed": list(columns.hash),
        "masked": [{"column": path, "with": text} for path, text in columns.mask.items()],
    }
    if columns.salt is not None:
        salt = _revealed(columns.salt)
        document["saltFingerprint"] = hashlib.scrypt(salt, salt=b"dataset_export", n=2**14, r=8, p=1, dklen=8).hex()
    return document


def columns_in_words(document: Mapping[str, Any]) -> str:
    """What a `columns_document` says, for a person."""
    parts = {
        "left out": document["leftOut"],
        "hashed": document["hashed"],
        "masked": [masked["column"] for masked in document["masked"]],
    }
    return "; ".join(f"{what}: {', '.join(paths)}" for what, paths in parts.items() if paths) or "nothing is left out"


def _parsed(paths: Iterable[str]) -> tuple[ColumnPath, ...]:
    return tuple(parse_path(path) for path in paths)


def _revealed(salt: SecretRef) -> bytes:
    text = salt.reveal()
    if len(text) < SALT_CHARACTERS:
        raise ConfigError(
            f"the salt in {salt.as_text()} has fewer than {SALT_CHARACTERS} characters; take a longer one"
        )
    return text.encode()


def _refuse_overlap(named: Iterable[tuple[str, ColumnPath]]) -> None:
    """No path may be named twice, nor one that is a part of another."""
    for (setting, one), (other_setting, other) in combinations(named, 2):
        if not _is_in(one, other) and not _is_in(other, one):
            continue
        if setting != other_setting:
            raise ConfigError(
                f"{setting} names {path_text(one)}, and {other_setting} {path_text(other)}; take one of them out"
            )
        inner, outer = sorted((one, other), key=len, reverse=True)
        what = "twice" if inner == outer else f"and {path_text(outer)}, which it is a part of"
        raise ConfigError(f"{setting} names {path_text(inner)} {what}; take one of them out")


def _require_included(setting: str, path: ColumnPath, include: tuple[ColumnPath, ...]) -> None:
    for included in include:
        if _is_in(path, included) and not (setting == "exclude" and path == included):
            return
    for included in include:
        if _is_in(included, path):
            raise ConfigError(
                f"include names {path_text(included)}, and {setting} {path_text(path)}; take one of them out"
            )
    if include:
        raise ConfigError(f"{setting} names {path_text(path)}, which include leaves out; take it out, or include it")


def _is_in(path: ColumnPath, other: ColumnPath) -> bool:
    """Whether a path is another one or a part of it."""
    return path[: len(other)] == other
