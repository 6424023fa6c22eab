"""`alerts test` and `alerts list`: whether channels work, and what was sent through them."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from dataset_export.cli.arguments import json_option
from dataset_export.cli.session import Session
from dataset_export.cli.terminal import iso, print_json, print_table
from dataset_export.errors import ExportError, UsageError

if TYPE_CHECKING:
    from dataset_export.alerts.channel import Channel
    from dataset_export.alerts.outbox import Entry


@click.group()
def alerts() -> None:
    """What people are told about exports: try the channels out, see what was sent."""


@alerts.command("test")
@click.argument("channels", nargs=-1, metavar="[CHANNEL]...")
@json_option
@click.pass_obj
def try_channels(session: Session, channels: tuple[str, ...], *, as_json: bool) -> None:
    """Send a test alert through channels; through all that are declared without a CHANNEL.

    Exits with 1 when one of them does not take it.

    \b
    --json: sent (by all), channels [{channel, sent, reason (null: sent)}].
    """
    chosen = _channels(session, channels)
    reasons = {channel.id: _reason(channel, session.clock()) for channel in chosen}
    if as_json:
        shown = [{"channel": name, "sent": reason is None, "reason": reason} for name, reason in reasons.items()]
        print_json({"sent": not any(reasons.values()), "channels": shown})
    else:
        for name, reason in reasons.items():
            click.echo(f"{name}: sent" if reason is None else reason)
    if failed := [name for name, reason in reasons.items() if reason is not None]:
        raise ExportError(f"{len(failed)} of {len(reasons)} channels did not take the test alert: {', '.join(failed)}")


@alerts.command("list")
@click.argument("flows", nargs=-1, metavar="[FLOW]...")
@json_option
@click.pass_obj
def list_alerts(session: Session, flows: tuple[str, ...], *, as_json: bool) -> None:
    """List the alerts that are on their way, and the last ones that were sent or given up; of all dataflows without a FLOW.

    \b
    --json: a list, oldest first, of objects with dataflow (null: it concerns the organization), event, title, text,
    happened_at, channel, state (pending, sent or given_up), tries, tried_at (null: not yet), next_try_at (null: none),
    reason (null: it arrived, or was not tried yet).
    """
    from dataset_export.orchestration.alert_store import ORGANIZATION, load_outboxes

    names = [session.dataflow(flow).name for flow in flows] or [*session.catalog.dataflows, ORGANIZATION]
    outboxes = load_outboxes(session.instance, names)
    found = [(name, entry) for name in names if name in outboxes for entry in outboxes[name].entries]
    listed = [_described(name, entry) for name, entry in sorted(found, key=lambda one: one[1].alert.happened_at)]
    if as_json:
        print_json(listed)
        return
    print_table(
        ["happened (UTC)", "alert", "channel", "state", "tries", "next try (UTC)", "reason"],
        [
            [
                one["happened_at"],
                one["title"],
                one["channel"],
                one["state"].replace("_", " "),
                str(one["tries"]),
                one["next_try_at"] or "-",
                one["reason"] or "-",
            ]
            for one in listed
        ],
        right=["tries"],
    )


def _channels(session: Session, names: tuple[str, ...]) -> "list[Channel]":
    declared = session.catalog.channels
    for name in names:
        if name not in declared:
            raise UsageError(
                f"there is no alert channel {name!r}; declared are {', '.join(sorted(declared)) or 'none'}"
            )
    if not declared:
        raise UsageError("no alert channel is declared, so there is nothing to test")
    return [declared[name] for name in dict.fromkeys(names or sorted(declared))]


def _reason(channel: "Channel", now: datetime) -> str | None:
    """Why the receiver did not take a test alert; None when it did."""
    from dataset_export.alerts.alert import Alert, Event
    from dataset_export.alerts.channel import send

    text = f"Somebody called `dataset-export alerts test`. Alerts of the channel {channel.id} arrive here."
    try:
        send(channel, Alert(Event.STARTED, (), f"dataset_export: a test of the channel {channel.id}", text, now))
    except ExportError as error:
        return str(error)
    return None


def _described(dataflow: str, entry: "Entry") -> dict[str, Any]:
    return {
        "dataflow": dataflow or None,
        "event": str(entry.alert.event),
        "title": entry.alert.title,
        "text": entry.alert.text,
        "happened_at": iso(entry.alert.happened_at),
        "channel": entry.channel,
        "state": str(entry.state),
        "tries": entry.tries,
        "tried_at": iso(entry.tried_at) if entry.tried_at is not None else None,
        "next_try_at": iso(entry.due_at) if entry.due_at is not None else None,
        "reason": entry.reason,
    }
