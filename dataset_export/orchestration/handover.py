"""Notices about the life of dataflows, handed over to be told as alerts (spec S8)."""

from datetime import UTC, datetime

import dagster as dg

from dataset_export.alerts.alert import Alert, Event
from dataset_export.orchestration.alert_store import post
from dataset_export.orchestration.notices import Notice, NoticeKind


def tell_notice(instance: dg.DagsterInstance, notice: Notice) -> None:
    """Tell an end that is near, or has come; a `Notify`."""
    now = datetime.now(UTC)
    name, when = notice.dataflow.name, f"{notice.when:%Y-%m-%d %H:%M} UTC"
    if notice.kind is NoticeKind.END_NEAR:
        event, title = Event.END_NEAR, f"{name}: the end is near, {when}"
    else:
        event, title = Event.ENDED, f"{name}: ended on {when}"
    post(instance, name, Alert(event, (notice.key,), title, notice.text, now), now)
