"""The columns of a dataflow, as they are written in YAML."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import AfterValidator, Field

from dataset_export.components.declaration import Attributes
from dataset_export.components.secret import SecretField
from dataset_export.components.source import Source
from dataset_export.encoding.column_path import parse_path
from dataset_export.errors import ConfigError
from dataset_export.export.columns import Columns


def _path(written: str) -> str:
    try:
        parse_path(written)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return written


Path = Annotated[str, AfterValidator(_path)]


class ColumnsAttributes(Attributes):
    """Which columns are delivered, and how. A path is dotted: home.street; items.element.price in a list, tags.value in a map."""

    include: tuple[Path, ...] | None = Field(
        default=None, min_length=1, description="Deliver only these columns, or fields inside them. Default: all."
    )
    exclude: tuple[Path, ...] = Field(
        default=(), description="Columns, or fields inside them, to leave out; also of what is included."
    )

    hash: tuple[Path, ...] = Field(
        default=(),
        description="Columns, or fields, to deliver as SHA-256 over the salt and the value, in hex. Null stays null.",
    )
    salt: SecretField | None = Field(
        default=None,
        description="Secret that every hashed value begins with, at least 16 characters: {env: NAME} or {file: PATH}. "
        "Equal values have equal hashes as long as it stays.",
    )
    mask: dict[Path, str | None] = Field(
        default_factory=dict[str, "str | None"],
        description="Columns, or fields, to deliver with the same text in every row, or with null.",
    )

    def value(self, source: Source) -> Columns:
        """The settings. Raises ConfigError when they contradict each other."""
        return Columns(
            include=self.include or (),
            exclude=self.exclude,
            hash=self.hash,
            mask=self.mask,
            salt=source.secret(self.salt) if self.salt is not None else None,
        )


class AllColumnsAttributes(ColumnsAttributes):
    """Which columns of the datasets of a dataflow are delivered."""

    datasets: dict[str, ColumnsAttributes] = Field(
        default_factory=dict[str, ColumnsAttributes],
        description="By a dataset's id: what holds for it instead of what stands beside `datasets`.",
    )


def columns_by_dataset(written: AllColumnsAttributes, datasets: Sequence[str], source: Source) -> Mapping[str, Columns]:
    """The settings of each dataset.

    Raises:
        ConfigError: with file and line, for settings that contradict each other and for a dataset that the dataflow does not
            export.
    """
    for dataset in written.datasets:
        if dataset not in datasets:
            raise source.error(
                f"this dataflow does not export {dataset!r}; it exports {', '.join(datasets)}",
                "columns",
                "datasets",
                dataset,
            )
    with source.blaming("columns"):
        shared = written.value(source)
    found = dict.fromkeys(datasets, shared)
    for dataset, own in written.datasets.items():
        with source.blaming("columns", "datasets", dataset):
            found[dataset] = own.value(source)
    return found
