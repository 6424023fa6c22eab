"""Did you mean: what is known and looks most like what was written."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches


def did_you_mean(written: str, known: Iterable[str], shown: Mapping[str, str] | None = None) -> str:
    """A question to end a sentence with, `; did you mean 'owners'?`, or "" when nothing comes close. Capitals count for
    nothing.

    Args:
        written: what is not known.
        known: what is.
        shown: how known names are shown, where that is not as they are compared.
    """
    by_small = {name.lower(): name for name in known}
    close = get_close_matches(written.lower(), list(by_small), n=1, cutoff=0.65)
    if not close:
        return ""
    name = by_small[close[0]]
    return f"; did you mean {(shown or {}).get(name, name)!r}?"
