"""Delta tables: versions by time, and slices that describe exactly the net-new rows."""

import json
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from obstore.exceptions import GenericError

from dataset_export.errors import (
    ConfigError,
    CorruptFile,
    NotFound,
    TransientError,
    UnsupportedTable,
    VersionGone,
)
from dataset_export.lake.objects import translated
from dataset_export.lake.open import TableLocation, open_table
from dataset_export_tests.lake.delta_tables import DeltaBuilder, day, net_new, read


@pytest.fixture
def delta(tmp_path: Path) -> DeltaBuilder:
    return DeltaBuilder(str(tmp_path / "a table"))


def check(delta: DeltaBuilder, lower: int | None, upper: int) -> Any:
    """The slice describes T(upper) less T(lower), as deltalake itself reads the two."""
    table = delta.table()
    found = table.slice(lower, upper)
    assert (found.lower, found.upper) == (lower, upper)
    assert net_new(table, found) == delta.state(upper) - delta.state(lower)
    return found


class TestSlices:
    def test_the_first_slice_is_the_whole_table(self, delta: DeltaBuilder) -> None:
        delta.append(1, 2, 3)
        delta.append(4, 5)
        found = check(delta, None, 1)
        assert sorted(file.rows for file in found.added) == [2, 3]
        assert all(file.bytes == (Path(delta.uri) / file.path).stat().st_size for file in found.added)

    def test_appends_come_without_a_comparison(self, delta: DeltaBuilder) -> None:
        for start in range(0, 30, 3):
            delta.append(*range(start, start + 3))
        found = check(delta, 3, 7)
        assert len(found.added) == 4
        assert not found.removed

    def test_a_slice_within_one_version_is_empty(self, delta: DeltaBuilder) -> None:
        delta.append(1)
        assert not delta.table().slice(0, 0).added
        with pytest.raises(ValueError, match="older"):
            delta.table().slice(1, 0)

    def test_compaction_adds_nothing(self, delta: DeltaBuilder) -> None:
        delta.append(1)
        delta.append(2)
        delta.compact()
        found = check(delta, 1, 2)
        assert not found.added
        assert not found.removed

    def test_rows_compacted_with_old_ones_come_from_the_appended_file(self, delta: DeltaBuilder) -> None:
        delta.append(1)
        delta.append(2)
        delta.compact()
        found = check(delta, 0, 2)
        assert [file.rows for file in found.added] == [1]
        assert not found.removed

    def test_rows_appended_and_compacted_among_themselves_survive_a_vacuum(self, delta: DeltaBuilder) -> None:
        delta.write(pa.table({"p": ["old"], "id": [0]}), partition_by=["p"])
        for number in range(3):
            delta.write(pa.table({"p": ["new"], "id": [number]}))
        delta.compact()
        delta.vacuum()
        found = check(delta, 0, 4)
        assert [file.rows for file in found.added] == [3]

    def test_a_compacted_file_rewritten_by_a_delete(self, delta: DeltaBuilder) -> None:
        delta.append(1, 2)
        delta.append(3, 4)
        delta.compact()
        delta.delete("id = 1 or id = 3")
        check(delta, 0, 3)
        check(delta, 1, 3)
        check(delta, 2, 3)

    def test_a_deleted_row_that_was_appended_in_the_range(self, delta: DeltaBuilder) -> None:
        delta.append(1)
        delta.append(2, 3)
        delta.delete("id = 2")
        found = check(delta, 0, 2)
        assert len(found.added) == 1
        assert not found.removed

    def test_a_delete_alone_delivers_nothing(self, delta: DeltaBuilder) -> None:
        delta.append(1, 1, 2)
        delta.delete("id = 1")
        check(delta, 0, 1)
        delta.delete("true")
        found = check(delta, 0, 2)
        assert not found.added
        assert not found.removed

    def test_an_update_delivers_the_new_values(self, delta: DeltaBuilder) -> None:
        delta.append(1, 2, 3)
        delta.update("id = 2", name="'other'")
        found = check(delta, 0, 1)
        assert sum(net_new(delta.table(), found).values()) == 1

    def test_an_overwrite_delivers_what_was_not_there(self, delta: DeltaBuilder) -> None:
        delta.append(1, 1, 2)
        delta.overwrite(1, 1, 1, 2, 3)
        found = check(delta, 0, 1)
        assert sum(net_new(delta.table(), found).values()) == 2

    def test_a_merge(self, delta: DeltaBuilder) -> None:
        delta.append(1, 2, 3)
        source = pa.table({"id": [3, 4], "name": ["changed", "fresh"]})

        def merge(table: DeltaTable) -> None:
            merger = table.merge(source, "t.id = s.id", source_alias="s", target_alias="t")
            merger.when_matched_update_all().when_not_matched_insert_all().execute()

        delta.change(merge)
        check(delta, 0, 1)

    def test_a_restore(self, delta: DeltaBuilder) -> None:
        delta.append(1)
        delta.append(2)
        delta.overwrite(9)
        delta.change(lambda table: table.restore(1))
        check(delta, 2, 3)
        check(delta, 1, 3)
        check(delta, 0, 3)

    def test_a_restore_to_before_a_compaction_compares_the_states(self, delta: DeltaBuilder) -> None:
        delta.append(1)
        delta.append(2)
        delta.compact()
        delta.change(lambda table: table.restore(1))
        check(delta, 0, 3)
        check(delta, 2, 3)

    def test_removes_without_size_and_partition(self, delta: DeltaBuilder) -> None:
        delta.write(pa.table({"p": ["a", "b"], "id": [1, 2]}), partition_by=["p"])
        delta.write(pa.table({"p": ["a"], "id": [1]}), mode="overwrite")

        def older_writer(entry: dict[str, Any]) -> None:
            if "remove" in entry:
                for name in ("size", "partitionValues", "extendedFileMetadata"):
                    entry["remove"].pop(name)

        delta.edit_log(1, older_writer)
        found = check(delta, 0, 1)
        assert {file.partition["p"] for file in found.removed} == {"a"}

    def test_statistics_written_again_add_nothing(self, delta: DeltaBuilder) -> None:
        delta.append(1, 2)
        add = next(json.loads(x) for x in (delta.log / f"{0:020}.json").read_text().splitlines() if '"add"' in x)
        delta.append(3)
        add["add"]["dataChange"] = False
        with (delta.log / f"{1:020}.json").open("a") as log:
            log.write("\n" + json.dumps(add) + "\n")
        assert len(check(delta, 0, 1).added) == 1

    def test_an_empty_table(self, delta: DeltaBuilder) -> None:
        DeltaTable.create(delta.uri, schema=pa.schema([("id", pa.int64())]))
        table = delta.table()
        assert table.slice(None, 0).added == ()
        assert table.row_count(0) == 0


class TestSchema:
    def test_a_column_added_between_versions(self, delta: DeltaBuilder) -> None:
        delta.append(1)
        delta.write(pa.table({"id": [2], "name": ["b"], "extra": [0.5]}), schema_mode="merge")
        table = delta.table()
        assert table.schema(0).names == ["id", "name"]
        assert table.schema(1).names == ["id", "name", "extra"]
        check(delta, 0, 1)
        check(delta, None, 1)

    def test_nested_types(self, delta: DeltaBuilder) -> None:
        schema = pa.schema(
            [
                ("tags", pa.map_(pa.string(), pa.string())),
                ("items", pa.list_(pa.struct([("price", pa.decimal128(9, 2))]))),
                ("at", pa.timestamp("us", "UTC")),
            ]
        )
        delta.write(pa.table({"tags": [[("a", "b")]], "items": [[{"price": "1.25"}]], "at": [day(1)]}, schema=pa.schema([
            ("tags", schema.field("tags").type), ("items", pa.list_(pa.struct([("price", pa.string())]))), ("at", schema.field("at").type)
        ])).cast(schema))  # fmt: skip
        found = delta.table().schema(0)
        assert found.field("at").type == schema.field("at").type
        assert found.field("items").type.value_type.field("price").type == pa.decimal128(9, 2)
        assert pa.types.is_map(found.field("tags").type)


class TestPartitions:
    def test_values_are_the_logs_text_in_both_kinds_of_slice(self, delta: DeltaBuilder) -> None:
        data = pa.table(
            {
                "x": [1, 2],
                "i": pa.array([-1, None], pa.int32()),
                "d": pa.array([date(2024, 1, 1)] * 2),
                "ts": pa.array([datetime(2024, 1, 1, 1, 2, 3, 456, tzinfo=UTC)] * 2, pa.timestamp("us", "UTC")),
                "b": [True, False],
                "dec": pa.array([Decimal("1.50"), Decimal("-2.00")], pa.decimal128(9, 2)),
                "s": ["", "a=b/c %d ü"],
            }
        )
        columns = ["i", "d", "ts", "b", "dec", "s"]
        delta.write(data.slice(0, 0), partition_by=columns)
        delta.write(data)
        table = delta.table()
        whole, since = table.slice(None, 1), table.slice(0, 1)
        assert {file.path: file for file in whole.added} == {file.path: file for file in since.added}
        by_rows = {file.partition["b"]: file.partition for file in whole.added}
        assert by_rows["true"]["s"] is None
        assert by_rows["false"] == {
            "i": None,
            "d": "2024-01-01",
            "ts": "2024-01-01 01:02:03.000456",
            "b": "false",
            "dec": "-2.00",
            "s": "a=b/c %d ü",
        }
        assert sum(read(table, whole.added, pa.schema([("x", pa.int64())])).values()) == 2

    def test_rows_of_encoded_folders(self, delta: DeltaBuilder) -> None:
        delta.write(pa.table({"p": ["a b", "x/y", "ü%", None], "id": [1, 2, 3, 4]}), partition_by=["p"])
        delta.write(pa.table({"p": ["a b", None], "id": [5, 6]}))
        check(delta, None, 1)
        check(delta, 0, 1)

    def test_a_removed_partition_needs_no_comparison_with_another(self, delta: DeltaBuilder) -> None:
        delta.write(pa.table({"p": [1, 2], "id": [1, 2]}), partition_by=["p"])
        delta.delete("p = 1")
        delta.write(pa.table({"p": [3], "id": [3]}))
        assert not check(delta, 0, 2).removed
        delta.write(pa.table({"p": [1], "id": [1]}))
        assert len(check(delta, 0, 3).removed) == 1


class TestTimestampBounds:
    def test_files_carry_the_least_timestamp(self, delta: DeltaBuilder) -> None:
        nested = pa.array([{"at": day(3)}, {"at": day(2)}], pa.struct([("at", pa.timestamp("us", "UTC"))]))
        delta.write(pa.table({"at": pa.array([day(5), day(4)], pa.timestamp("us", "UTC")), "n": nested}))
        delta.write(pa.table({"at": pa.array([day(7)], pa.timestamp("us", "UTC")), "n": nested.slice(0, 1)}))
        flat, deep, none = delta.table("at"), delta.table("n.at"), delta.table()
        assert sorted(file.min_timestamp or "" for file in flat.slice(None, 1).added) == [
            "2026-11-04T12:00:00.000000+00:00",
            "2026-11-07T12:00:00.000000+00:00",
        ]
        assert [file.min_timestamp for file in flat.slice(0, 1).added] == ["2026-11-07T12:00:00.000000+00:00"]
        assert [file.min_timestamp for file in deep.slice(0, 1).added] == ["2026-11-03T12:00:00.000000+00:00"]
        assert [file.min_timestamp for file in deep.slice(None, 0).added] == ["2026-11-02T12:00:00.000000+00:00"]
        assert none.slice(0, 1).added[0].min_timestamp is None

    def test_files_carry_the_greatest_timestamp_unless_one_is_null(self, delta: DeltaBuilder) -> None:
        """A millisecond more: writers may have cut off what comes after it."""
        times = pa.timestamp("us", "UTC")
        nested = pa.array([{"at": day(3)}, None], pa.struct([("at", times)]))
        delta.write(
            pa.table({"at": pa.array([day(5), day(4)], times), "n": nested, "a.at": pa.array([day(8)] * 2, times)})
        )
        delta.write(
            pa.table(
                {
                    "at": pa.array([day(7), None], times),
                    "n": nested.take([0, 0]),
                    "a.at": pa.array([None, day(8)], times),
                }
            )
        )
        for lower, number in ((None, 0), (0, 1)):
            bounds = {
                column: [file.max_timestamp for file in delta.table(column).slice(lower, number).added]
                for column in ("at", "n.at", "a.at")
            }
            assert bounds == {
                "at": ["2026-11-05T12:00:00.001000+00:00" if number == 0 else None],
                "n.at": ["2026-11-03T12:00:00.001000+00:00" if number == 1 else None],
                "a.at": ["2026-11-08T12:00:00.001000+00:00" if number == 0 else None],
            }
        whole = delta.table("at").slice(None, 1).added
        assert sorted(file.max_timestamp or "" for file in whole) == ["", "2026-11-05T12:00:00.001000+00:00"]

    @pytest.mark.parametrize("stats", [{"numRecords": 1}, {"maxValues": {"at": "soon"}, "nullCount": {"at": 0}}, None])
    def test_statistics_that_do_not_tell(self, delta: DeltaBuilder, stats: dict[str, Any] | None) -> None:
        delta.write(pa.table({"at": pa.array([day(5)], pa.timestamp("us", "UTC"))}))
        delta.write(pa.table({"at": pa.array([day(5)], pa.timestamp("us", "UTC"))}))

        def edit(entry: dict[str, Any]) -> None:
            if "add" in entry:
                entry["add"]["stats"] = json.dumps(stats) if stats is not None else None

        delta.edit_log(1, edit)
        (file,) = delta.table("at").slice(0, 1).added
        assert (file.min_timestamp, file.max_timestamp) == (None, None)


class TestVersions:
    def test_newest_first_with_the_logs_times(self, delta: DeltaBuilder) -> None:
        for number in range(5):
            delta.append(number)
            delta.commit_time(number, day(number + 1))
        versions = delta.table().versions()
        assert [version.number for version in versions] == [4, 3, 2, 1, 0]
        assert [version.committed_at for version in versions] == [day(n) for n in (5, 4, 3, 2, 1)]
        assert [version.number for version in delta.table().versions(limit=2)] == [4, 3]

    def test_newest_before_is_strict(self, delta: DeltaBuilder) -> None:
        for number in range(3):
            delta.append(number)
            delta.commit_time(number, day(number + 1))
        table = delta.table()
        assert table.newest_before(day(3)).number == 1  # type: ignore[union-attr]
        assert table.newest_before(day(3) + timedelta(milliseconds=1)).number == 2  # type: ignore[union-attr]
        assert table.newest_before(day(1)) is None

    def test_the_highest_number_wins_when_times_are_out_of_order(self, delta: DeltaBuilder) -> None:
        for number, when in enumerate([day(1), day(9), day(2), day(8)]):
            delta.append(number)
            delta.commit_time(number, when)
        assert delta.table().newest_before(day(5)).number == 2  # type: ignore[union-attr]

    def test_a_commit_that_shows_late_is_seen_by_the_same_table(self, delta: DeltaBuilder) -> None:
        delta.append(0)
        delta.commit_time(0, day(1))
        table = delta.table()
        assert table.newest_before(day(5)).number == 0  # type: ignore[union-attr]
        delta.append(1)
        delta.commit_time(1, day(2))
        assert table.newest_before(day(5)).number == 1  # type: ignore[union-attr]
        assert len(table.slice(0, 1).added) == 1

    def test_never_below_the_last_exported_version(self, delta: DeltaBuilder) -> None:
        for number in range(3):
            delta.append(number)
            delta.commit_time(number, day(number + 1))
        table = delta.table()
        assert table.newest_before(day(1), at_least=1).number == 1  # type: ignore[union-attr]
        with pytest.raises(VersionGone, match=r"has no version 7, its newest is 2"):
            table.newest_before(day(9), at_least=7)

    def test_in_commit_timestamps_win(self, delta: DeltaBuilder) -> None:
        delta.append(1)
        delta.edit_log(0, lambda e: e.get("commitInfo", {}).update(inCommitTimestamp=int(day(4).timestamp() * 1000)))
        assert delta.table().versions()[0].committed_at == day(4)

    def test_commit_info_behind_many_files(self, delta: DeltaBuilder) -> None:
        delta.write(pa.table({"p": [str(n) for n in range(60)], "id": range(60)}), partition_by=["p"])
        delta.commit_time(0, day(2))
        file = delta.log / f"{0:020}.json"
        lines = file.read_text().splitlines(keepends=True)
        file.write_text("".join(lines[1:] + lines[:1]))
        assert delta.table().versions()[0].committed_at == day(2)

    def test_only_the_newest_commits_are_read(self, delta: DeltaBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
        for number in range(20):
            delta.append(number)
        table: Any = delta.table()
        reads: list[str] = []
        original = table._objects.read
        monkeypatch.setattr(table._objects, "read", lambda path, **k: (reads.append(path), original(path, **k))[1])
        table.newest_before(datetime.now(UTC) + timedelta(hours=1))
        assert reads == ["_delta_log/_last_checkpoint", f"_delta_log/{19:020}.json"]


class TestLostHistory:
    def test_a_checkpointed_and_cleaned_table(self, delta: DeltaBuilder) -> None:
        for number in range(6):
            delta.append(number)
        delta.raw().create_checkpoint()
        for number in range(5):
            (delta.log / f"{number:020}.json").unlink()
        delta.append(6)
        table = delta.table()
        assert [version.number for version in table.versions()] == [6, 5]
        assert table.row_count(6) == 7
        check(delta, None, 6)
        check(delta, 5, 6)
        with pytest.raises(
            VersionGone, match=r"no longer has version 4, so the rows added after version 3 .*full mode"
        ):
            table.slice(3, 6)
        with pytest.raises(VersionGone, match=r"version 3 of the table .* no longer in its log"):
            table.slice(None, 3)
        with pytest.raises(VersionGone, match="no longer in its log"):
            table.newest_before(day(1), at_least=3)

    def test_versions_before_the_checkpoint_that_are_still_there(self, delta: DeltaBuilder) -> None:
        for number in range(6):
            delta.append(number)
            delta.commit_time(number, day(number + 1))
            if number == 3:
                delta.raw().create_checkpoint()
        table = delta.table()
        assert [version.number for version in table.versions()] == [5, 4, 3, 2, 1, 0]
        assert table.newest_before(day(2)).number == 0  # type: ignore[union-attr]

    def test_vacuumed_files(self, delta: DeltaBuilder) -> None:
        delta.append(1)
        delta.append(2)
        delta.compact()
        delta.overwrite(2, 3)
        delta.vacuum()
        table = delta.table()
        for lower, upper in [(0, 2), (2, 3), (None, 1)]:
            found = table.slice(lower, upper)
            with pytest.raises(VersionGone, match=r"a vacuum removed the file .*full mode"):
                net_new(table, found)
        check(delta, None, delta.version)

    def test_a_version_the_table_never_had(self, delta: DeltaBuilder) -> None:
        delta.append(1)
        with pytest.raises(VersionGone, match=r"has no version 4, its newest is 0"):
            delta.table().slice(None, 4)


class TestFiles:
    def test_reads_by_ranges(self, delta: DeltaBuilder) -> None:
        delta.append(*range(200_000))
        table = delta.table()
        (file,) = table.slice(None, 0).added
        content = (Path(delta.uri) / file.path).read_bytes()
        reader = table.open(file)
        assert reader.read() == content
        assert reader.read(10) == b""
        reader.seek(-8, 2)
        assert reader.read(4) == content[-8:-4]
        assert reader.tell() == len(content) - 4
        for position, size in [(0, 4), (100, 300_000), (len(content) - 300_000, 50), (7, 9)]:
            reader.seek(position)
            assert reader.read(size) == content[position : position + size]
        reader.seek(1)
        reader.seek(2, 1)
        assert reader.read(2) == content[3:5]
        reader.close()
        with pytest.raises(ValueError, match="closed"):
            reader.read(1)

    def test_a_file_that_is_missing_or_truncated(self, delta: DeltaBuilder) -> None:
        delta.append(1)
        table = delta.table()
        (file,) = table.slice(None, 0).added
        path = Path(delta.uri) / file.path
        path.write_bytes(path.read_bytes()[:-3])
        with pytest.raises(CorruptFile, match=r"bytes, and .* by the table: restore it"):
            table.open(file)
        path.unlink()
        with pytest.raises(CorruptFile, match="missing although the table has it"):
            table.open(file)

    def test_a_shallow_clone_is_refused(self, delta: DeltaBuilder) -> None:
        delta.append(1)
        delta.append(2)
        outside = "s3://elsewhere/part-0.parquet"
        delta.edit_log(1, lambda entry: entry.get("add", {}).update(path=outside))
        for lower in (None, 0):
            with pytest.raises(UnsupportedTable, match="shallow clone"):
                delta.table().slice(lower, 1)


class TestDamagedLog:
    def test_a_commit_that_is_no_json(self, delta: DeltaBuilder) -> None:
        delta.append(1)
        delta.append(2)
        (delta.log / f"{1:020}.json").write_text('{"commitInfo":{"timestamp":17')
        with pytest.raises(CorruptFile, match=r"00001.json of the table .* is damaged"):
            delta.table().slice(0, 1)
        with pytest.raises(CorruptFile, match=r"00001.json of the table .* is damaged"):
            delta.table().versions()

    def test_the_pointer_to_the_last_checkpoint_is_only_a_hint(self, delta: DeltaBuilder) -> None:
        delta.append(1)
        (delta.log / "_last_checkpoint").write_text("{")
        assert len(delta.table().versions()) == 1


PROTOCOL = {"minReaderVersion": 3, "minWriterVersion": 7}


def features(*names: str) -> dict[str, Any]:
    return {**PROTOCOL, "readerFeatures": list(names), "writerFeatures": list(names)}


class TestRefusals:
    def edited(self, delta: DeltaBuilder, **changes: dict[str, Any]) -> DeltaBuilder:
        delta.append(1, 2)
        delta.append(3)

        def edit(entry: dict[str, Any]) -> None:
            for kind, values in changes.items():
                if kind in entry:
                    entry[kind].update(values)

        delta.edit_log(0, edit)
        return delta

    @pytest.mark.parametrize(
        ("name", "changes"),
        [
            ("variantType", {"protocol": features("variantType")}),
            ("madeUp", {"protocol": features("madeUp")}),
            ("reader version 9", {"protocol": {"minReaderVersion": 9, "minWriterVersion": 9}}),
        ],
    )
    def test_features_with_which_rows_would_be_wrong(
        self, delta: DeltaBuilder, name: str, changes: dict[str, Any]
    ) -> None:
        self.edited(delta, **changes)
        for ask in (lambda t: t.slice(None, 1), lambda t: t.slice(0, 1), lambda t: t.schema(1)):
            with pytest.raises(UnsupportedTable, match=name):
                ask(delta.table())

    def test_features_that_are_allowed_and_not_used(self, delta: DeltaBuilder) -> None:
        self.edited(delta, protocol=features("deletionVectors", "v2Checkpoint"))
        check(delta, None, 1)
        check(delta, 0, 1)


class TestUnreachable:
    def test_a_missing_folder(self, delta: DeltaBuilder) -> None:
        for ask in (lambda t: t.versions(), lambda t: t.slice(None, 0), lambda t: t.slice(0, 1), lambda t: t.schema(0)):
            with pytest.raises(NotFound, match="a table"):
                ask(delta.table())

    @pytest.mark.parametrize("folder", ["503", "flow-401", "connections", "Forbidden", "timeout"])
    def test_a_missing_folder_whatever_its_name_is(self, tmp_path: Path, folder: str) -> None:
        """Numbers and words of errors in a path are none: such a table was asked for again, as if its storage were away."""
        for uri in (str(tmp_path / folder / "a table"), (tmp_path / folder / "orders").as_uri()):
            for ask in (lambda t: t.slice(None, 0), lambda t: t.schema(0)):
                with pytest.raises(NotFound, match=r"there is no table at .*; correct its location"):
                    ask(DeltaBuilder(uri).table())

    def test_a_folder_that_is_no_table(self, tmp_path: Path) -> None:
        for ask in (lambda t: t.versions(), lambda t: t.slice(None, 0), lambda t: t.newest_before(day(1))):
            with pytest.raises(NotFound, match="no Delta table"):
                ask(DeltaBuilder(str(tmp_path)).table())

    def test_a_refused_connection_fails_soon_and_may_be_retried(self) -> None:
        options = {
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "hush-hush",
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }
        location = TableLocation("delta", "s3://bucket/table", options)
        began = time.monotonic()
        for ask in (lambda t: t.versions(), lambda t: t.schema(0)):
            with pytest.raises(TransientError, match="did not answer") as caught:
                ask(open_table(location))
            assert "\n" not in str(caught.value)
        assert time.monotonic() - began < 20
        assert "hush" not in repr(location)

    def test_a_duration_is_not_taken_for_a_status(self) -> None:
        with pytest.raises(TransientError), translated("s3://bucket/table"):
            raise GenericError(
                "Error performing GET http://127.0.0.1:9/x in 403.178123ms, after 3 retries - HTTP error"
            )

    @pytest.mark.parametrize("option", ["AWS_SESSION_TOKEN", "AWS_SECRET_ACCESS_KEY"])
    def test_credentials_of_two_lines_are_refused_without_them(self, option: str) -> None:
        table = open_table(TableLocation("delta", "s3://bucket/table", {option: "marked\nsecret"}))
        for ask in (table.versions, lambda: table.schema(0)):
            with pytest.raises(ConfigError, match=rf"{option} cannot be sent.*one line") as caught:
                ask()
            assert "marked" not in str(caught.value)

    def test_an_unknown_storage_option(self) -> None:
        with pytest.raises(ConfigError, match="colour"):
            open_table(TableLocation("delta", "s3://bucket/table", {"colour": "blue"})).versions()

    def test_an_unknown_format(self) -> None:
        with pytest.raises(ConfigError, match="hudi"):
            open_table(TableLocation("hudi", "/lake/t"))  # type: ignore[arg-type]


def test_a_file_uri(tmp_path: Path) -> None:
    folder = tmp_path / "with space"
    write_deltalake(str(folder), pa.table({"id": [1]}))
    table = open_table(TableLocation("delta", folder.as_uri()))
    assert table.row_count(0) == 1
    assert table.open(table.slice(None, 0).added[0]).read(4) == b"PAR1"
