"""Folders of parquet files: what is data, versions by modification, and changes behind a version's back."""

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from dataset_export.errors import CorruptFile, NotFound, UnsupportedTable, VersionGone
from dataset_export.lake import footers, parquet_folder
from dataset_export.lake.folder_files import version_at
from dataset_export.lake.footer_cache import CACHE_VARIABLE
from dataset_export.lake.objects import ObjectFolder
from dataset_export.lake.open import TableLocation, open_table
from dataset_export_tests.lake.delta_tables import day, read
from dataset_export_tests.lake.parquet_folders import FolderBuilder, touch

NOW = day(9)
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_folder, "now", lambda: NOW)


@pytest.fixture
def folder(tmp_path: Path) -> FolderBuilder:
    return FolderBuilder(str(tmp_path / "a folder"))


def paths(folder: FolderBuilder, lower: datetime | None, upper: datetime) -> list[str]:
    found = folder.table().slice(None if lower is None else version_at(lower), version_at(upper))
    assert not found.removed
    return [file.path for file in found.added]


class TestVersions:
    def test_files_of_one_moment_are_one_version(self, folder: FolderBuilder) -> None:
        folder.add("b.parquet", 1, at=day(2))
        folder.add("a.parquet", 2, at=day(2))
        folder.add("z.parquet", 3, at=day(1))
        folder.add("deep/er/c.parquet", 4, at=day(3))
        versions = folder.table().versions()
        assert [version.committed_at for version in versions] == [day(3), day(2), day(1)]
        assert [version.number for version in versions] == [version_at(day(n)) for n in (3, 2, 1)]
        assert folder.table().versions(limit=1) == versions[:1]
        assert paths(folder, None, day(3)) == ["z.parquet", "a.parquet", "b.parquet", "deep/er/c.parquet"]
        assert paths(folder, day(1), day(2)) == ["a.parquet", "b.parquet"]
        assert paths(folder, day(2), day(2)) == []
        assert folder.table().row_count(version_at(day(2))) == 3

    def test_newest_before_is_strict_and_looks_anew(self, folder: FolderBuilder) -> None:
        table = folder.table()
        assert table.newest_before(day(5)) is None
        folder.add("a.parquet", 1, at=day(2))
        folder.add("b.parquet", 2, at=day(3))
        assert table.newest_before(day(3)).committed_at == day(2)  # type: ignore[union-attr]
        assert table.newest_before(day(3) + timedelta(microseconds=1)).committed_at == day(3)  # type: ignore[union-attr]
        assert table.newest_before(day(2)) is None
        lower = version_at(day(3))
        assert table.newest_before(day(2), at_least=lower).number == lower  # type: ignore[union-attr]

    def test_a_file_is_taken_when_it_has_settled(self, folder: FolderBuilder) -> None:
        folder.add("old.parquet", 1, at=NOW - timedelta(minutes=10))
        folder.add("new.parquet", 1, at=NOW - timedelta(minutes=10) + timedelta(microseconds=1))
        later = NOW + HOUR
        assert folder.table().newest_before(later).committed_at == NOW - timedelta(minutes=10)  # type: ignore[union-attr]
        assert folder.table(settle_minutes=11).newest_before(later) is None
        assert folder.table(settle_minutes=0).newest_before(later).committed_at > NOW - timedelta(minutes=10)  # type: ignore[union-attr]
        with pytest.raises(NotFound, match="11 minutes"):
            folder.table(settle_minutes=11).versions()

    def test_a_slice_backwards_is_refused(self, folder: FolderBuilder) -> None:
        with pytest.raises(ValueError, match="older"):
            folder.table().slice(2, 1)

    def test_a_time_before_1970_counts_as_1970(self, folder: FolderBuilder) -> None:
        folder.add("a.parquet", 1, at=datetime(1969, 1, 1, tzinfo=UTC))
        assert folder.table().versions()[0].number == 0


class TestFiles:
    def test_hidden_files_are_no_data(self, folder: FolderBuilder) -> None:
        folder.add("a.parquet", 1, at=day(1))
        for name in ("_SUCCESS", ".a.parquet.crc", "_temporary/0/b.parquet", ".spark/c.parquet", "day=1/_x.parquet"):
            file = folder.path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"no parquet")
        assert paths(folder, None, NOW) == ["a.parquet"]

    def test_any_other_file_has_to_be_parquet(self, folder: FolderBuilder) -> None:
        """Hive gives its files no ending, so the ending says nothing."""
        folder.add("000000_0", 1, at=day(1))
        assert paths(folder, None, NOW) == ["000000_0"]
        for content in (b"id\n1\n", b"PAR1", (folder.path / "000000_0").read_bytes()[:-3]):
            touch(folder.path / "000000_0", day(2))
            (folder.path / "b.csv").write_bytes(content)
            touch(folder.path / "b.csv", day(3))
            with pytest.raises(
                CorruptFile, match=r"the file b\.csv of the folder .* not parquet: write it again, or move it"
            ):
                folder.table().slice(None, version_at(NOW))
            assert paths(folder, None, day(2)) == ["000000_0"]

    def test_a_file_without_bytes(self, folder: FolderBuilder) -> None:
        folder.add("a.parquet", 1, at=day(1))
        (folder.path / "day=1").mkdir()
        (folder.path / "day=1" / "nothing").touch()  # as stores keep empty folders, and Hive empty buckets
        assert paths(folder, None, NOW) == ["a.parquet"]
        (folder.path / "day=1" / "b.parquet").touch()
        with pytest.raises(CorruptFile, match=r"day=1/b\.parquet .* is empty: write it again, or remove it"):
            folder.table().versions()

    @pytest.mark.parametrize(
        ("name", "format_"),
        [("_delta_log/0.json", "delta"), ("metadata/v1.metadata.json", "iceberg"), (".hoodie/x", "hudi")],
    )
    def test_the_files_of_another_format_are_not_its_rows(self, folder: FolderBuilder, name: str, format_: str) -> None:
        folder.add("a.parquet", 1, at=day(1))
        (folder.path / name).parent.mkdir()
        (folder.path / name).write_text("{}")
        with pytest.raises(UnsupportedTable, match=f"no plain folder but a table of the format {format_}"):
            folder.table().versions()

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        for ask in (lambda t: t.versions(), lambda t: t.slice(None, 0), lambda t: t.newest_before(NOW)):
            with pytest.raises(NotFound, match="the folder does not exist; correct its location"):
                ask(open_table(TableLocation("parquet", str(tmp_path / "none"))))


class TestSchema:
    def test_folders_come_back_as_columns_of_text(self, folder: FolderBuilder) -> None:
        folder.add("plain.parquet", 1, at=day(1))
        folder.add("year=2026/country=a%2Fb%20c/a.parquet", 2, at=day(2))
        folder.add("year=2026/country=__HIVE_DEFAULT_PARTITION__/b.parquet", 3, at=day(3))
        folder.add("=x/y=/c.parquet", 4, at=day(4))
        table = folder.table()
        upper = version_at(day(4))
        schema = table.schema(upper)
        assert schema == pa.schema({"id": pa.int64(), "year": pa.string(), "country": pa.string(), "y": pa.string()})
        found = table.slice(None, upper)
        assert [dict(file.partition) for file in found.added] == [
            {},
            {"year": "2026", "country": "a/b c"},
            {"year": "2026", "country": None},
            {"y": None},
        ]
        assert read(table, found.added, schema).total() == 4

    def test_a_column_that_files_have_keeps_their_type(self, folder: FolderBuilder) -> None:
        folder.write("day=7/a.parquet", pa.table({"id": [1], "day": pa.array([7], pa.int32())}), at=day(1))
        assert folder.table().schema(version_at(day(1))).field("day").type == pa.int32()

    def test_columns_of_all_files_up_to_the_version(self, folder: FolderBuilder) -> None:
        folder.write("a.parquet", pa.table({"id": pa.array([1], pa.int32()), "gone": ["x"]}), at=day(1))
        folder.write("b.parquet", pa.table({"new": [1.5], "id": pa.array([2], pa.int64())}), at=day(2))
        folder.write("c.parquet", pa.table({"later": [True]}), at=day(3))
        schema = folder.table().schema(version_at(day(2)))
        assert schema.names == ["id", "gone", "new"]
        assert schema.field("id").type == pa.int64()

    def test_types_that_do_not_go_together_are_named_with_their_files(self, folder: FolderBuilder) -> None:
        folder.write("a.parquet", pa.table({"id": [1]}), at=day(1))
        folder.write("b.parquet", pa.table({"id": ["one"]}), at=day(2))
        with pytest.raises(UnsupportedTable, match=r"the column id .* is int64 in a\.parquet and string in b\.parquet"):
            folder.table().schema(version_at(day(2)))
        assert folder.table().schema(version_at(day(1))).field("id").type == pa.int64()

    def test_old_timestamps_are_in_microseconds(self, folder: FolderBuilder) -> None:
        data = pa.table({"at": pa.array([day(1)], pa.timestamp("us"))})
        folder.write("a.parquet", data, at=day(1), use_deprecated_int96_timestamps=True)
        assert folder.table().schema(version_at(day(1))).field("at").type == pa.timestamp("us")


class TestChanges:
    """Nothing is skipped silently, and nothing delivered twice."""

    @pytest.fixture
    def exported(self, folder: FolderBuilder) -> str:
        for number in range(1, 5):
            folder.add(f"{number}.parquet", number, at=day(number))
        folder.table().slice(None, version_at(day(4)))
        return folder.table().fingerprint(version_at(day(3)))

    def told(self, folder: FolderBuilder, exported: str) -> str:
        with pytest.raises(VersionGone) as caught:
            folder.table().require(version_at(day(3)), exported)
        message = str(caught.value)
        assert message.startswith(
            f"the folder {folder.uri} is not what it was when it was exported up to 2026-11-03T12:00:00Z: "
        )
        assert message.endswith("; or launch the export in full mode")
        return message

    def test_what_is_as_it_was(self, folder: FolderBuilder, exported: str) -> None:
        folder.add("new.parquet", 9, at=day(3) + timedelta(microseconds=1))
        (folder.path / "_notes").write_text("x")
        folder.table().require(version_at(day(3)), exported)

    @pytest.mark.parametrize("at", [day(1) - HOUR, day(2), day(3)])
    def test_a_late_file_is_named_and_touching_it_is_the_way_out(
        self, folder: FolderBuilder, exported: str, at: datetime
    ) -> None:
        late = folder.add("late.parquet", 9, at=at)
        assert "late.parquet came afterwards with an older time of modification" in self.told(folder, exported)
        assert "touch it" in self.told(folder, exported)
        touch(late, day(5))
        folder.table().require(version_at(day(3)), exported)
        assert paths(folder, day(3), day(6)) == ["4.parquet", "late.parquet"]

    def test_a_changed_file_is_named(self, folder: FolderBuilder, exported: str) -> None:
        folder.add("2.parquet", 2, 22, 222, at=day(5))
        assert ": 2.parquet was changed: put back what it was" in self.told(folder, exported)
        folder.add("2.parquet", 2, at=day(2))
        folder.table().require(version_at(day(3)), exported)

    def test_an_exported_file_that_is_touched_would_come_twice(self, folder: FolderBuilder, exported: str) -> None:
        touch(folder.path / "1.parquet", day(6))
        assert ": 1.parquet was changed:" in self.told(folder, exported)

    def test_a_removed_file_is_named(self, folder: FolderBuilder, exported: str) -> None:
        (folder.path / "1.parquet").unlink()
        assert ": 1.parquet was removed: put it back" in self.told(folder, exported)

    def test_without_the_cache_a_removed_file_is_known_by_size_and_time(
        self, folder: FolderBuilder, exported: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        size = (folder.path / "1.parquet").stat().st_size
        (folder.path / "1.parquet").unlink()
        monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "other"))
        assert f": a file of {size} bytes of 2026-11-01T12:00:00Z was removed" in self.told(folder, exported)

    def test_several_at_once(self, folder: FolderBuilder, exported: str) -> None:
        for number in range(5):
            folder.add(f"late-{number}.parquet", 9, at=day(1))
        touch(folder.path / "2.parquet", day(2) + HOUR)
        (folder.path / "3.parquet").unlink()
        message = self.told(folder, exported)
        assert "late-0.parquet, late-1.parquet, late-2.parquet and 2 more came afterwards" in message
        assert "2.parquet was changed" in message
        assert "3.parquet was removed" in message

    def test_more_than_can_be_told(self, folder: FolderBuilder, exported: str) -> None:
        for number in range(200):
            touch_source = folder.path / f"late-{number}.parquet"
            touch_source.write_bytes((folder.path / "1.parquet").read_bytes())
            touch(touch_source, day(2))
        assert "more files than can be told" in self.told(folder, exported)

    def test_a_version_of_another_format_is_none(self, folder: FolderBuilder, exported: str) -> None:
        with pytest.raises(VersionGone, match="was no folder of parquet files when version 7 was exported"):
            folder.table().require(7, None)

    def test_a_file_that_changes_while_it_is_exported(self, folder: FolderBuilder, exported: str) -> None:
        (file,) = folder.table().slice(version_at(day(2)), version_at(day(3))).added
        assert folder.table().open(file).read(4) == b"PAR1"
        folder.add("3.parquet", 4, at=day(3) + timedelta(seconds=2))
        with pytest.raises(CorruptFile, match=r"3\.parquet .* was changed while"):
            folder.table().open(file)
        (folder.path / "3.parquet").unlink()
        with pytest.raises(CorruptFile, match=r"3\.parquet .* was removed while"):
            folder.table().open(file)


class TestFooters:
    @pytest.fixture
    def reads(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        seen: list[str] = []
        whole = footers.RangedFile

        def counted(objects: ObjectFolder, path: str, size: int) -> footers.RangedFile:
            seen.append(path)
            return whole(objects, path, size)

        monkeypatch.setattr(footers, "RangedFile", counted)
        return seen

    def test_only_those_of_new_files_are_read(self, folder: FolderBuilder, reads: list[str]) -> None:
        folder.add("a.parquet", 1, at=day(1))
        folder.add("b.parquet", 2, at=day(2))
        assert folder.table().row_count(version_at(day(2))) == 2
        assert sorted(reads) == ["a.parquet", "b.parquet"]
        folder.add("c.parquet", 3, at=day(3))
        folder.add("b.parquet", 4, 5, at=day(3))
        assert folder.table().row_count(version_at(day(3))) == 4
        assert sorted(reads[2:]) == ["b.parquet", "c.parquet"]
        assert folder.table().schema(version_at(day(3))) == pa.schema({"id": pa.int64()})
        assert len(reads) == 4

    def test_a_cache_that_cannot_be_used_costs_time_only(
        self,
        folder: FolderBuilder,
        reads: list[str],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        folder.add("a.parquet", 1, at=day(1))
        place = tmp_path / "cache" / "dataset_export"
        monkeypatch.setenv(CACHE_VARIABLE, str(place.parent))
        place.mkdir(parents=True)
        (place / "footers.sqlite3").write_bytes(b"no database" * 100)
        with caplog.at_level(logging.WARNING):
            for _ in range(2):
                assert folder.table().row_count(version_at(day(1))) == 1
        assert len(reads) == 2
        assert "footers are read each time" in caplog.text
        (place / "footers.sqlite3").unlink()
        place.rmdir()
        place.write_text("a file where the folder should be")
        assert folder.table().row_count(version_at(day(1))) == 1
