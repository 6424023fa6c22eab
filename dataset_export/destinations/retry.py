"""Trying a call to a store again after a failure of the system (spec S8).

The client libraries' own retries are off: they hide what happened, and few of them honour Retry-After.
"""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from dataset_export.errors import TransientError

TRIES = 4
FIRST_WAIT_SECONDS = 0.4
LONGEST_WAIT_SECONDS = 30.0
"""A store that asks for more is left to the retries of the run, which hold no connection meanwhile."""

Answer = TypeVar("Answer")


def with_retries(call: Callable[[], Answer], *, tries: int = TRIES) -> Answer:
    """What `call` returns, at the first of `tries` tries that raises no TransientError.

    Waits between tries grow exponentially, with jitter, and are at least what the store asked for.

    Raises:
        TransientError: that of the last try, or one that asks to wait longer than `LONGEST_WAIT_SECONDS`.
        ExportError: any other error of `call`, at once.
    """
    for tried in range(tries):
        try:
            return call()
        except TransientError as error:
            asked = error.retry_after or 0.0
            if tried == tries - 1 or asked > LONGEST_WAIT_SECONDS:
                raise
            # Jitter keeps workers that one outage stopped from coming back all at once; nothing secret here.
            time.sleep(asked + FIRST_WAIT_SECONDS * 2**tried * random.uniform(0.5, 1.0))  # noqa: S311
    raise ValueError("tries has to be at least 1")
