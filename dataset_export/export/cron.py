"""Cron expressions that every program reads alike (spec S4).

Export times are computed here and, as partitions, by Dagster. Where the two would read an expression differently, and other
programs with them, it is refused, so that what is shown is what is exported.
"""

import re
from datetime import UTC, datetime

from dataset_export.errors import ConfigError


def check_cron(cron: str | None) -> str:
    """Return a cron expression of five fields: minute hour day month weekday.

    Raises:
        ConfigError: when there is none, it is not valid, never happens, or is read differently by different programs.
    """
    from cronsim import CronSim, CronSimError

    if not cron:
        raise ConfigError("frequency cron needs the field cron, for example cron: '30 4 * * 1-5'")
    fields = cron.split()
    if len(fields) != 5:
        raise ConfigError(f"cron {cron!r} has {len(fields)} fields; five are expected: minute hour day month weekday")
    for field in fields:
        _check_field(cron, field)
    day, weekday = fields[2], fields[4]
    if "*" not in {day, weekday} and "*" in day + weekday:
        raise ConfigError(
            f"cron {cron!r} restricts the day of the month and the weekday, one of them by '*/', which programs read "
            "differently; write its values out, for example 1,11,21 instead of */10"
        )
    # With a weekday beside it the day may never come and the expression still have ticks; Dagster fails at that.
    for expression in (cron, f"0 0 {day} {fields[3]} *"):
        try:
            next(CronSim(expression, datetime(2024, 1, 1, tzinfo=UTC)))
        except (CronSimError, StopIteration) as error:
            raise ConfigError(f"cron {cron!r} is not valid, or has a day that never happens") from error
    return cron


def _check_field(cron: str, field: str) -> None:
    for term in field.split(","):
        one_value = re.fullmatch(r"(\w+)-(\w+)(/\d+)?", term)
        if one_value and one_value[1].lower() == one_value[2].lower():
            raise ConfigError(
                f"cron {cron!r}: {term!r} is a range of one value, which programs read differently; write {one_value[1]}"
            )
        if "*" in term and term != field:
            raise ConfigError(
                f"cron {cron!r}: {field!r} has a '*' among other values, which programs read differently; write the '*' "
                "alone or the values out"
            )
        if re.fullmatch(r"LW|\d+L", term, re.IGNORECASE):
            raise ConfigError(f"cron {cron!r}: {term!r} is known to some programs only; L is the last day of the month")
