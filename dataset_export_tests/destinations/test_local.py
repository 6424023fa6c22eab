"""What only a filesystem does: links, permissions, a full disk."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataset_export.destinations import filesystem
from dataset_export.destinations.contract import Entry, Staged
from dataset_export.destinations.local import LocalStore
from dataset_export.errors import AccessDenied, ConfigError, Conflict, IntegrityError, StorageFull
from dataset_export_tests.destinations.contents import stage

MIB = 1 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if (
        mount is None
        or subprocess.run([mount, "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=False).returncode
    ):
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", folder], check=True)


def entries(store: LocalStore) -> list[Entry]:
    return list(store.list(""))


def test_full_disk_while_staging(small_disk: Path) -> None:
    store = LocalStore(small_disk)
    with pytest.raises(StorageFull, match="free some space"):
        stage(store, "big", bytes(8 * MIB))
    assert list(small_disk.rglob("*")) == []
    store.publish(stage(store, "small", b"rows"))
    assert [one.path for one in entries(store)] == ["small"]


def test_full_disk_while_putting(small_disk: Path) -> None:
    store = LocalStore(small_disk)
    with pytest.raises(StorageFull):
        store.put("m.json", bytes(8 * MIB))
    assert list(small_disk.rglob("*")) == []


def test_read_only_filesystem(small_disk: Path) -> None:
    store = LocalStore(small_disk)
    staged = stage(store, "file", b"rows")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(AccessDenied, match="right to write"):
        store.check()
    with pytest.raises(AccessDenied):
        LocalStore(small_disk / "new" / "folder").check()
    with pytest.raises(AccessDenied):
        stage(store, "other", b"")
    with pytest.raises(AccessDenied):
        store.put("m.json", b"")
    with pytest.raises(AccessDenied):
        store.publish(staged)
    with pytest.raises(AccessDenied):
        store.discard(staged)
    store.confirm(staged)


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigError, match="not a folder"):
            LocalStore(folder).check()
        with pytest.raises(Conflict):
            LocalStore(folder).put("m.json", b"")


def test_file_where_a_folder_is_needed(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    (tmp_path / "a").write_bytes(b"theirs")
    staged = stage(store, "a/b", b"ours")
    with pytest.raises(Conflict, match="move it away"):
        store.publish(staged)
    assert (tmp_path / "a").read_bytes() == b"theirs"


def test_folder_where_a_file_is_needed(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    (tmp_path / "a" / "b").mkdir(parents=True)
    with pytest.raises(Conflict):
        store.publish(stage(store, "a", b"ours"))
    with pytest.raises(Conflict):
        store.put("a", b"ours", replace=True)


@pytest.mark.parametrize("outside", ["elsewhere", "../elsewhere"])
def test_link_that_leads_out_is_refused(tmp_path: Path, outside: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret").write_bytes(b"secret")
    store = LocalStore(tmp_path / "root")
    store.put("seen", b"")
    (store.folder / "link").symlink_to(tmp_path / "elsewhere" if outside == "elsewhere" else outside)
    for call in (
        lambda: store.put("link/file", b""),
        lambda: store.open("link/secret"),
        lambda: store.delete("link/secret"),
        lambda: store.publish(stage(store, "link/file", b"")),
        lambda: list(store.list("link")),
    ):
        with pytest.raises(ConfigError, match="symbolic link"):
            call()
    assert [one.path for one in entries(store)] == ["seen"]
    assert [one.name for one in (tmp_path / "elsewhere").iterdir()] == ["secret"]


def test_link_in_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"rows")
    store = LocalStore(tmp_path / "root")
    staged = stage(store, "file", b"rows")
    (store.folder / "file").symlink_to(tmp_path / "secret")
    with pytest.raises(FileNotFoundError):
        store.open("file")
    with pytest.raises(Conflict):
        store.publish(staged)
    assert entries(store) == []


def test_loop_of_links(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises((ConfigError, Conflict)):
        LocalStore(tmp_path).put("loop/file", b"")


def test_root_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "root").symlink_to("real")
    store = LocalStore(tmp_path / "root")
    store.publish(stage(store, "a/b", b"rows"))
    assert (tmp_path / "real" / "a" / "b").read_bytes() == b"rows"
    assert [one.path for one in entries(store)] == ["a/b"]


def test_receipt_that_names_a_visible_file_is_refused(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("precious", b"")
    with pytest.raises(IntegrityError, match="no staged file"):
        store.discard(Staged("x", 0, "", {"hidden": "precious"}))
    assert store.open("precious").close() is None


def test_late_worker_does_not_write_into_the_new_file(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    with store.stage("file") as late:
        late.write(b"first ")
        staged = stage(store, "file", b"second try")
        late.write(b"and more")
        store.confirm(staged)
        store.publish(staged)
    assert (tmp_path / "file").read_bytes() == b"second try"


@pytest.mark.parametrize("deed", ["stage", "publish", "put"])
def test_folder_that_a_neighbour_removes_between_making_it_and_looking_at_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deed: str
) -> None:
    store = LocalStore(tmp_path)
    staged = stage(store, "a/file", b"rows") if deed == "publish" else None
    really_make = Path.mkdir
    said: list[Path] = []

    def make(folder: Path, *arguments: object, **more: object) -> None:
        if folder not in said:
            said.append(folder)
            raise FileExistsError(17, "File exists", str(folder))  # and then the neighbour's rmdir
        really_make(folder, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "mkdir", make)
    if staged is not None:
        store.publish(staged)
    elif deed == "stage":
        store.publish(stage(store, "a/file", b"rows"))
    else:
        store.put("a/file", b"rows")
    assert len(said) > 0
    assert (tmp_path / "a" / "file").read_bytes() == b"rows"


@pytest.fixture
def no_hard_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)


@pytest.mark.usefixtures("no_hard_links")
def test_without_hard_links(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    staged = stage(store, "a/file", b"rows")
    store.publish(staged)
    store.publish(staged)
    assert [one.path for one in entries(store)] == ["a/file"]
    assert list(store.leftovers()) == []


@pytest.mark.usefixtures("no_hard_links")
def test_rename_without_hard_links_replaces_nothing(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"ours")
    (tmp_path / "target").write_bytes(b"theirs")
    with pytest.raises(FileExistsError):
        filesystem.link_without_replacing(tmp_path / "source", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"theirs"


@pytest.mark.usefixtures("no_hard_links")
def test_filesystem_that_can_do_neither(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path)
    staged = stage(store, "file", b"rows")
    monkeypatch.setattr(filesystem.ctypes, "CDLL", lambda *_, **__: object())
    with pytest.raises(ConfigError, match="another filesystem"):
        store.publish(staged)
    assert entries(store) == []


def test_name_too_long(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="template"):
        stage(LocalStore(tmp_path), "n" * 300, b"")
