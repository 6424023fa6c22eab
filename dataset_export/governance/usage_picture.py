"""A licence year as a picture: what each dataflow delivered, what the licences entitle to, and where it is going."""

import io
from datetime import date, timedelta
from itertools import accumulate
from typing import Any

from dataset_export.governance.usage import Usage

SHOWN = 7
"""Dataflows with a colour of their own; the rest is one."""

WIDTH, HEIGHT, DPI = 9.0, 3.6, 80
"""Inches, and pixels of each: the picture is kept with every materialization, so it is small."""


def usage_png(usage: Usage) -> bytes:
    """The picture, as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.add_subplot()
    unit, divisor = _unit(usage)
    days, totals = _cumulated(usage)
    axes.stackplot(
        days, *([one / divisor for one in sums] for sums in totals.values()), labels=list(totals), step="post"
    )
    if usage.forecast is not None:
        ends = [usage.today, usage.year.end]
        axes.plot(ends, [usage.used / divisor, usage.forecast / divisor], "--", color="black", label="forecast")
    if usage.entitled is not None:
        axes.axhline(usage.entitled / divisor, color="tab:red", label="entitled")
        for name, share in (("warn", usage.thresholds.warn), ("block", usage.thresholds.block)):
            if share is not None and share != 1:
                axes.axhline(
                    usage.entitled * share / divisor, color="tab:red", linestyle=":", label=f"{name} at {share:.0%}"
                )
    axes.set_xlim(usage.year.begin, usage.year.end)
    axes.set_ylim(bottom=0)
    axes.set_ylabel(f"{unit} delivered")
    axes.set_title(f"Licence year {usage.year}", fontsize="medium")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small", frameon=False)
    written = io.BytesIO()
    figure.savefig(written, format="png")
    return written.getvalue()


def _cumulated(usage: Usage) -> tuple[list[date], dict[str, list[int]]]:
    """The days of the year so far, and for each of the largest dataflows and the rest what it had delivered by each day."""
    count = (usage.today - usage.year.begin).days + 1
    days = [usage.year.begin + timedelta(days=i) for i in range(count)]
    names = [one.dataflow for one in usage.dataflows]
    groups = {name: [name] for name in names[:SHOWN]}
    if names[SHOWN:]:
        groups[f"{len(names) - SHOWN} others"] = names[SHOWN:]
    totals = {
        label: list(accumulate(sum(usage.days[name].get(day, 0) for name in members) for day in days))
        for label, members in groups.items()
    }
    return days, totals or {"nothing": [0] * count}


def _unit(usage: Usage) -> tuple[str, int]:
    largest = max(usage.used, usage.forecast or 0, usage.entitled or 0)
    unit, divisor = "bytes", 1
    for larger in ("KB", "MB", "GB", "TB", "PB"):
        if largest < divisor * 1000:
            break
        unit, divisor = larger, divisor * 1000
    return unit, divisor
