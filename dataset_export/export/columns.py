"""Which columns of a dataset a dataflow delivers: as it is declared, and as the manifest tells it.

What can be checked without the table is checked when the declarations load; whether the table has the columns, when an
export is planned.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from dataset_export.encoding.column_path import ColumnPath, parse_path, path_text
from dataset_export.encoding.contract import ColumnRule
from dataset_export.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

    from dataset_export.encoding.projection import Projection


@dataclass(frozen=True)
class Columns:
    """The columns of a dataset that are delivered, by path (`encoding.column_path`). Nothing set: all of them.

    Attributes:
        include: only these.
        exclude: not these; of something included, a part.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rule = self.rule()
        _refuse_overlap("include", rule.include)
        _refuse_overlap("exclude", rule.exclude)
        for path in rule.include:
            if around := _around(path, rule.exclude):
                raise ConfigError(
                    f"include names {path_text(path)}, and exclude {path_text(around)}; take one of them out"
                )
        for path in rule.exclude:
            _require_included("exclude", path, rule)

    def rule(self) -> ColumnRule:
        """What an encoder makes of it."""
        return ColumnRule(
            include=tuple(parse_path(path) for path in self.include),
            exclude=tuple(parse_path(path) for path in self.exclude),
        )


def projection_of(columns: Columns, schema: "pa.Schema", whose: str) -> "Projection":
    """What the table's columns become. `whose` are the settings, in words.

    Raises:
        ConfigError: when the settings name what the table does not have, or leave nothing.
    """
    from dataset_export.encoding.projection import Projection

    try:
        return Projection(schema, columns.rule())
    except ConfigError as error:
        raise ConfigError(f"{whose}: columns: {error}") from None


def columns_document(columns: Columns, projection: "Projection") -> dict[str, Any] | None:
    """What a manifest says of columns that are not delivered as they are; None when the dataflow sets nothing."""
    if columns == Columns():
        return None
    return {"leftOut": [path_text(path) for path in projection.left_out()]}


def columns_in_words(document: Mapping[str, Any]) -> str:
    """What a `columns_document` says, for a person."""
    left_out: list[str] = document["leftOut"]
    return f"{len(left_out)} column(s) are left out: {', '.join(left_out)}" if left_out else "no column is left out"


def _refuse_overlap(setting: str, paths: tuple[ColumnPath, ...]) -> None:
    for one, other in combinations(paths, 2):
        inner, outer = sorted((one, other), key=len, reverse=True)
        if _is_in(inner, outer):
            what = "twice" if inner == outer else f"and {path_text(outer)}, which it is a part of"
            raise ConfigError(f"{setting} names {path_text(inner)} {what}; take one of them out")


def _require_included(setting: str, path: ColumnPath, rule: ColumnRule) -> None:
    if rule.include and not any(_is_in(path, included) for included in rule.include):
        raise ConfigError(
            f"{setting} names {path_text(path)}, which include leaves out already; take it out, or include it"
        )


def _around(path: ColumnPath, paths: tuple[ColumnPath, ...]) -> ColumnPath | None:
    """That of `paths` which is the path itself or has it as a part."""
    return next((other for other in paths if _is_in(path, other)), None)


def _is_in(path: ColumnPath, other: ColumnPath) -> bool:
    return path[: len(other)] == other
