"""An outbox as text, to be kept from one tick to the next."""

import json
from datetime import datetime
from typing import Any

from dataset_export.alerts.alert import Alert, Event
from dataset_export.alerts.outbox import Entry, Outbox


def outbox_text(outbox: Outbox) -> str:
    """One line of JSON."""
    return json.dumps(
        {
            "since": outbox.since.isoformat(),
            "entries": [_entry_document(entry) for entry in outbox.entries],
            "told": {key: until.isoformat() for key, until in outbox.told.items()},
        }
    )


def outbox_from(text: str) -> Outbox:
    """Read `outbox_text` back."""
    document = json.loads(text)
    return Outbox(
        since=datetime.fromisoformat(document["since"]),
        entries=tuple(_entry_from(entry) for entry in document["entries"]),
        told={key: datetime.fromisoformat(until) for key, until in document["told"].items()},
    )


def alerts_text(alerts: list[Alert]) -> str:
    """Alerts that are not in an outbox yet, as one line of JSON."""
    return json.dumps([_alert_document(alert) for alert in alerts])


def alerts_from(text: str) -> list[Alert]:
    """Read `alerts_text` back."""
    return [_alert_from(document) for document in json.loads(text)]


def _entry_document(entry: Entry) -> dict[str, Any]:
    return {
        **_alert_document(entry.alert),
        "channel": entry.channel,
        "due_at": entry.due_at.isoformat() if entry.due_at else None,
        "tries": entry.tries,
        "tried_at": entry.tried_at.isoformat() if entry.tried_at else None,
        "reason": entry.reason,
    }


def _entry_from(document: dict[str, Any]) -> Entry:
    return Entry(
        alert=_alert_from(document),
        channel=document["channel"],
        due_at=datetime.fromisoformat(document["due_at"]) if document["due_at"] else None,
        tries=document["tries"],
        tried_at=datetime.fromisoformat(document["tried_at"]) if document["tried_at"] else None,
        reason=document["reason"],
    )


def _alert_document(alert: Alert) -> dict[str, Any]:
    return {
        "event": str(alert.event),
        "keys": list(alert.keys),
        "title": alert.title,
        "text": alert.text,
        "happened_at": alert.happened_at.isoformat(),
    }


def _alert_from(document: dict[str, Any]) -> Alert:
    return Alert(
        event=Event(document["event"]),
        keys=tuple(document["keys"]),
        title=document["title"],
        text=document["text"],
        happened_at=datetime.fromisoformat(document["happened_at"]),
    )
