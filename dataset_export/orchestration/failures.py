"""Turn our errors into Dagster's: what is retried with back-off, and what fails for good with one clear sentence."""

import random
from collections.abc import Generator
from contextlib import contextmanager

import dagster as dg

from dataset_export.errors import ExportError, TransientError

MAX_RETRIES = 4
FIRST_WAIT_SECONDS = 2.0


@contextmanager
def reported(retry_number: int) -> Generator[None]:
    """Run a step. `retry_number` is 0 at its first try.

    Raises:
        dg.RetryRequested: for failures of the system, with exponential back-off and jitter, and
            not before the store's Retry-After (spec S8).
        dg.Failure: for everything else of ours, not to be retried.
    """
    try:
        yield
    except ExportError as error:
        if isinstance(error, TransientError):
            # Jitter keeps the dataflows that one outage stopped from coming back all at once; nothing secret here.
            wait = (error.retry_after or 0.0) + FIRST_WAIT_SECONDS * 2**retry_number * random.uniform(0.75, 1.25)  # noqa: S311
            raise dg.RetryRequested(max_retries=MAX_RETRIES, seconds_to_wait=wait) from error
        raise dg.Failure(
            description=str(error), metadata={"error": type(error).__name__}, allow_retries=False
        ) from error
