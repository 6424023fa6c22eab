"""`plan` says what the run then does, and writes nothing."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import WriterProperties

from dataset_export.encoding.contract import Compression, Encoding, Format
from dataset_export.export.columns import Columns
from dataset_export.export.dataflow import Behavior
from dataset_export.export.file_shape import FileShape
from dataset_export_tests.cli.world import START, World, at


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_plan_is_what_the_run_delivers_and_writes_nothing(world: World) -> None:
    assert world.call("run", "flow", "--export-time", at(0)).exit_code == 0
    before = contents(world.delivered), contents(world.folder / "lake")
    planned = world.json("plan", "flow", "--export-time", at(1))
    assert (contents(world.delivered), contents(world.folder / "lake")) == before
    assert world.materialized("a", "b") == {at(0)}
    a, b = planned["datasets"]
    assert (a["state"], a["versions"], a["rows"], a["files"], a["shards"]) == (
        "to deliver",
        {"from": 0, "to": 1},
        5,
        1,
        1,
    )
    assert (b["state"], b["rows"], b["files"]) == ("nothing new", 0, 0)
    done = world.json("run", "flow", "--export-time", at(1))["runs"][0]
    assert [part["records"] for part in done["datasets"]] == [a["rows"], b["rows"]]
    way = world.json("manifest", "flow", "--export-time", at(1), "--dataset", "a")["exportResults"][0]["encodedBy"]
    assert a["file_list"][0]["way"] == way
    assert world.json("plan", "flow", "--export-time", at(1))["datasets"][0]["state"] == "delivered"


def test_plan_knows_the_way_of_each_encoding(world: World) -> None:
    for encoding, way in (
        (Encoding(Format.JSON, Compression.GZIP), "ndjson"),
        (Encoding(Format.PARQUET, Compression.SOURCE), "pass-through"),
        (Encoding(Format.PARQUET, Compression.GZIP), "page transcode"),
    ):
        session = world.session(world.dataflow(encoding=encoding))
        planned = world.json("plan", "flow", "--export-time", at(0), "--dataset", "b", session=session)
        assert [file["way"] for file in planned["datasets"][0]["file_list"]] == [way]


YOUNG, OLD = START - timedelta(days=1), START - timedelta(days=400)


@pytest.mark.parametrize(
    ("moments", "leave_out", "way"),
    [
        ([YOUNG] * 10, (), "pass-through"),
        ([YOUNG] * 10, ("id",), "column copy"),
        ([OLD] * 5 + [YOUNG] * 5, (), "row group copy"),
        ([OLD, YOUNG] * 5, (), "rewrite"),
        ([OLD] * 10, (), "dropped"),
    ],
)
def test_s10_plan_knows_the_way_of_events(
    world: World, moments: list[datetime], leave_out: tuple[str, ...], way: str
) -> None:
    """Of a file with five rows in each row group."""
    data = pa.table({"id": range(len(moments)), "at": pa.array(moments, pa.timestamp("us", "UTC"))})
    world.write("c", data, day=-0.5, writer_properties=WriterProperties(max_row_group_size=5))
    events = replace(world.dataset("c"), behavior=Behavior.TIME_SERIES, timestamp_column="at")
    flow = world.dataflow(
        datasets=(events,),
        encoding=Encoding(Format.PARQUET, Compression.SOURCE),
        columns={"c": Columns(exclude=leave_out)} if leave_out else {},
    )
    session = world.session(flow)
    planned = world.json("plan", "flow", "--export-time", at(0), session=session)["datasets"][0]
    assert [file["way"] for file in planned["file_list"]] == [way]
    assert f"{way} 1" in world.call("plan", "flow", "--export-time", at(0), session=session).stdout
    assert world.call("run", "flow", "--export-time", at(0), session=session).exit_code == 0
    delivered = world.json("manifest", "flow", "--export-time", at(0), "--dataset", "c", session=session)
    assert [file["encodedBy"] for file in delivered["exportResults"]] == ([] if way == "dropped" else [way])


def test_s10_plan_warns_of_too_many_records(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataset_export.governance.limits.MAX_RECORDS", 9)
    planned = world.json("plan", "flow", "--export-time", at(0), "--dataset", "b")
    warning = "10 records in one export, more than 9; it goes on, and may take long"
    assert planned["datasets"][0]["warnings"] == [warning]
    assert world.call("plan", "flow", "--export-time", at(0), "--dataset", "b").stderr == f"warning: b: {warning}\n"
    monkeypatch.setattr("dataset_export.governance.limits.MAX_RECORDS", 10)
    assert world.json("plan", "flow", "--export-time", at(0), "--dataset", "b")["datasets"][0]["warnings"] == []


def test_plan_says_which_columns_are_left_out(world: World) -> None:
    session = world.session(world.dataflow(columns={"a": Columns(exclude=("name",))}))
    result = world.call("plan", "flow", "--export-time", at(0), session=session)
    assert result.exit_code == 0, result.output
    assert "note: columns of a: left out: name\n" in result.stderr
    a, b = world.json("plan", "flow", "--export-time", at(0), session=session)["datasets"]
    assert (a["columns"], b["columns"]) == ({"leftOut": ["name"], "hashed": [], "masked": []}, None)
    assert [file["way"] for file in a["file_list"]] == ["page transcode"]


def test_plan_refuses_columns_that_the_table_does_not_have(world: World) -> None:
    session = world.session(world.dataflow(columns={"b": Columns(exclude=("nmae",))}))
    result = world.call("plan", "flow", "--export-time", at(0), session=session)
    assert result.exit_code == 1
    assert f"flow/b at {at(0)}: columns: exclude names nmae, and the table has no such column; it has" in result.stderr


def test_plan_estimates_by_what_earlier_exports_took(world: World) -> None:
    first = world.json("plan", "flow", "--export-time", at(0), "--dataset", "a")["datasets"][0]
    assert first["estimate"]["exports"] == 0
    assert first["estimate"]["bytes"] > 0
    assert world.call("run", "flow", "--export-time", at(0)).exit_code == 0
    delivered = world.json("manifest", "flow", "--export-time", at(0), "--dataset", "a")
    again = world.json("plan", "flow", "--export-time", at(0), "--dataset", "a")["datasets"][0]
    assert again["estimate"]["exports"] == 1
    assert again["estimate"]["bytes"] == delivered["size"]
    assert again["estimate"]["seconds"] > 0
    table = world.call("plan", "flow", "--export-time", at(0), "--dataset", "a")
    assert "takes about" in table.stdout
    other = world.session(world.dataflow(encoding=Encoding(Format.JSON, Compression.GZIP)))
    planned = world.json("plan", "flow", "--export-time", at(1), "--dataset", "a", session=other)["datasets"][0]
    assert planned["estimate"]["exports"] == 0, "another form takes another time"


def test_plan_knows_the_way_of_files_that_are_cut_or_merged(world: World) -> None:
    for shape, way in (
        (FileShape(max_rows_per_file=1), "rewrite"),
        (FileShape(max_rows_per_file=10**6), "pass-through"),
    ):
        flow = replace(world.dataflow(encoding=Encoding(Format.PARQUET, Compression.SOURCE)), shape=shape)
        session = world.session(flow)
        planned = world.json("plan", "flow", "--export-time", at(0), "--dataset", "b", session=session)
        assert [file["way"] for file in planned["datasets"][0]["file_list"]] == [way]
