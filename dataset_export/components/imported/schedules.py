"""`scheduleParams` of a flow: when it exports, and whether everything or what was added."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from dataset_export.components.imported.findings import unknown
from dataset_export.components.imported.pieces import Piece
from dataset_export.errors import ConfigError
from dataset_export.export.dataflow import ExportMode
from dataset_export.export.schedule import HOURLY_STEPS, LEGACY_CREATED_BEFORE, LEGACY_END

KNOWN = frozenset(
    {"exportMode", "timeUnit", "interval", "startTime", "endTime", "foldernameTemplate", "folderNameTemplate"}
)

MODES: Mapping[str, ExportMode] = {
    "DAILY_FULL_EXPORT": ExportMode.FULL,
    "FIRST_FULL_THEN_INCREMENTAL": ExportMode.INCREMENTAL,
}

HOURS = 24

YEAR_5000 = 95_617_584_000
"""In epoch seconds. What is larger was meant in milliseconds, as the service writes other times."""


def schedule_of(flow: Piece, params: Mapping[str, Any]) -> tuple[dict[str, Any], ExportMode, list[str]]:
    """The schedule as it is declared, the mode, and notes.

    Raises:
        ConfigError: for a combination that the original does not know, and for times that are none.
    """
    written, unit, interval = params.get("exportMode"), params.get("timeUnit"), params.get("interval")
    if written not in MODES:
        raise ConfigError(f"{flow.place}: exportMode is {written!r}; it is one of {', '.join(MODES)}")
    notes = unknown(params, KNOWN, "scheduleParams")
    start = _moment(flow, params, "startTime", notes)
    mode = MODES[str(written)]
    match unit, interval:
        case "day", 0:
            schedule: dict[str, Any] = {"frequency": "once", "start": _text(start)}
        case "day", 1:
            schedule = {"frequency": "daily", "start": _text(start)}
        case "hour", int() if interval in HOURLY_STEPS:
            schedule = {"frequency": "hourly", "start": _text(start), "every_hours": interval}
        case "hour", int() if 0 < interval < HOURS:
            schedule = {"frequency": "cron", "start": _text(start), "cron": _every(interval, start)}
            notes.append(_no_step(interval))
        case _:
            raise ConfigError(
                f"{flow.place}: timeUnit {unit!r} with interval {interval!r} is no schedule of the original; it knows day with 0 "
                "or 1 and hour with 3, 6, 8, 9 or 12"
            )
    if unit == "day" and interval == 1 and mode is ExportMode.FULL:
        notes.append("everything every day is what the original announces by this mode, and never did; here it is done")
    if schedule["frequency"] == "once":
        return schedule, mode, notes
    return schedule | _end(flow, params, start, notes), mode, notes


def _end(flow: Piece, params: Mapping[str, Any], start: datetime, notes: list[str]) -> dict[str, str]:
    if params.get("endTime") is not None:
        return {"end": _text(_moment(flow, params, "endTime", notes))}
    written = flow.body.get("createdAt")
    created = datetime.fromtimestamp(written / 1000, UTC) if isinstance(written, int | float) else None
    if created is not None and created < LEGACY_CREATED_BEFORE and start < LEGACY_END:
        notes.append(
            f"there is no endTime, and it was created before {LEGACY_CREATED_BEFORE:%Y-%m-%d}: it ends on {LEGACY_END:%Y-%m-%d}; "
            "write end: never for none"
        )
        return {"created": created.date().isoformat()}
    notes.append("there is no endTime: it ends six months after its start; write end: never for none")
    return {}


def _moment(flow: Piece, params: Mapping[str, Any], key: str, notes: list[str]) -> datetime:
    written = params.get(key)
    try:
        seconds = int(written or "")
    except (TypeError, ValueError):
        raise ConfigError(f"{flow.place}: {key} is {written!r}; epoch seconds are expected") from None
    if not 0 <= seconds < YEAR_5000:
        raise ConfigError(f"{flow.place}: {key} is {written}, in milliseconds it seems; epoch seconds are expected")
    moment = datetime.fromtimestamp(seconds, UTC)
    if moment.second:
        notes.append(f"{key} has seconds, which export times have not; they are left out")
    return moment.replace(second=0)


def _every(interval: int, start: datetime) -> str:
    """Hours of the day that lie so far apart, the first export's among them."""
    hours = sorted({(start.hour + step) % HOURS for step in range(0, HOURS, interval)})
    return f"{start.minute} {','.join(map(str, hours))} * * *"


def _no_step(interval: int) -> str:
    if HOURS % interval == 0:
        return f"an interval of {interval} hours is none that the frequency hourly takes; the cron says the same"
    rest = HOURS % interval
    return (
        f"an interval of {interval} hours does not divide a day: the cron begins with the hour of the start each day, so that "
        f"one of the intervals is {rest} hours"
    )


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M")
