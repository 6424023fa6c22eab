"""Why a step failed, read back from its event: our own sentence, or that there is none."""

import dagster as dg

import dataset_export.errors
from dataset_export.export.dataflow import Dataflow
from dataset_export.orchestration.names import op_name

BLOCKED_BY_CHECK = "DagsterAssetCheckFailedError"
"""What a step fails of whose blocking check did not pass; the check's own result says why."""


def step_fault(event: dg.DagsterEvent) -> str | None:
    """The sentence of our error that a failed step ended with; None when it ended with any other error."""
    data = event.step_failure_data
    failure = data.user_failure_data
    if failure is not None and failure.description:
        return failure.description
    cause = data.error
    while cause is not None:
        if hasattr(dataset_export.errors, cause.cls_name or ""):
            # The message is "package.ClassName: sentence".
            return cause.message.partition(f"{cause.cls_name}: ")[2].strip()
        cause = cause.cause
    return None


def step_prefix(event: dg.DagsterEvent, dataflow: Dataflow) -> str:
    """`flights, publish: ` of an event of that step; nothing for steps that are not of an export."""
    last = (event.step_key or "").rpartition(".")[2].partition("[")[0]
    for dataset in dataflow.datasets:
        for step in ("plan", "stage", "publish"):
            if last == op_name(dataflow, dataset, step):
                return f"{dataset.id}, {step}: "
    return ""
