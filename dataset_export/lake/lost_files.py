"""What is said of a file that a table names, and that is not there or is another one."""

from dataclasses import dataclass

from dataset_export.errors import CorruptFile, VersionGone


@dataclass(frozen=True)
class Keeping:
    """How a table format loses the files of old versions: what `removes` them, the `way_out` when that was too early, and
    what to do with a data file that cannot be restored (`forget`)."""

    removes: str
    way_out: str
    forget: str


def lost(
    what: str, table: str, keeping: Keeping, *, is_listed: bool, is_data: bool = True
) -> VersionGone | CorruptFile:
    """The error for a file that is not there.

    Args:
        what: the file, such as `the file part-0.parquet`.
        table: its name.
        keeping: the format's.
        is_listed: whether the newest version of the table still has the file.
        is_data: whether it is a data file. Forgetting a file that marks deleted rows would bring them back.
    """
    if not is_listed:
        return VersionGone(
            f"{keeping.removes} removed {what} of the table {table}, which this export has to read: {keeping.way_out}"
        )
    forget = f", or {keeping.forget}" if is_data else ""
    return CorruptFile(f"{what} of the table {table} is missing although the table has it: restore it{forget}")


def changed(what: str, table: str, *, found: int, listed: int) -> CorruptFile:
    """The error for a file of `found` bytes where the table says `listed`."""
    return CorruptFile(f"{what} of the table {table} has {found} bytes, and {listed} by the table: restore it")
