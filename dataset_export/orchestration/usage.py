"""The asset `license_usage`, and what keeps an export from starting when the licence year's bytes are used (spec S9)."""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from dataset_export.alerts.alert import Alert, Event
from dataset_export.errors import EntitlementUsed
from dataset_export.governance.entitlement import license_year
from dataset_export.governance.licenses import Licenses
from dataset_export.governance.usage import Level, Usage, bytes_text, measure
from dataset_export.governance.usage_picture import usage_png
from dataset_export.orchestration.alert_store import ORGANIZATION, post
from dataset_export.orchestration.daily import daily_schedule
from dataset_export.orchestration.delivered_bytes import delivered_bytes
from dataset_export.orchestration.names import LICENSE_USAGE, USAGE_JOB

USAGE_CRON = "23 5 * * *"
"""Once a day, when most of the night's exports are done. UTC."""

WITHIN_ENTITLEMENT = "within_entitlement"


def current_usage(instance: dg.DagsterInstance, licenses: Licenses | None, now: datetime) -> Usage:
    """The licence year so far: everything that was exported in this Dagster instance, from whatever code location."""
    return measure(delivered_bytes(instance, license_year(licenses, now).begin, now), licenses, now)


def watched_usage(instance: dg.DagsterInstance, licenses: Licenses | None, now: datetime) -> Usage | None:
    """The licence year so far where a threshold asks for it, else None: an export need not read what nobody watches.

    A threshold that is reached is told.
    """
    if licenses is None or licenses.thresholds.warn is licenses.thresholds.block is None:
        return None
    usage = current_usage(instance, licenses, now)
    tell(instance, usage, now)
    return usage


def tell(instance: dg.DagsterInstance, usage: Usage, now: datetime) -> None:
    """Hand a threshold that is reached over to the alerts: told once in a licence year, however often it is handed over."""
    if usage.level is Level.OK:
        return
    stopped = refusal(usage)
    alert = Alert(
        event=Event.USAGE_WARNING,
        keys=(f"usage_warning:{usage.level}:{usage.year.begin}",),
        title=f"{'exports are stopped: ' if stopped else ''}{usage.share:.1%} of the licence year's bytes are used",
        text=stopped or f"{usage}; the organization's threshold warn is {usage.thresholds.warn:.0%}",
        happened_at=now,
    )
    post(instance, ORGANIZATION, alert, now)


def refusal(usage: Usage) -> str | None:
    """Why no export may start; None when they may."""
    if usage.level is not Level.BLOCK:
        return None
    return (
        f"{usage}; the organization's threshold block is {usage.thresholds.block:.0%}, so no export starts before "
        f"{usage.year.end}: raise it, or declare what was bought since"
    )


def require_entitled(usage: Usage) -> None:
    """Raise EntitlementUsed when no export may start."""
    if (reason := refusal(usage)) is not None:
        raise EntitlementUsed(reason)


def stopped(instance: dg.DagsterInstance, licenses: Licenses | None, now: datetime) -> str | None:
    """Why nothing may be asked for now; None when it may.

    Runs that were asked for all the same would fail one after the other until their attempts are used up. Not asked for,
    what is due is delivered in order as soon as it may be.
    """
    usage = watched_usage(instance, licenses, now)
    return refusal(usage) if usage is not None else None


def usage_definitions(licenses: Licenses | None) -> dg.Definitions:
    """The asset `license_usage` with its job and its daily schedule; nothing without licences."""
    if licenses is None:
        return dg.Definitions()

    @dg.asset(
        key=LICENSE_USAGE,
        group_name="organization",
        kinds={"report"},
        description="Bytes delivered in the licence year, resends included, and what the licences entitle to.",
        check_specs=[
            dg.AssetCheckSpec(
                WITHIN_ENTITLEMENT,
                asset=LICENSE_USAGE,
                description="The share that is used is below the organization's thresholds warn and block.",
            )
        ],
    )
    # Dagster knows this result by the bare class only.
    def license_usage(context: dg.AssetExecutionContext) -> dg.MaterializeResult:  # pyright: ignore[reportMissingTypeArgument]
        now = datetime.now(UTC)
        usage = current_usage(context.instance, licenses, now)
        tell(context.instance, usage, now)
        context.log.log("INFO" if usage.level is Level.OK else "WARNING", f"{usage}")
        return dg.MaterializeResult(
            metadata=usage_metadata(usage),
            check_results=[
                dg.AssetCheckResult(
                    check_name=WITHIN_ENTITLEMENT,
                    passed=usage.level is Level.OK,
                    severity=dg.AssetCheckSeverity.ERROR if usage.level is Level.BLOCK else dg.AssetCheckSeverity.WARN,
                    description=refusal(usage) or str(usage),
                )
            ],
        )

    job = dg.define_asset_job(
        USAGE_JOB,
        selection=dg.AssetSelection.assets(LICENSE_USAGE),
        description="Counts what was delivered in the licence year.",
        executor_def=dg.in_process_executor,
    )
    return dg.Definitions(assets=[license_usage], jobs=[job], schedules=[daily_schedule(USAGE_JOB, USAGE_CRON)])


def usage_metadata(usage: Usage) -> Mapping[str, Any]:
    """What a materialization of `license_usage` shows: numbers, which the UI plots over time, a table and a picture."""
    forecast, forecast_share = usage.forecast, usage.share_of(usage.forecast)
    picture = base64.b64encode(usage_png(usage)).decode("ascii")
    return {
        "license_year": str(usage.year),
        "used_bytes": usage.used,
        **({"entitled_bytes": usage.entitled} if usage.entitled is not None else {}),
        **({"share": usage.share} if usage.share is not None else {}),
        **({"forecast_bytes": forecast} if forecast is not None else {}),
        **({"forecast_share": forecast_share} if forecast_share is not None else {}),
        "level": str(usage.level),
        "by_dataflow": dg.MetadataValue.md(usage_table(usage)),
        "picture": dg.MetadataValue.md(f"![Bytes delivered in the licence year](data:image/png;base64,{picture})"),
    }


def usage_table(usage: Usage) -> str:
    """The licence year by dataflow, as a Markdown table with a line for all."""
    rows = [(f"`{one.dataflow}`", one.used, one.forecast) for one in usage.dataflows]
    lines = [
        "| dataflow | used | share | forecast | share |",
        "| --- | ---: | ---: | ---: | ---: |",
        *(
            f"| {name} | {bytes_text(used)} | {_share(usage.share_of(used))} | "
            f"{bytes_text(forecast) if forecast is not None else '-'} | {_share(usage.share_of(forecast))} |"
            for name, used, forecast in [*rows, ("all", usage.used, usage.forecast)]
        ),
    ]
    return "\n".join(lines)


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
