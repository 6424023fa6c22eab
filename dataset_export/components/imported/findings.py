"""What an import could not carry over, and what is left to be written by hand."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class Todo(str):
    """A value that only a person knows. Written out it is `TODO: …`, which does not load.

    `instead` is a value that would load, to try out the rest.
    """

    __slots__ = ("instead",)

    def __new__(cls, what: str, instead: str) -> "Todo":
        """`what` is what has to be written there."""
        made = super().__new__(cls, f"TODO: {what}")
        made.instead = instead
        return made


@dataclass
class Imported:
    """One declaration that came of an import.

    Attributes:
        component: `Destination`, `Dataset` or `Dataflow`.
        attributes: in the order in which they are written.
        notes: what has no equivalent, or another meaning here; sentences.
        variables: names of environment variables that its secrets are expected in, to what they are.
    """

    component: str
    attributes: dict[str, Any]
    notes: list[str] = field(default_factory=list[str])
    variables: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def id(self) -> str:
        """Its id, or its name when it is a dataflow."""
        return str(self.attributes["name" if self.component == "Dataflow" else "id"])


def unknown(body: Mapping[str, Any], known: frozenset[str], what: str) -> list[str]:
    """A note for each key that is not carried over. Values are not shown: they may be secrets."""
    return [f"{what} {key} has no equivalent, and is left out" for key in body if key not in known]
