"""Where alerts are kept between ticks: in the Dagster instance, one value for each dataflow.

An outbox is written by the alerts sensor only. What others have to tell they `post`: it lies beside the outbox until the
sensor's next tick, so that no two of them ever write the same value.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

import dagster as dg

from dataset_export.alerts.alert import Alert
from dataset_export.alerts.outbox import REMEMBERED, Outbox
from dataset_export.alerts.saved import alerts_from, alerts_text, outbox_from, outbox_text

ORGANIZATION = ""
"""In place of a dataflow's name, for what concerns them all."""


def load_outboxes(instance: dg.DagsterInstance, dataflows: Iterable[str]) -> Mapping[str, Outbox]:
    """The outboxes of these dataflows; those that have none yet are left out."""
    return {name: outbox_from(text) for name, text in _values(instance, {_outbox(name): name for name in dataflows})}


def save_outbox(instance: dg.DagsterInstance, dataflow: str, outbox: Outbox) -> None:
    """Keep an outbox: all of it or nothing."""
    instance.daemon_cursor_storage.set_cursor_values({_outbox(dataflow): outbox_text(outbox)})


def post(instance: dg.DagsterInstance, dataflow: str, alert: Alert, now: datetime) -> None:
    """Hand over an alert for the sensor's next tick; one with keys that were told before is not told again.

    Args:
        instance: to keep it in.
        dataflow: name, or `ORGANIZATION`.
        alert: what to tell.
        now: UTC.
    """
    before = posted(instance, [dataflow]).get(dataflow, [])
    kept = [one for one in before if one.happened_at >= now - REMEMBERED and one.keys != alert.keys]
    instance.daemon_cursor_storage.set_cursor_values({_posted(dataflow): alerts_text([*kept, alert])})


def posted(instance: dg.DagsterInstance, dataflows: Iterable[str]) -> Mapping[str, list[Alert]]:
    """What was posted, oldest first. It stays for a while after the sensor took it over, which knows it by its keys."""
    return {name: alerts_from(text) for name, text in _values(instance, {_posted(name): name for name in dataflows})}


def _values(instance: dg.DagsterInstance, names: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    found = instance.daemon_cursor_storage.get_cursor_values(set(names))
    return [(names[key], text) for key, text in found.items()]


def _outbox(dataflow: str) -> str:
    return f"dataset_export/alerts/{dataflow}"


def _posted(dataflow: str) -> str:
    return f"dataset_export/alerts/{dataflow}/posted"
