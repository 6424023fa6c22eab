"""Sizes beyond which a person is warned and nothing is stopped (spec S10)."""

MAX_DESTINATIONS = 100
"""Of an organization."""

MAX_RECORDS = 5_000_000_000
"""Of one export of one dataset."""


def too_many_destinations(count: int) -> str | None:
    """The warning when an organization has more than `MAX_DESTINATIONS`."""
    if count <= MAX_DESTINATIONS:
        return None
    return f"{count} destinations are declared, more than {MAX_DESTINATIONS}; several dataflows may share one"


def too_many_records(count: int) -> str | None:
    """The warning when an export has more than `MAX_RECORDS`."""
    if count <= MAX_RECORDS:
        return None
    return f"{count:,} records in one export, more than {MAX_RECORDS:,}; it goes on, and may take long"
