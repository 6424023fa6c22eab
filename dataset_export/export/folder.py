"""The folder of an export: a template with macros, rendered to a path below the destination's folder (spec S6)."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

from dataset_export.destinations.contract import HIDDEN_FOLDER, check_path
from dataset_export.errors import ConfigError
from dataset_export.export.schedule import format_export_time
from dataset_export.suggestion import did_you_mean

DEFAULT_TEMPLATE = "%DATASET_ID%/%EXPORT_TIME%"

MACROS: Mapping[str, str] = {
    "DESTINATION": "type of the destination",
    "DESTINATION_INSTANCE_ID": "id of the destination",
    "DESTINATION_INSTANCE_NAME": "name of the destination",
    "DATASET_ID": "id of the dataset",
    "DATASET_NAME": "name of the dataset",
    "ORGANIZATION_NAME": "name of the organization",
    "SANDBOX_NAME": "name of the sandbox",
    "DATETIME": "export time by a pattern, as in %DATETIME(YYYYMMdd_HHmmss)%",
    "EXPORT_TIME": "exportTime=YYYYMMDDHHMM",
}
"""Macro name to what it renders."""

_TOKEN = re.compile(r"%([A-Z_]+)(?:\(([^()%]*)\))?%")


@dataclass(frozen=True)
class FolderTemplate:
    """A checked template. `/` separates folders; a template of just `/` is the destination's folder itself."""

    text: str = DEFAULT_TEMPLATE
    what: ClassVar[str] = "folder template"

    def __post_init__(self) -> None:
        for match in _TOKEN.finditer(self.text):
            name, pattern = match[1], match[2]
            if name not in MACROS:
                raise ConfigError(
                    f"{self.what} {self.text!r}: there is no macro %{name}%; macros are {_macro_list()}"
                    + did_you_mean(name, MACROS)
                )
            if (name == "DATETIME") != (pattern is not None):
                raise ConfigError(f"{self.what} {self.text!r}: write %DATETIME(pattern)%, and no other macro with (…)")
            if pattern is not None:
                format_datetime(pattern, datetime(2000, 1, 1, tzinfo=UTC))
        literal = _TOKEN.sub("x", self.text)
        if "%" in literal:
            raise ConfigError(
                f"{self.what} {self.text!r} has a '%' that belongs to no macro; macros are {_macro_list()}"
                + next(filter(None, (did_you_mean(name, MACROS) for name in re.findall(r"%(\w+)", self.text))), "")
            )
        if self.text != "/":
            self._checked(literal)

    @property
    def tells_datasets_apart(self) -> bool:
        """Whether two datasets get two folders."""
        return "%DATASET_ID%" in self.text or "%DATASET_NAME%" in self.text

    def render(self, values: Mapping[str, str], export_time: datetime) -> str:
        """The folder of one export, "" for the destination's folder itself.

        Args:
            values: macro name to value, for every macro but DATETIME and EXPORT_TIME.
            export_time: UTC.

        Raises:
            ConfigError: when a value would leave or add a folder (`..`, `/`, empty, control characters), naming it.
        """
        if self.text == "/":
            return ""

        def replace(match: re.Match[str]) -> str:
            name = match[1]
            if name == "DATETIME":
                return format_datetime(match[2], export_time)
            if name == "EXPORT_TIME":
                return f"exportTime={format_export_time(export_time)}"
            value = values[name]
            if "/" in value or not value:
                raise ConfigError(
                    f"{self.what} {self.text!r}: %{name}% is {value!r} here, which is {'empty' if not value else 'more than one folder'}; "
                    f"use another macro"
                )
            return value

        return self._checked(_TOKEN.sub(replace, self.text))

    def _checked(self, path: str) -> str:
        path = path.removesuffix("/")
        try:
            check_path(path)
        except ConfigError as error:
            raise ConfigError(f"{self.what} {self.text!r}: {error}") from error
        if path.split("/")[0] == HIDDEN_FOLDER:
            raise ConfigError(
                f"{self.what} {self.text!r} begins with {HIDDEN_FOLDER}, which is kept for our own records"
            )
        return path


_LETTERS: Mapping[str, Callable[[datetime, int], str]] = {
    "y": lambda t, n: f"{t.year:04d}"[-2:] if n == 2 else f"{t.year:0{n}d}",
    "Y": lambda t, n: f"{t.year:04d}"[-2:] if n == 2 else f"{t.year:0{n}d}",
    "M": lambda t, n: f"{t.month:0{n}d}",
    "d": lambda t, n: f"{t.day:0{n}d}",
    "D": lambda t, n: f"{t.timetuple().tm_yday:0{n}d}",
    "H": lambda t, n: f"{t.hour:0{n}d}",
    "m": lambda t, n: f"{t.minute:0{n}d}",
    "s": lambda t, n: f"{t.second:0{n}d}",
    "S": lambda _, n: "0" * n,
}
"""Java-style pattern letters. `Y` is the calendar year, as in the original's own examples, never the week year."""


def format_datetime(pattern: str, moment: datetime) -> str:
    """Render Java-style letters (`YYYYMMdd_HHmmss`); text in single quotes and all that is no letter stays as it is.

    Raises:
        ConfigError: for an empty pattern, an open quote or a letter that is not known, naming it.
    """
    if not pattern:
        raise ConfigError("%DATETIME()% has an empty pattern; write for example %DATETIME(YYYYMMdd)%")
    parts = re.findall(r"'[^']*'|([A-Za-z])|.", pattern)
    if pattern.count("'") % 2:
        raise ConfigError(f"the pattern {pattern!r} has an open quote; close it")
    unknown = sorted({letter for letter in parts if letter and letter not in _LETTERS})
    if unknown:
        raise ConfigError(
            f"the pattern {pattern!r} has the letter {', '.join(unknown)}; letters are {', '.join(_LETTERS)}, other text goes in 'quotes'"
        )

    def replace(match: re.Match[str]) -> str:
        run = match[0]
        return run[1:-1] if run[0] == "'" else _LETTERS[run[0]](moment, len(run))

    return re.sub(r"'[^']*'|([A-Za-z])\1*", replace, pattern)


def _macro_list() -> str:
    return ", ".join(f"%{name}%" for name in MACROS)
