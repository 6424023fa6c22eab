"""Folders that a neighbour removes, because they are empty, while an SFTP store makes them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dataset_export.destinations.filesystem import PRUNING_TRIES
from dataset_export.destinations.sftp import SFTPStore
from dataset_export.destinations.sftp_session import Session
from dataset_export.errors import TransientError
from dataset_export_tests.destinations.contents import stage
from dataset_export_tests.destinations.sftp_stores import at_openssh, files
from dataset_export_tests.servers.openssh import OpenSSH

PATH = "a/b/file"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataset_export.destinations.retry.FIRST_WAIT_SECONDS", 0.01)


class Neighbour:
    """Another export in the same folders of this machine. It makes each folder right before the store does, so that the
    server says Failure, and removes it (`times` times each) before the store looks at it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, times: float) -> None:
        self.made: dict[str, int] = {}
        self._times = times
        self._really_make = Session.mkdir

        async def mkdir(session: Session, path: str) -> None:
            await self._make(session, path)

        monkeypatch.setattr(Session, "mkdir", mkdir)

    async def _make(self, session: Session, path: str) -> None:
        folder = Path(path)
        comes = folder.parent.is_dir() and not folder.exists() and self.made.get(path, 0) < self._times
        if not comes:
            await self._really_make(session, path)
            return
        folder.mkdir()
        self.made[path] = self.made.get(path, 0) + 1
        try:
            await self._really_make(session, path)
        finally:
            folder.rmdir()


DEEDS: dict[str, Callable[[SFTPStore], object]] = {
    "stage": lambda store: stage(store, PATH, b"rows"),
    "put": lambda store: store.put(PATH, b"rows"),
    "replace": lambda store: store.put(PATH, b"rows", replace=True),
}


@pytest.mark.parametrize("times", [1, PRUNING_TRIES - 1])
@pytest.mark.parametrize("deed", [*DEEDS, "publish"])
def test_folder_that_vanishes_is_made_again(
    openssh: OpenSSH, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deed: str, times: int
) -> None:
    store = at_openssh(openssh, tmp_path)
    staged = stage(store, PATH, b"rows") if deed == "publish" else None
    neighbour = Neighbour(monkeypatch, times)
    if staged is not None:
        store.publish(staged)
    else:
        DEEDS[deed](store)
    assert {*neighbour.made.values()} == {times}
    assert len(neighbour.made) >= 2
    [made] = files(tmp_path)
    assert made == (f".dataset_export/staging/{PATH}.staged" if deed == "stage" else PATH)


def test_folder_above_that_vanishes_after_it_was_made(
    openssh: OpenSSH, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, really_make, pruned = at_openssh(openssh, tmp_path), Session.mkdir, set[str]()

    async def make_and_prune(session: Session, path: str) -> None:
        await really_make(session, path)
        if path not in pruned:
            pruned.add(path)
            Path(path).rmdir()

    monkeypatch.setattr(Session, "mkdir", make_and_prune)
    store.put(PATH, b"rows")
    assert {str(tmp_path / "a"), str(tmp_path / "a" / "b")} <= pruned
    assert files(tmp_path) == [PATH]


def test_folder_that_vanishes_every_time_is_an_error(
    openssh: OpenSSH, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Neighbour(monkeypatch, float("inf"))
    with pytest.raises(TransientError, match="Failure"):
        at_openssh(openssh, tmp_path).put(PATH, b"rows")
    assert files(tmp_path) == []
