"""Whatever happens to a table: a slice describes exactly the rows that are net new between its versions."""

import tempfile
from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataset_export_tests.lake.delta_tables import DeltaBuilder, net_new
from dataset_export_tests.lake.delta_vectors import VectorDeletes

# Few distinct ids, so that rows repeat and multisets differ from sets.
ids = st.lists(st.integers(0, 5), min_size=1, max_size=4)
operation = st.one_of(
    st.tuples(st.just("append"), ids),
    st.tuples(st.just("append"), ids),
    st.tuples(st.just("compact"), st.just([])),
    st.tuples(st.just("compact"), st.just([])),
    st.tuples(st.just("delete"), ids),
    st.tuples(st.sampled_from(["mark u", "mark i", "mark p"]), ids),
    st.tuples(st.sampled_from(["mark u", "mark i"]), ids),
    st.tuples(st.just("update"), ids),
    st.tuples(st.just("overwrite"), ids),
    st.tuples(st.just("restore"), ids),
    st.tuples(st.just("checkpoint"), st.just([])),
)


def perform(delta: DeltaBuilder, kind: str, values: list[int], vectors: VectorDeletes) -> None:
    if kind == "append":
        delta.append(*values)
    elif kind == "overwrite":
        delta.overwrite(*values)
    elif kind == "compact":
        delta.compact()
    elif kind == "delete":
        delta.delete(f"id = {values[0]}")
    elif kind.startswith("mark"):
        vectors.delete(lambda row: row["id"] in values[:2], storage=kind[-1])
    elif kind == "checkpoint":
        delta.raw().create_checkpoint()
    elif kind == "update":
        delta.update(f"id = {values[0]}", name="'changed'", id=str(values[-1]))
    else:
        back = max(0, delta.version - values[0])
        if back < delta.version:
            delta.change(lambda table: table.restore(back))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(operation, min_size=1, max_size=8), st.data())
def test_a_slice_is_the_net_new_multiset(operations: list[tuple[str, list[int]]], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        delta = DeltaBuilder(folder)
        delta.append(1, 2)
        vectors = VectorDeletes(delta)
        for kind, values in operations:
            perform(delta, kind, values, vectors)
        upper = data.draw(st.integers(0, delta.version), label="upper")
        lower = data.draw(st.one_of(st.none(), st.integers(0, upper)), label="lower")
        table = delta.table()
        found = table.slice(lower, upper)
        assert net_new(table, found) == delta.state(upper) - delta.state(lower)
        assert all(file.rows for file in (*found.added, *found.removed) if file.only), "such a file has rows to compare"
        assert table.row_count(upper) == delta.state(upper).total()


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.one_of(ids, st.none()), min_size=2, max_size=8), st.data())
def test_p7_appends_and_compactions_are_delivered_once_by_any_cuts(
    commits: list[list[int] | None], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        delta = DeltaBuilder(folder)
        delta.append(0)
        for values in commits:
            if values is None:
                delta.compact()
            else:
                delta.append(*values)
        newest = delta.version
        cuts = sorted({0, newest, *data.draw(st.lists(st.integers(0, newest), max_size=4), label="cuts")})
        table = delta.table()
        bounds = [(None, cuts[0]), *pairwise(cuts)]
        slices = [table.slice(lower, upper) for lower, upper in bounds]
        assert not any(found.removed for found in slices)
        delivered = sum((net_new(table, found) for found in slices), start=delta.state(None))
        assert delivered == delta.state(newest)
