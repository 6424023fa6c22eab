"""What an export's columns are held to: those of the export before it in the same dataflow."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dataset_export.errors import SchemaChanged
from dataset_export.export.dataflow import Dataflow, Dataset
from dataset_export.export.ledger import Ledger
from dataset_export.export.schedule import format_export_time
from dataset_export.export.schema_change import OnSchemaChange, SchemaChange, columns_in, schema_change


def hold_to_contract(
    dataflow: Dataflow,
    dataset: Dataset,
    export_time: datetime,
    schema: Sequence[Mapping[str, Any]],
    ledger: Ledger,
) -> SchemaChange | None:
    """How the columns of an export differ from those of the nearest earlier one, where the dataflow delivers them all
    the same. None when they do not differ, for the first export, and while the table has no version.

    Args:
        dataflow: says what to do about a change.
        dataset: what is exported.
        export_time: UTC.
        schema: the columns to deliver, as a manifest writes them.
        ledger: what was delivered so far.

    Raises:
        SchemaChanged: when the dataflow wants no other columns (`on_schema_change: fail`). What was delivered once for
            this export time is delivered again without complaint.
    """
    columns = columns_in(schema)
    before = ledger.nearest_before(export_time)
    if before is None or not before.columns or not columns:
        return None
    change = schema_change(before.columns, columns)
    if change is None or dataflow.on_schema_change is not OnSchemaChange.FAIL:
        return change
    recorded = ledger.at(export_time)
    if recorded is not None and recorded.columns == columns:
        return change
    raise SchemaChanged(
        f"{dataflow.name}/{dataset.id} at {format_export_time(export_time)}: the columns are not those of "
        f"{format_export_time(before.export_time)} ({change}), and nothing was sent; set on_schema_change: evolve to deliver "
        "them, which makes them the ones that later exports are held to, leave out with columns: exclude what is new, or "
        "change the table back"
    )
