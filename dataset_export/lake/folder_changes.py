"""What happened to the files of a folder that were exported, or should have been, in words: each with its way out."""

from collections.abc import Iterable, Mapping, Sequence

from dataset_export.lake.fingerprint import Difference, Record, path_hash
from dataset_export.lake.folder_files import DataFile, moment_of

NAMED = 3
"""Files of each kind that are named; of more the number is told."""


def changes_in_words(
    found: Difference, files: Sequence[DataFile], gone: Mapping[int, str], version: int, uri: str
) -> str:
    """One sentence about how a version is not what it was.

    Args:
        found: how its files differ from those that were recorded.
        files: all that are in the folder now.
        gone: paths of files that are not, by their hash, as far as they are known.
        version: its number.
        uri: names the folder.
    """
    names = {path_hash(file.path): file.path for file in files}
    before = {record.path for record in found.gone}
    late = [names[record.path] for record in found.came if record.path not in before]
    changed = [names[record.path] for record in found.gone if record.path in names]
    removed = [gone.get(record.path) or _described(record) for record in found.gone if record.path not in names]
    told = [
        *_part(
            late,
            "came afterwards with an older time of modification, so no export has it: touch it (on an object store, copy it onto "
            "itself), and the next export delivers it",
        ),
        *_part(
            changed,
            "was changed: put back what it was, with its time of modification, and write new rows into new files",
        ),
        *_part(
            removed,
            "was removed: put it back with its time of modification, or, where files are removed once they are old, say by retention_days how "
            "long they are kept",
        ),
    ]
    if not found.complete:
        told.append("more files than can be told came late, were changed or were removed")
    return (
        f"the folder {uri} is not what it was when it was exported up to {_time(version)}: {'; '.join(told)}; or launch the export "
        "in full mode"
    )


def _part(files: Iterable[str], what: str) -> list[str]:
    names = sorted(files)
    if not names:
        return []
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return [f"{', '.join(names[:NAMED])}{more} {what}"]


def _described(record: Record) -> str:
    return f"a file of {record.bytes:,} bytes of {_time(record.version)}"


def _time(version: int) -> str:
    return moment_of(version).isoformat().replace("+00:00", "Z")
