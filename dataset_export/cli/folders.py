"""The tree of files that an export makes, before it makes any: folders, names of files by example, manifests."""

from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from dataset_export.cli.terminal import iso, print_tree

if TYPE_CHECKING:
    from dataset_export.export.dataflow import Dataflow

EXAMPLE_RUN = str(UUID(int=0))
RUN_ID = "<run id>"
EXAMPLE_FILES = 2


def folders_of(dataflow: "Dataflow", export_time: datetime) -> list[dict[str, Any]]:
    """Of each dataset the folder, names of data files as they might be, and the manifest's path. The names depend on the
    run."""
    from dataset_export.export.file_names import file_name, name_mark
    from dataset_export.export.manifest import encrypted_copy_path, manifest_path

    shown: list[dict[str, Any]] = []
    for dataset in dataflow.datasets:
        mark = name_mark(dataflow.name, dataset.id, export_time, EXAMPLE_RUN)
        beginning = dataflow.render_file_name(dataset, export_time)
        run = (dataflow, dataset, export_time, RUN_ID)
        shown.append(
            {
                "dataset": dataset.id,
                "folder": dataflow.render_folder(dataset, export_time),
                "example_files": [
                    file_name(beginning, mark, ordinal, dataflow.ending) for ordinal in range(EXAMPLE_FILES)
                ],
                "manifest": encrypted_copy_path(*run) or manifest_path(*run),
            }
        )
    return shown


def folder_warnings(dataflow: "Dataflow", shown: list[dict[str, Any]]) -> list[str]:
    """What a reader of these folders should know."""
    if len(shown) == len({part["folder"] for part in shown}):
        return []
    return [
        f"several datasets share a folder by the template {dataflow.folder.text!r}; %DATASET_ID% in it keeps them apart"
    ]


def print_folders(
    dataflow: "Dataflow", export_time: datetime, shown: list[dict[str, Any]], *, err: bool = False
) -> None:
    """Print what `folders_of` gives as a tree."""
    leaves: list[tuple[str, str]] = []
    for part in shown:
        folder = f"{part['folder']}/" if part["folder"] else ""
        leaves += [(folder + name, "(example)") for name in part["example_files"]]
        leaves += [(f"{folder}…", ""), (part["manifest"], f"of {part['dataset']}")]
    print_tree(
        f"{dataflow.destination.name} ({dataflow.destination.type}), export time {iso(export_time)}", leaves, err=err
    )
