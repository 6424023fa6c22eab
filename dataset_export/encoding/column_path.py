"""Paths of columns and of fields inside them: as people write them, and as tuples of names.

`home.street` is the field street of the struct home, `items.element.price` the price in the structs of the list items,
`tags.key` and `tags.value` are the keys and values of the map tags. A name with a dot in it stands in backticks, as in SQL:
`` `net.price`.amount ``; a backtick in it is doubled.
"""

import re

from dataset_export.errors import ConfigError

ColumnPath = tuple[str, ...]

ELEMENT, KEY, VALUE = "element", "key", "value"
"""How the values of a list and the keys and values of a map are called, whatever a file calls them."""

_NAME = re.compile(r"`((?:[^`]|``)+)`|([^.`]+)")


def parse_path(text: str) -> ColumnPath:
    """The names of a path. Raises ConfigError for one that cannot be read."""
    names: list[str] = []
    at = 0
    while match := _NAME.match(text, at):
        names.append(match[1].replace("``", "`") if match[1] is not None else match[2])
        at = match.end()
        if at == len(text):
            return tuple(names)
        if text[at] != ".":
            break
        at += 1
    raise ConfigError(
        f"{text!r} is no path of a column; write names with dots between them, and a name that has a dot in backticks"
    )


def path_text(path: ColumnPath) -> str:
    """The path as people write it: `parse_path` reads it back."""
    return ".".join(map(quoted, path))


def quoted(name: str) -> str:
    """A name as it stands in a path."""
    return name if name and not re.search(r"[.`]", name) else "`" + name.replace("`", "``") + "`"
