"""What a destination's credentials have to be allowed: the words of `doctor` and `policy`."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Operation(StrEnum):
    """What the publish protocol asks of a store, in the order in which a delivery does."""

    CHECK = "check"
    STAGE = "stage"
    CONFIRM = "confirm"
    PUBLISH = "publish"
    LIST = "list"
    READ = "read"
    PUT = "put"
    REPLACE = "replace"
    DELETE = "delete"
    LEFTOVERS = "leftovers"
    DISCARD = "discard"


@dataclass(frozen=True)
class Policy:
    """The least that the credentials of one destination need.

    Attributes:
        permissions: the service's own names of the permissions that each operation needs, for all of `Operation`.
        document: a policy to paste or a command to run, for this bucket or container and folder.
        notes: where the document goes, and what the service cannot narrow; one sentence each.
    """

    permissions: Mapping[Operation, tuple[str, ...]]
    document: str
    notes: tuple[str, ...] = ()
