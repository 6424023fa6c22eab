"""What POSIX filesystems do well when asked the right way: links that never replace, folders that survive a power cut,
and errors in our own words."""

import ctypes
import errno
import os
import stat
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from dataset_export.errors import AccessDenied, ConfigError, Conflict, ExportError, StorageFull, TransientError

NO_HARD_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
AT_FDCWD = -100
RENAME_NOREPLACE = 1
PRUNING_TRIES = 20

T = TypeVar("T")


@contextmanager
def translated(doing: str, where: Path, *, passes: tuple[type[OSError], ...] = ()) -> Generator[None]:
    """Turn an OSError of the block into one of ours that names `where`; those of `passes` leave as they are."""
    try:
        yield
    except OSError as error:
        if isinstance(error, passes):
            raise
        raise meaning(error, doing, where) from error


def meaning(error: OSError, doing: str, where: Path) -> ExportError:
    """Our error for what the operating system said. What is not known to be permanent counts as transient."""
    said = f"cannot {doing} {where}: {error.strerror or error}"
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            return StorageFull(f"{said}; free some space or raise the quota, then run the export again")
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return AccessDenied(f"{said}; give the user of this process the right to write there")
        case errno.ENOTDIR | errno.EEXIST | errno.EISDIR:
            return Conflict(f"{said}; a file has the name of a folder or the other way round: move it away")
        case errno.ENAMETOOLONG | errno.ELOOP | errno.EINVAL | errno.EILSEQ:
            return ConfigError(f"{said}; change the folder template or the file names")
        case _:
            return TransientError(f"{said}; it is tried again")


def link_without_replacing(source: Path, target: Path) -> None:
    """Give the file `source` the name `target` in one step. `source` may stay or go.

    Where hard links do not exist (FAT, some network and FUSE filesystems) the kernel's rename-without-replacing does
    the same.

    Raises:
        FileExistsError: when `target` exists; it is untouched.
        ConfigError: when the filesystem can do neither.
    """
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        _rename_without_replacing(source, target)


def _rename_without_replacing(source: Path, target: Path) -> None:
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    refused = errno.ENOSYS
    if rename is not None:
        if rename(AT_FDCWD, os.fsencode(source), AT_FDCWD, os.fsencode(target), RENAME_NOREPLACE) == 0:
            return
        refused = ctypes.get_errno()
    if refused in {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP}:
        raise ConfigError(
            f"the filesystem of {target} has neither hard links nor a rename that never replaces, so nothing can be "
            "published there safely: deliver to another filesystem"
        )
    raise OSError(refused, os.strerror(refused), str(target))


def make_folder_durably(folder: Path) -> None:
    """Make `folder` and those above it; each new one is on disk when this returns, so that the manifest in it
    outlives a power cut (promise P3)."""
    if folder.is_dir():
        return
    make_folder_durably(folder.parent)
    make_folder(folder)
    sync_folder(folder.parent)


def make_folder(folder: Path) -> None:
    """Make `folder` and those above it.

    Raises:
        FileNotFoundError: when a neighbour pruned one of them meanwhile, see `despite_pruning`. (`Path.mkdir` says
            FileExistsError of a folder that was there when it was made and is gone when it is looked at.)
        FileExistsError: when something else has the name.
    """
    if not folder.parent.is_dir():
        make_folder(folder.parent)
    try:
        folder.mkdir()
    except FileExistsError as error:
        try:
            if stat.S_ISDIR(folder.stat().st_mode):
                return
        except FileNotFoundError:
            if not folder.is_symlink():
                raise
        raise error from None


def sync_folder(folder: Path) -> None:
    """Put the folder's names on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network filesystems sync names on their own and refuse this call
            raise
    finally:
        os.close(descriptor)


def prune_empty_folders(folder: Path, root: Path) -> None:
    """Remove `folder` and those above it as long as they are empty, up to `root`, which stays."""
    while folder != root and folder.is_relative_to(root):
        try:
            folder.rmdir()
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY, errno.ENOTDIR}:
                return
            raise
        folder = folder.parent


def despite_pruning(action: Callable[[], T]) -> T:
    """Run `action`, which makes a folder and then uses it, again when the folder vanished in between: a neighbour that
    finished there removed it because it was empty. Raises FileNotFoundError when it keeps vanishing."""
    for _ in range(PRUNING_TRIES - 1):
        try:
            return action()
        except FileNotFoundError:
            continue
    return action()


def probe_writable(folder: Path) -> None:
    """Raise OSError when `folder` takes no new file. Tries with a file that never gets a name, so that nothing is left
    behind even when the process dies here."""
    unnamed = getattr(os, "O_TMPFILE", 0)
    if unnamed:
        try:
            os.close(os.open(folder, unnamed | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        except OSError as error:
            if error.errno not in {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL}:
                raise
        else:
            return
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
