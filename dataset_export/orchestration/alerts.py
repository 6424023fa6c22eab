"""The alerts sensor: it tells people about exports (spec S8).

It runs beside the exports and only reads what they recorded, so that no receiver can hold up or fail an export.
"""

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import dagster as dg

from dataset_export.alerts.channel import Channel, send
from dataset_export.orchestration.alerts_tick import Cursor, Watched, alerts_tick

ALERTS_SENSOR = "alerts"

INTERVAL_SECONDS = 30


def alert_definitions(watched: Sequence[Watched], channels: Mapping[str, Channel]) -> dg.Definitions:
    """The sensor `alerts`; none without a channel.

    A tick that gives an alert up fails, so that the UI shows it; it is tried no further.
    """
    if not channels:
        return dg.Definitions()
    ticking = threading.Lock()

    @dg.sensor(
        name=ALERTS_SENSOR,
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells people about exports through the alert channels.",
    )
    def alerts(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        # A tick that took too long goes on here after the daemon has stopped waiting for it.
        if not ticking.acquire(blocking=False):
            return dg.SkipReason("the tick before is still sending")
        try:
            cursor = Cursor.read(context.cursor, datetime.now(UTC))
            tick = alerts_tick(context.instance, watched, channels, cursor, send)
        finally:
            ticking.release()
        if tick.given_up:
            raise dg.Failure("; ".join(tick.given_up), allow_retries=False)
        return dg.SensorResult(skip_reason=dg.SkipReason(tick.summary), cursor=tick.cursor.text)

    return dg.Definitions(sensors=[alerts])
