"""`import-flow`: dataflows of Adobe Experience Platform turned into declarations."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dataset_export.cli.arguments import json_option
from dataset_export.cli.terminal import note, print_json
from dataset_export.errors import UsageError

if TYPE_CHECKING:
    from dataset_export.components.imported.flows import Import


@click.command("import-flow")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Write files into this folder. Default: print.",
)
@click.option(
    "--location",
    "locations",
    multiple=True,
    metavar="ID=PATH",
    help="Where the table of a dataset is; may be repeated.",
)
@click.option(
    "--time-series",
    "timestamps",
    multiple=True,
    metavar="ID=COLUMN",
    help="A dataset holds events, with their time in this column; may be repeated.",
)
@json_option
def import_flow(
    files: tuple[Path, ...],
    output: Path | None,
    locations: tuple[str, ...],
    timestamps: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    """Turn dataflows of Adobe Experience Platform into declarations of ours.

    FILES are what its API gives or takes: base connections, source connections, target connections, flows and datasets, in
    any order, one in a file, a list, or a listing. What one names by id has to be among them.

    Secrets become references to environment variables, and are never written. What has no equivalent is named, and stands as
    a comment above its declaration. What the original does not say, such as where a table is, is written as TODO, and does
    not load before it is replaced.

    \b
    --json: destinations [id], datasets [id], dataflows [name], files [path] (null: printed), text (null: written), variables
    [{variable, holds}], notes [{about, note}], left [{where, what}].
    """
    from dataset_export.components.imported.files import all_in_one, left, texts, try_out
    from dataset_export.components.imported.flows import Lake, imported
    from dataset_export.components.imported.pieces import read_pieces

    lake = Lake(_pairs(locations, "--location", "ID=PATH"), _pairs(timestamps, "--time-series", "ID=COLUMN"))
    made = imported(read_pieces(files), lake)
    try_out(made)
    written = _write(texts(made), output) if output is not None else None
    text = all_in_one(made) if written is None else None
    if as_json:
        print_json(
            {
                "destinations": [one.id for one in made.destinations],
                "datasets": [one.id for one in made.datasets],
                "dataflows": [one.id for one in made.dataflows],
                "files": written,
                "text": text,
                "variables": [{"variable": name, "holds": what} for name, what in _variables(made)],
                "notes": [{"about": one.id, "note": said} for one in made.all for said in one.notes],
                "left": [{"where": where, "what": what} for where, what in left(made)],
            }
        )
        return
    if text is not None:
        click.echo(text, nl=False)
    for path in written or ():
        click.echo(f"wrote {path}")
    _tell(made, left(made))


def _tell(made: "Import", to_write: Iterable[tuple[str, str]]) -> None:
    for one in made.all:
        for said in one.notes:
            note(f"note: {one.id}: {said}")
    for name, what in _variables(made):
        note(f"note: {name} has to hold the {what}")
    for where, what in to_write:
        note(f"to do: {where}: {what}")


def _variables(made: "Import") -> list[tuple[str, str]]:
    return [pair for one in made.destinations for pair in one.variables.items()]


def _write(texts: dict[str, str], folder: Path) -> list[str]:
    """Write the files; all or none."""
    from dataset_export.components.source import short

    there = [folder / path for path in texts if (folder / path).exists()]
    if there:
        raise UsageError(f"{short(there[0])} is there already; name another folder, nothing is overwritten")
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return [short((folder / path).absolute()) for path in texts]


def _pairs(written: Iterable[str], option: str, form: str) -> dict[str, str]:
    pairs = [text.partition("=") for text in written]
    for (key, _, value), text in zip(pairs, written, strict=True):
        if not key or not value:
            raise UsageError(f"{option} {text!r} is not {form}; write both")
    return {key: value for key, _, value in pairs}
