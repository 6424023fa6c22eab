"""How many bytes each dataset of each dataflow was delivered with on each day, counted from the materializations.

Counting begins where the count before ended: of each asset, the days that are settled are kept in the Dagster instance
as a tally, and only materializations after it are read. A tally follows from the history alone, so that it does not matter who
writes it, how many at once, or whether it is lost; and what it counted stays counted when somebody wipes an asset.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

import dagster as dg
from dagster import EventLogRecord

from dataset_export.destinations.io_manager import MANIFEST_PATH_KEY
from dataset_export.governance.usage import DeliveredBytes
from dataset_export.orchestration.ledger import BYTES_SENT_KEY

SETTLED = timedelta(hours=1)
"""How old a materialization is when it goes into the tally. Clocks of machines differ, and a busy database may take its time:
what appears later than this after its own timestamp would not be counted."""

FIRST_PAGE = 10
PAGE = 500
"""Materializations that are read at once, newest first: few are new as a rule, and all of them the first time."""

KEPT = timedelta(days=2 * 366)
"""How long the days of a tally are kept."""

_TALLIES = "dataset_export/delivered_bytes"


@dataclass(frozen=True)
class Tally:
    """Bytes of one asset by day.

    Attributes:
        since: the first day that is counted.
        until: everything up to this instant (seconds since 1970) is counted, and nothing after it.
        days: days without a byte are left out.
    """

    since: date
    until: float
    days: Mapping[date, int] = field(default_factory=dict[date, int])


def delivered_bytes(instance: dg.DagsterInstance, since: date, now: datetime) -> DeliveredBytes:
    """Bytes delivered from a day on, of all dataflows that ever exported in the instance, also those no longer declared.

    Args:
        instance: the Dagster instance.
        since: the first day (UTC) that is of interest; what an earlier caller asked for, or a later day, is read fastest.
        now: UTC.
    """
    newest = _newest_of_exports(instance)
    known = _tallied(instance)
    tallies = _read(instance, known | newest.keys())
    counted: dict[tuple[str, str], Mapping[date, int]] = {}
    for key in sorted(known | newest.keys(), key=dg.AssetKey.to_user_string):
        tally = tallies.get(key)
        if tally is None or tally.since > since:
            tally = Tally(since, _timestamp(since))
        settled, later = tally, dict[date, int]()
        # The newest by storage id: one with a later timestamp may lie behind it.
        if key in newest and newest[key] > tally.until - SETTLED.total_seconds():
            settled, later = _go_on(instance, key, tally, now)
        if settled.until > tally.until:
            _keep(instance, key, settled)
        dataflow, dataset = key.path
        counted[dataflow, dataset] = _from(since, _sum(settled.days, later))
    if newest.keys() - known:
        _note(instance, known | newest.keys())
    return counted


def _newest_of_exports(instance: dg.DagsterInstance) -> dict[dg.AssetKey, float]:
    """Assets `[dataflow, dataset]` that were exported, and the timestamp of the newest materialization of each."""
    newest: dict[dg.AssetKey, float] = {}
    for record in instance.get_asset_records():
        last = record.asset_entry.last_materialization_record
        if last is not None and len(record.asset_entry.asset_key.path) == 2 and _bytes_of(last) is not None:
            newest[record.asset_entry.asset_key] = last.timestamp
    return newest


def _go_on(
    instance: dg.DagsterInstance, key: dg.AssetKey, tally: Tally, now: datetime
) -> tuple[Tally, dict[date, int]]:
    """The tally as far as things are settled now, and the bytes of the days after that."""
    settles = (now - SETTLED).timestamp()
    settled: dict[date, int] = {}
    later: dict[date, int] = {}
    for record in _newer_than(instance, key, tally.until):
        days = settled if record.timestamp <= settles else later
        day = datetime.fromtimestamp(record.timestamp, UTC).date()
        days[day] = days.get(day, 0) + (_bytes_of(record) or 0)
    return Tally(tally.since, max(settles, tally.until), _sum(tally.days, settled)), later


def _newer_than(instance: dg.DagsterInstance, key: dg.AssetKey, until: float) -> Iterator[EventLogRecord]:
    """Materializations after an instant, newest first. Not by storage ids: SQLite gives those of deleted runs away again."""
    cursor: str | None = None
    while True:
        limit = FIRST_PAGE if cursor is None else PAGE
        page = instance.fetch_materializations(key, limit=limit, cursor=cursor)
        for record in page.records:
            if record.timestamp > until:
                yield record
            elif record.timestamp < until - SETTLED.total_seconds():
                return
        if not page.has_more:
            return
        cursor = page.cursor


def _bytes_of(record: EventLogRecord) -> int | None:
    """What a materialization says that was sent; None for one that is no export."""
    materialization = record.asset_materialization
    if materialization is None or MANIFEST_PATH_KEY not in materialization.metadata:
        return None
    # Versions before this count recorded only the size of the whole export.
    sent = materialization.metadata.get(BYTES_SENT_KEY, materialization.metadata.get("bytes"))
    return int(str(sent.value)) if sent is not None else 0


def _read(instance: dg.DagsterInstance, keys: Iterable[dg.AssetKey]) -> dict[dg.AssetKey, Tally]:
    names = {_name(key): key for key in keys}
    found = instance.daemon_cursor_storage.get_cursor_values(set(names)) if names else {}
    return {names[name]: _tally(text) for name, text in found.items()}


def _tally(text: str) -> Tally:
    document = json.loads(text)
    days = {date.fromisoformat(day): int(count) for day, count in document["days"].items()}
    return Tally(date.fromisoformat(document["since"]), float(document["until"]), days)


def _keep(instance: dg.DagsterInstance, key: dg.AssetKey, tally: Tally) -> None:
    since = max(tally.since, datetime.fromtimestamp(tally.until, UTC).date() - KEPT)
    document = {
        "since": since.isoformat(),
        "until": tally.until,
        "days": {day.isoformat(): count for day, count in sorted(_from(since, tally.days).items())},
    }
    instance.daemon_cursor_storage.set_cursor_values({_name(key): json.dumps(document, separators=(",", ":"))})


def _tallied(instance: dg.DagsterInstance) -> set[dg.AssetKey]:
    """Assets that were exported at some time, also those that were wiped since."""
    text = instance.daemon_cursor_storage.get_cursor_values({_TALLIES}).get(_TALLIES, "[]")
    return {dg.AssetKey(path) for path in json.loads(text)}


def _note(instance: dg.DagsterInstance, keys: Iterable[dg.AssetKey]) -> None:
    paths = sorted(list(key.path) for key in keys)
    instance.daemon_cursor_storage.set_cursor_values({_TALLIES: json.dumps(paths, separators=(",", ":"))})


def _name(key: dg.AssetKey) -> str:
    return f"{_TALLIES}/{key.to_user_string()}"


def _timestamp(day: date) -> float:
    """Just before a day begins: what has this timestamp is not of the day."""
    return datetime.combine(day, time(), UTC).timestamp() - 1e-6


def _sum(first: Mapping[date, int], second: Mapping[date, int]) -> dict[date, int]:
    return {day: first.get(day, 0) + second.get(day, 0) for day in {*first, *second}}


def _from(since: date, days: Mapping[date, int]) -> dict[date, int]:
    return {day: count for day, count in days.items() if day >= since and count}
