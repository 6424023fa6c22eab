"""What the answers of a store mean: one table of errors for every destination (spec S8).

A store adds the error codes of its service; what no code decides, the HTTP status decides here. Transient errors are
tried again (`retry.py`, then the run's retries); all others stay wrong until a person changes something, and say what.
"""

from collections.abc import Collection, Mapping, Sequence, Set
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from dataset_export.errors import AccessDenied, ConfigError, ExportError, StorageFull, TransientError


class Rule(NamedTuple):
    """Which error answers become which error of ours: by their code, else by their HTTP status."""

    error: type[ExportError]
    codes: Set[str]
    statuses: Collection[int]
    advice: str


BY_STATUS = (
    Rule(StorageFull, frozenset(), (507,), "free some space or raise the quota, then run the export again"),
    Rule(TransientError, frozenset(), (408, 425, 429, *range(500, 600)), "it is tried again"),
    Rule(
        AccessDenied,
        frozenset(),
        (401, 403),
        "check the credentials and what they allow (`dataset-export doctor` shows it row by row)",
    ),
)
OTHERWISE = Rule(ConfigError, frozenset(), (), "check the fields of the destination")


def meaning(
    said: str, rules: Sequence[Rule], *, code: str, status: int, headers: Mapping[str, str] | None = None
) -> ExportError:
    """Our error for an error answer.

    Args:
        said: what was asked and what came back, without secrets; the advice follows after a semicolon.
        rules: those of the service; they come before the ones by HTTP status that hold everywhere.
        code: the service's error code, "" for none.
        status: HTTP status, 0 for none.
        headers: of the answer; Retry-After is read from them.
    """
    by_code = (rule for rule in rules if code in rule.codes)
    by_status = (rule for rule in (*rules, *BY_STATUS) if status in rule.statuses)
    rule = next(by_code, None) or next(by_status, OTHERWISE)
    message = f"{said}; {rule.advice}"
    if issubclass(rule.error, TransientError):
        return rule.error(message, retry_after=retry_after(headers or {}))
    return rule.error(message)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a Retry-After header asks to wait, given as a number or as a date; None without a readable one."""
    written = next((value for name, value in headers.items() if name.lower() == "retry-after"), "").strip()
    if written.isdecimal():
        return float(written)
    try:
        moment = parsedate_to_datetime(written).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
