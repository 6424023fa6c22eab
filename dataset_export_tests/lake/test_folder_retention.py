"""Folders whose oldest files are removed once they are old, as a lifecycle rule does."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_export.destinations.local import LocalStore
from dataset_export.errors import IntegrityError, VersionGone
from dataset_export.lake import parquet_folder
from dataset_export.lake.folder_files import DataFile, moment_of, version_at
from dataset_export.lake.spans import only_pruned, sums_of
from dataset_export_tests.export.exporter import START, Exporter, rows_by_manifest
from dataset_export_tests.lake.delta_tables import day
from dataset_export_tests.lake.parquet_folders import FolderBuilder, touch

HOUR = timedelta(hours=1)
MANY = 60
"""Files that are removed at once: more than a fingerprint can tell."""


@pytest.fixture
def folder(tmp_path: Path) -> FolderBuilder:
    return FolderBuilder(str(tmp_path / "a folder"))


def at(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    monkeypatch.setattr(parquet_folder, "now", lambda: moment)


def fill(folder: FolderBuilder, number: int, files: int) -> None:
    """Files that were written on a day, one every minute."""
    for place in range(files):
        folder.add(f"{number:02}/{place}.parquet", 100 * number + place, at=day(number) + timedelta(minutes=place))


def prune(folder: FolderBuilder, number: int) -> None:
    for file in sorted(folder.path.glob(f"{number:02}/*.parquet")):
        file.unlink()


@pytest.mark.parametrize("files", [3, MANY])
class TestPruned:
    """Five days of files, of which four were exported; three days are kept, and it is the sixth."""

    @pytest.fixture(autouse=True)
    def exported(self, folder: FolderBuilder, files: int, monkeypatch: pytest.MonkeyPatch) -> str:
        for number in range(1, 6):
            fill(folder, number, files)
        at(monkeypatch, day(5) + HOUR)
        recorded = folder.table(retention_days=3).fingerprint(self.upper)
        at(monkeypatch, day(6) + 2 * HOUR)
        return recorded

    upper = version_at(day(4) + HOUR)

    def require(self, folder: FolderBuilder, recorded: str, lower: int | None = upper) -> None:
        folder.table(retention_days=3).require(self.upper, recorded, lower)

    def test_old_files_that_were_delivered_may_go(self, folder: FolderBuilder, exported: str) -> None:
        self.require(folder, exported)
        prune(folder, 1)
        self.require(folder, exported)
        prune(folder, 2)
        self.require(folder, exported)

    def test_others_may_not(self, folder: FolderBuilder, exported: str) -> None:
        """Such as the files that a compaction puts together: their rows would come once more."""
        prune(folder, 1)
        prune(folder, 4)
        with pytest.raises(VersionGone):
            self.require(folder, exported)

    def test_none_may_go_without_the_setting(self, folder: FolderBuilder, exported: str) -> None:
        prune(folder, 1)
        with pytest.raises(VersionGone):
            folder.table().require(self.upper, exported, self.upper)

    def test_a_file_that_came_late_or_was_changed_is_told(self, folder: FolderBuilder, exported: str) -> None:
        prune(folder, 1)
        late = folder.add("late.parquet", 9, at=day(4))
        with pytest.raises(VersionGone):
            self.require(folder, exported)
        late.unlink()
        touch(folder.path / "04" / "0.parquet", day(5) + HOUR)
        with pytest.raises(VersionGone):
            self.require(folder, exported)

    def test_what_is_delivered_again_has_to_be_there(self, folder: FolderBuilder, exported: str) -> None:
        prune(folder, 1)
        for lower in (None, version_at(day(1))):
            with pytest.raises(VersionGone):
                self.require(folder, exported, lower)
        self.require(folder, exported, version_at(day(3)))

    def test_all_may_be_gone_after_a_long_time(
        self, folder: FolderBuilder, exported: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        at(monkeypatch, day(20))
        for number in range(1, 6):
            prune(folder, number)
        table = folder.table(retention_days=3)
        version = table.newest_before(day(20), at_least=self.upper)
        assert version is not None
        assert version.number == self.upper
        table.require(self.upper, exported, self.upper)

    def test_the_setting_may_come_later(
        self, folder: FolderBuilder, files: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As far as a fingerprint can tell by itself what went."""
        recorded = folder.table().fingerprint(self.upper)
        prune(folder, 1)
        if files == MANY:
            with pytest.raises(VersionGone, match="more files than can be told"):
                self.require(folder, recorded)
        else:
            self.require(folder, recorded)


def test_a_message_names_the_setting(folder: FolderBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, day(2))
    fill(folder, 1, 2)
    recorded = folder.table().fingerprint(version_at(day(1) + HOUR))
    (folder.path / "01" / "1.parquet").unlink()
    with pytest.raises(VersionGone, match=r"was removed: put it back .* say by retention_days"):
        folder.table().require(version_at(day(1) + HOUR), recorded, version_at(day(1) + HOUR))


def test_p7_exports_go_on_while_files_are_removed(
    folder: FolderBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalStore(tmp_path / "to")
    exporter = Exporter(store, folder.uri, format="parquet", retention_days=2)
    delivered = set[int]()
    for number in range(1, 8):
        moment = START + timedelta(days=number)
        for place in range(30):
            folder.add(f"{number}/{place}.parquet", 100 * number + place, at=moment - HOUR)
            delivered.add(100 * number + place)
        for file in folder.path.glob(f"{number - 3}/*.parquet"):
            file.unlink()
        at(monkeypatch, moment)
        assert len(exporter.export(24 * number).files) == 30
    assert rows_by_manifest(store) == dict.fromkeys(delivered, 1)
    with pytest.raises(VersionGone):
        exporter.export(24 * 4, resend=True)
    assert len(exporter.export(24 * 7, resend=True).files) == 30
    assert rows_by_manifest(store) == dict.fromkeys(delivered, 1)


versions = st.lists(st.integers(0, 5 * 32_000), min_size=1, max_size=30, unique=True)


@given(versions, st.integers(32, 3 * 32_000), st.integers(0, 5 * 32_000), st.integers(0, 5 * 32_000), st.data())
def test_spans_are_told_apart(numbers: list[int], kept: int, kept_from: int, lower: int, data: st.DataObject) -> None:
    """What is allowed to be gone, and a span more at each side, changes nothing; the rest does."""
    files = [DataFile(str(number), 1, moment_of(number)) for number in sorted(numbers)]
    version = files[-1].version
    text = sums_of(files, version, timedelta(microseconds=kept))
    gone = set(data.draw(st.lists(st.sampled_from(files), unique=True)))
    left = [file for file in files if file not in gone]
    said = only_pruned(text, left, version, kept_from=kept_from, lower=lower)
    width = kept // 32
    if any(
        file.version > lower or (file.version >= kept_from + width and file.version > version - kept) for file in gone
    ):
        assert not said
    if not gone or (kept_from > version and lower >= version):
        assert said


def test_what_are_no_spans() -> None:
    for text in ("?", "AAAA"):
        with pytest.raises(IntegrityError, match="is none"):
            only_pruned(text, [], 0, kept_from=0, lower=0)
