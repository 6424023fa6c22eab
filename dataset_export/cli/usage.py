"""`usage`: how much of the licence year's bytes is used, and how much will be at its end."""

from typing import TYPE_CHECKING, Any

import click

from dataset_export.cli.arguments import json_option
from dataset_export.cli.session import Session
from dataset_export.cli.terminal import note, print_json, print_table

if TYPE_CHECKING:
    from dataset_export.governance.usage import Usage


@click.command()
@json_option
@click.pass_obj
def usage(session: Session, as_json: bool) -> None:
    """Show the bytes delivered in the licence year, resends included: used, entitled, share, and forecast to its end.

    Without licences the year is the calendar's, and nothing is entitled to. The forecast goes on at the pace of the last
    four weeks, in which the first export of a dataset does not count.

    \b
    --json: license_year {begin, end (the day after the last)}, used_bytes, entitled_bytes (null: no licences), share,
    forecast_bytes (null: too early), forecast_share, warn, block (null: never), level (ok, warn or block), dataflows
    [{dataflow, used_bytes, share, forecast_bytes, forecast_share, days [{day, bytes}]}].
    """
    from dataset_export.orchestration.usage import current_usage, refusal

    found = current_usage(session.instance, session.catalog.licenses, session.clock())
    if as_json:
        print_json(_document(found))
        return
    rows = [(one.dataflow, one.used, one.forecast) for one in found.dataflows]
    print_table(
        ["dataflow", "used", "share", "forecast", "share at the end"],
        [_row(found, *row) for row in [*rows, ("all", found.used, found.forecast)]],
        right=["used", "share", "forecast", "share at the end"],
    )
    click.echo()
    click.echo(f"{found}.")
    if found.level != "ok":
        note(f"warning: {refusal(found) or 'the threshold warn is reached'}")


def _row(found: "Usage", name: str, used: int, forecast: int | None) -> list[str]:
    from dataset_export.governance.usage import bytes_text

    return [
        name,
        bytes_text(used),
        _percent(found.share_of(used)),
        bytes_text(forecast) if forecast is not None else "-",
        _percent(found.share_of(forecast)),
    ]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _document(found: "Usage") -> dict[str, Any]:
    return {
        "license_year": {"begin": found.year.begin.isoformat(), "end": found.year.end.isoformat()},
        "used_bytes": found.used,
        "entitled_bytes": found.entitled,
        "share": found.share,
        "forecast_bytes": found.forecast,
        "forecast_share": found.share_of(found.forecast),
        "warn": found.thresholds.warn if found.entitled is not None else None,
        "block": found.thresholds.block if found.entitled is not None else None,
        "level": str(found.level),
        "dataflows": [
            {
                "dataflow": one.dataflow,
                "used_bytes": one.used,
                "share": found.share_of(one.used),
                "forecast_bytes": one.forecast,
                "forecast_share": found.share_of(one.forecast),
                "days": [
                    {"day": day.isoformat(), "bytes": count} for day, count in sorted(found.days[one.dataflow].items())
                ],
            }
            for one in found.dataflows
        ],
    }
