"""Whatever happens to a table: a slice describes exactly the rows that are net new between its versions."""

import tempfile
from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataset_export_tests.lake.iceberg_tables import IcebergBuilder, net_new, rows
from dataset_export_tests.lake.test_iceberg_deletes import ids as id_table

# Few distinct ids, so that rows repeat and multisets differ from sets.
ids = st.lists(st.integers(0, 5), min_size=1, max_size=4)
kinds = [
    "append",
    "append",
    "compact",
    "compact some",
    "delete",
    "overwrite",
    "rollback",
    "positions",
    "update",
    "equal",
]
operations = st.lists(st.tuples(st.sampled_from(kinds), ids), min_size=1, max_size=6)


def perform(iceberg: IcebergBuilder, kind: str, values: list[int]) -> None:
    paths = sorted(iceberg.live)
    if kind == "append" or (kind.startswith("compact") and not paths):
        iceberg.append(*values)
    elif kind == "compact":
        iceberg.compact()
    elif kind == "compact some":
        iceberg.compact(paths[: values[0] + 1])
    elif kind == "equal":
        iceberg.delete_equal(id_table(*values), add=rows(values[0]) if len(values) > 2 else None)
    elif kind == "rollback":
        older = sorted(version.number for version in iceberg.table().versions() if version.number in iceberg.placed)
        iceberg.rollback(older[values[0] % len(older)])
    elif kind in {"positions", "update"}:
        chosen = [(path, values[0] % len(iceberg.live[path])) for path in paths if iceberg.live[path]]
        if chosen:
            path, row = chosen[values[-1] % len(chosen)]
            iceberg.delete_positions({path: [row]}, add=rows(*values) if kind == "update" else None)
    elif iceberg.reads_by_itself:
        getattr(iceberg, kind)(*values) if kind == "overwrite" else iceberg.delete(f"id = {values[0]}")


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(operations, st.booleans(), st.data())
def test_a_slice_is_the_net_new_multiset(
    operations: list[tuple[str, list[int]]], partitioned: bool, data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        iceberg = IcebergBuilder(folder, partition=(lambda spec: spec.add_identity("name")) if partitioned else None)
        iceberg.append(1, 2)
        for kind, values in operations:
            perform(iceberg, kind, values)
        table = iceberg.table()
        newest = iceberg.version
        known = sorted(iceberg.states)
        upper = data.draw(st.sampled_from([version.number for version in table.versions()]), label="upper")
        lower = data.draw(st.one_of(st.none(), st.sampled_from([one for one in known if one <= upper])), label="lower")
        assert net_new(table, table.slice(lower, upper)) == iceberg.state(upper) - iceberg.state(lower)
        if iceberg.reads_by_itself:
            assert iceberg.scanned(newest) == iceberg.state(newest)
            assert Counter(net_new(table, table.slice(None, newest))) == iceberg.scanned(newest)
        iceberg.close()
