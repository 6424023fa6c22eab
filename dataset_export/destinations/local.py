"""A folder of a filesystem: the embedded default, and any mounted share.

Files are staged below `<folder>/.dataset_export/staging/`, so on the same filesystem, and become visible by a hard
link, which is atomic and never replaces. `put` goes the same way with a name of its own, so a half-written file is
never at a visible path.
"""

import errno
import hashlib
import os
import secrets
import shlex
import stat
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from pydantic import Field

from dataset_export.destinations.contract import HIDDEN_FOLDER, Entry, Leftover, Origin, Staged, Store, check_path
from dataset_export.destinations.filesystem import (
    despite_pruning,
    link_without_replacing,
    make_folder,
    make_folder_durably,
    probe_writable,
    prune_empty_folders,
    sync_folder,
    translated,
)
from dataset_export.destinations.found import conflict, gone
from dataset_export.destinations.io_manager import DestinationIOManager
from dataset_export.destinations.local_copy import FileCopy
from dataset_export.destinations.policy import Operation, Policy
from dataset_export.errors import ConfigError, ExportError, IntegrityError

STAGING = f"{HIDDEN_FOLDER}/staging"
STAGED_SUFFIX = ".staged"
PUT_SUFFIX = ".put"


class LocalDestination(DestinationIOManager):
    """Deliver to a folder of this machine, or of a share that is mounted here."""

    folder: str = Field(description="Path of the folder to deliver to; created at the first delivery.")

    def build_store(self) -> Store:
        """A `LocalStore` of the folder."""
        return LocalStore(Path(self.folder))

    def policy(self) -> Policy:
        """Write access to the folder, or to the one above it while it does not exist."""
        return Policy(
            dict.fromkeys(Operation, ("write and search permission on the folder",)),
            f"install -d -m 0750 -o <user of the export> {shlex.quote(self.folder)}",
            ("Readers need read permission only, and no access to the hidden folder.",),
        )


class LocalStore:
    """`Store` over the folder `folder`. Everything it deletes or replaces lies inside; a symbolic link that leads out
    is refused with ConfigError (design: Security)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.expanduser().absolute()

    def uri(self, path: str) -> str:
        """`file:///folder/path`, percent-encoded."""
        return (self.folder / check_path(path)).as_uri() if path else self.folder.as_uri()

    def check(self) -> None:
        """See that the folder is there, or can be made, and takes files. Leaves nothing.

        Raises:
            AccessDenied: when it may not be written.
            ConfigError: when it, or a folder above it, is not a folder.
        """
        nearest = self.folder
        while not os.path.lexists(nearest):
            nearest = nearest.parent
        if not nearest.is_dir():
            raise ConfigError(
                f"{self.folder} cannot be delivered to because {nearest} is not a folder: name another one"
            )
        with translated("write to the folder", nearest):
            probe_writable(nearest)

    def stage(self, path: str, *, size_hint: int | None = None) -> "LocalUpload":
        """A hidden file beside what it will be. `size_hint` is not needed: a file has no parts."""
        return LocalUpload(self, path, self._target(f"{STAGING}/{check_path(path)}{STAGED_SUFFIX}"))

    def confirm(self, staged: Staged) -> None:
        """Read the staged file back and compare (a filesystem keeps no checksum). Raises IntegrityError."""
        for held in (self._staged_file(staged), self._target(staged.path)):
            if held.is_file():
                if self._holds(held, staged.bytes, staged.sha256):
                    return
                raise IntegrityError(f"{held} is not what was staged for {staged.path}: run the export again")
        raise gone(self.uri(staged.path))

    def publish(self, staged: Staged) -> None:
        """Link the staged file to its visible name, make the folder durable, drop the staged name."""
        source, target = self._staged_file(staged), self._target(staged.path)
        with translated("publish", target):
            try:
                published = self._reveal(source, target)
            except FileNotFoundError as error:
                if self._holds(target, staged.bytes, staged.sha256):
                    return
                raise gone(self.uri(staged.path)) from error
        if not published and not self._holds(target, staged.bytes, staged.sha256):
            raise conflict(str(target))
        self._remove(source)

    def discard(self, staged: Staged) -> None:
        """Remove the staged file."""
        self._remove(self._staged_file(staged))

    def put(self, path: str, data: bytes, *, replace: bool = False) -> None:
        """Write a hidden file, then link it, or rename it over the old one with `replace`."""
        target = self._target(path)
        hidden = self._target(f"{STAGING}/{path}.{secrets.token_hex(8)}{PUT_SUFFIX}")
        published = True
        try:
            with translated("write", target):
                descriptor = self.create(hidden)
                try:
                    write_all(descriptor, memoryview(data))
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
                published = self._reveal(hidden, target, replace=replace)
        finally:
            self._remove(hidden)
        if not published and not self._holds(target, len(data), hashlib.sha256(data).hexdigest()):
            raise conflict(str(target))

    def list(self, folder: str) -> Iterator[Entry]:
        """Regular files below `folder`; symbolic links are not followed and not listed."""
        for file, status in self._files_below(self._folder(folder)):
            modified = datetime.fromtimestamp(status.st_mtime, UTC)
            yield Entry(file.relative_to(self.folder).as_posix(), status.st_size, modified)

    def open(self, path: str) -> BinaryIO:
        """The file, opened for reading."""
        target = self._target(path)
        with translated("open", target, passes=(FileNotFoundError,)):
            if not _is_regular(target):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(target))
            return target.open("rb")

    def delete(self, path: str) -> None:
        """Remove a file, and the folders that this leaves empty."""
        self._remove(self._target(path))

    def leftovers(self, folder: str = "") -> Iterator[Leftover]:
        """Staged files. `started` is when the last byte was written: a filesystem does not remember the first one."""
        root = self._folder(STAGING)
        below = self._folder(f"{STAGING}/{folder}" if folder else STAGING)
        for file, status in self._files_below(below, staging=True):
            hidden = file.relative_to(root).as_posix()
            path = hidden.removesuffix(STAGED_SUFFIX)
            if hidden.endswith(PUT_SUFFIX):
                path = hidden.removesuffix(PUT_SUFFIX).rpartition(".")[0]
            started = datetime.fromtimestamp(status.st_mtime, UTC)
            yield Leftover(path, started, status.st_size, {"hidden": file.relative_to(self.folder).as_posix()})

    def discard_leftover(self, leftover: Leftover) -> None:
        """Remove a staged file, and the folder that was made for its visible name when nothing else came there."""
        self._remove(self._hidden(str(leftover.handle["hidden"])))
        target = self._target(leftover.path)
        with translated("delete", target):
            prune_empty_folders(target.parent, self.folder)

    def create(self, hidden: Path) -> int:
        """A descriptor of a new file, in place of a leftover of that name. An earlier worker that still has the old
        file open goes on writing to a file without a name, not to ours."""

        def create() -> int:
            make_folder(hidden.parent)
            hidden.unlink(missing_ok=True)
            return os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)

        return despite_pruning(create)

    def _reveal(self, source: Path, target: Path, *, replace: bool = False) -> bool:
        """Give `source` the visible name `target`, durably. False when something has that name already (and stays).
        Raises FileNotFoundError when `source` is gone."""

        def reveal() -> None:
            make_folder_durably(target.parent)
            if replace:
                source.replace(target)
            else:
                link_without_replacing(source, target)

        if not replace and os.path.lexists(target):
            return False
        try:
            despite_pruning(reveal)
        except FileExistsError:
            return False
        sync_folder(target.parent)
        return True

    def _remove(self, file: Path) -> None:
        with translated("delete", file):
            if file.is_dir() and not file.is_symlink():
                return
            with suppress(FileNotFoundError, NotADirectoryError):
                file.unlink()
                sync_folder(file.parent)
            prune_empty_folders(file.parent, self.folder)

    def _holds(self, file: Path, size: int, sha256: str) -> bool:
        with translated("read", file):
            try:
                if not _is_regular(file) or file.stat().st_size != size:
                    return False
                with file.open("rb") as stream:
                    return hashlib.file_digest(stream, "sha256").hexdigest() == sha256
            except FileNotFoundError:
                return False

    def _staged_file(self, staged: Staged) -> Path:
        return self._hidden(str(staged.handle["hidden"]))

    def _hidden(self, path: str) -> Path:
        """The file a receipt names; a receipt that names anything but staged bytes is refused."""
        if not path.startswith(f"{STAGING}/"):
            raise IntegrityError(f"the receipt names {path!r}, which is no staged file: run the export again")
        return self._target(path)

    def _target(self, path: str) -> Path:
        target = self.folder / check_path(path)
        self._require_inside(target.parent, path)
        return target

    def _folder(self, folder: str) -> Path:
        if not folder:
            return self.folder
        found = self.folder / check_path(folder)
        self._require_inside(found, folder)
        return found

    def _require_inside(self, folder: Path, path: str) -> None:
        # realpath: unlike Path.resolve it does not raise on a loop of links, which then fails as any bad path does.
        if not Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(self.folder)):
            raise ConfigError(f"{path!r} leaves {self.folder} through a symbolic link: remove the link")

    def _files_below(self, folder: Path, *, staging: bool = False) -> Iterator[tuple[Path, os.stat_result]]:
        """Regular files in path order: a folder sorts as its name with a `/`, which is how its files compare."""
        hidden = self.folder / HIDDEN_FOLDER
        skipped = set[Path]() if staging else {self.folder / STAGING}
        if not folder.is_relative_to(hidden):
            skipped.add(hidden)
        if any(folder.is_relative_to(one) for one in skipped):
            return
        with translated("list", folder):
            try:
                with os.scandir(folder) as scan:
                    found = sorted((f"{one.name}/" if one.is_dir(follow_symlinks=False) else one.name) for one in scan)
            except (FileNotFoundError, NotADirectoryError):
                return
        for name in found:
            one = folder / name
            if name.endswith("/"):
                if one not in skipped:
                    yield from self._files_below(one, staging=staging)
                continue
            with translated("list", one):
                try:
                    status = one.lstat()
                except FileNotFoundError:  # deleted since the folder was read
                    continue
            if stat.S_ISREG(status.st_mode):
                yield one, status


class LocalUpload:
    """One file being staged."""

    def __init__(self, store: LocalStore, path: str, hidden: Path) -> None:
        self._store = store
        self._path = path
        self._hidden = hidden
        self._digest = hashlib.sha256()
        self._bytes = 0
        self._descriptor = -1
        self._copy: FileCopy | None = None
        self._staged: Staged | None = None

    def copies(self, origin: Origin) -> None:
        """Bytes are copied from a file of the same filesystem."""
        with translated("stage", self._hidden):
            self._copy = FileCopy.begun(origin, self._descriptor)

    @property
    def staged(self) -> Staged:
        """The receipt."""
        if self._staged is None:
            raise RuntimeError(f"{self._path} is not staged yet: the receipt exists after the with block")
        return self._staged

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append bytes to the hidden file."""
        view = memoryview(data).cast("B")
        with translated("stage", self._hidden):
            copied = self._copy.append(self._descriptor, len(view)) if self._copy else 0
            write_all(self._descriptor, view[copied:])
        self._digest.update(view)
        self._bytes += len(view)

    def __enter__(self) -> Self:
        with translated("stage", self._hidden):
            self._descriptor = self._store.create(self._hidden)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        receipt = Staged(
            self._path,
            self._bytes,
            self._digest.hexdigest(),
            {"hidden": self._hidden.relative_to(self._store.folder).as_posix()},
        )
        try:
            with translated("stage", self._hidden):
                try:
                    if error is None:
                        os.fsync(self._descriptor)
                        if self._copy:
                            self._copy.require_unchanged()
                finally:
                    os.close(self._descriptor)
                    if self._copy:
                        self._copy.close()
        except ExportError:
            self._store.discard(receipt)
            raise
        if error is None:
            self._staged = receipt
            return
        try:
            self._store.discard(receipt)
        except ExportError as failed:
            error.add_note(f"and its staged bytes could not be removed: {failed}")


def write_all(descriptor: int, view: memoryview) -> None:
    """Write the whole of `view`: one call may take only a part, for example when the disk fills up."""
    while view:
        view = view[os.write(descriptor, view) :]


def _is_regular(file: Path) -> bool:
    try:
        return stat.S_ISREG(file.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
