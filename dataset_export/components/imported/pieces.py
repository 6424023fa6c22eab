"""What the files hold: base connections, source connections, target connections, flows and datasets, in any order.

A file is one object, a list of them, or an answer of the API that lists them (`items`). What has been read from the API
has ids that name each other; what was made to be sent has none, and belongs together when there is only one of a kind.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

from dataset_export.components.source import short
from dataset_export.errors import ConfigError

Body = Mapping[str, Any]


class Kind(StrEnum):
    """What a piece is."""

    BASE = "base connection"
    SOURCE = "source connection"
    TARGET = "target connection"
    FLOW = "flow"
    DATASET = "dataset"


@dataclass(frozen=True)
class Piece:
    """One object: what it is, its content, and where it was found."""

    kind: Kind
    body: Body
    place: str

    @property
    def name(self) -> str:
        """What people call it; where it was found when it has no name."""
        return str(self.body.get("name") or self.place)

    @property
    def params(self) -> Body:
        """Its parameters."""
        return _mapping(self.body.get("params"))

    def spec(self, key: str) -> str | None:
        """The id of a specification that it names."""
        found = _mapping(self.body.get(key)).get("id")
        return str(found) if found is not None else None


def read_pieces(files: Sequence[Path]) -> list[Piece]:
    """All objects of the files.

    Raises:
        ConfigError: with the file, for one that cannot be read or is not JSON, and for an object that is none of ours.
    """
    return [piece for file in files for piece in _pieces(_json(file), short(file))]


def find(pieces: Sequence[Piece], kind: Kind, wanted: str | None, asking: Piece) -> Piece:
    """The piece of a kind that another one names by its id.

    Raises:
        ConfigError: when there is none, or it cannot be told which.
    """
    known = [piece for piece in pieces if piece.kind is kind]
    for piece in known:
        if wanted is not None and piece.body.get("id") == wanted:
            return piece
    unnamed = [piece for piece in known if "id" not in piece.body]
    if len(unnamed) == 1 and (wanted is None or len(known) == 1):
        return unnamed[0]
    if wanted is None and len(known) == 1:
        return known[0]
    there = "none is in these files" if not known else f"{len(known)} are in these files, and none has this id"
    raise ConfigError(
        f"{asking.place}: the {asking.kind} {asking.name!r} names the {kind} {wanted or 'without an id'}, and {there}; "
        "add the file with it"
    )


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"{short(file)} cannot be read: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise ConfigError(f"{short(file)}:{error.lineno}: this is not JSON: {error.msg}; correct it") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{short(file)}: this is no text in UTF-8; save it so") from None


def _pieces(found: Any, place: str) -> Iterator[Piece]:
    if isinstance(found, dict) and isinstance(found.get("items"), list):
        found = cast("dict[str, Any]", found)["items"]
    if isinstance(found, list):
        for number, one in enumerate(cast("list[Any]", found), 1):
            yield from _pieces(one, f"{place}, object {number}")
        return
    if not isinstance(found, dict):
        raise ConfigError(f"{place}: an object is expected here, with names and values in {{ }}")
    body = cast("Body", found)
    yield Piece(_kind(body, place), body, place)


def _kind(body: Body, place: str) -> Kind:
    params = _mapping(body.get("params"))
    if "flowSpec" in body:
        return Kind.FLOW
    if "baseConnectionId" in body or "mode" in params:
        return Kind.TARGET
    if "datasets" in params:
        return Kind.SOURCE
    if "schemaRef" in body or "fileDescription" in body or "basePath" in body:
        return Kind.DATASET
    if "auth" in body or "connectionSpec" in body:
        return Kind.BASE
    if set(body) <= {"id", "etag"}:
        raise ConfigError(
            f"{place}: this is the answer to a creation, which says nothing of what was created; get the object by its id"
        )
    raise ConfigError(f"{place}: this is no connection, source connection, target connection or flow; leave it out")


def _mapping(value: Any) -> Body:
    return cast("Body", value) if isinstance(value, dict) else {}
