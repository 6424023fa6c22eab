"""Trying again: how often, how long it waits, and what it leaves alone."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_export.destinations import retry
from dataset_export.destinations.retry import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, TRIES, with_retries
from dataset_export.errors import AccessDenied, TransientError

Asked = float | None


def tried(outcomes: list[Asked], *, tries: int = TRIES) -> tuple[list[float], int, TransientError | None]:
    """Calls that fail transiently, asking for these waits, and then succeed. Returns the waits, the number of calls, and
    the error that came out."""
    waits, calls = list[float](), 0

    def call() -> str:
        nonlocal calls
        calls += 1
        if calls <= len(outcomes):
            raise TransientError(f"failure {calls}", retry_after=outcomes[calls - 1])
        return "done"

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(retry.time, "sleep", waits.append)
        try:
            assert with_retries(call, tries=tries) == "done"
        except TransientError as error:
            return waits, calls, error
    return waits, calls, None


asks = st.none() | st.floats(0, 2 * LONGEST_WAIT_SECONDS)


@given(st.lists(asks, max_size=8), st.integers(1, 6))
def test_s8_every_sequence_of_failures(asked: list[Asked], tries: int) -> None:
    waits, calls, error = tried(asked, tries=tries)
    patient = [one is None or one <= LONGEST_WAIT_SECONDS for one in asked]
    stops = patient.index(False) + 1 if False in patient else len(asked) + 1
    assert calls == min(tries, stops)
    assert (error is None) == (len(asked) < tries and all(patient))
    assert len(waits) == calls - 1
    if error is not None:
        assert str(error) == f"failure {calls}"
    for number, wait in enumerate(waits):
        own = wait - (asked[number] or 0.0)
        longest = FIRST_WAIT_SECONDS * 2**number
        assert longest / 2 - 1e-9 <= own <= longest + 1e-9


def test_waits_differ() -> None:
    assert len({tried([None])[0][0] for _ in range(20)}) > 1


@pytest.mark.parametrize("error", [AccessDenied("no"), KeyError("no"), KeyboardInterrupt()])
def test_s8_other_errors_come_out_at_once(error: BaseException) -> None:
    calls = 0

    def call() -> None:
        nonlocal calls
        calls += 1
        raise error

    with pytest.raises(type(error)):
        with_retries(call)
    assert calls == 1


@pytest.mark.parametrize("tries", [0, -1])
def test_no_tries(tries: int) -> None:
    call: Callable[[], None] = lambda: pytest.fail("it was called")  # noqa: E731
    with pytest.raises(ValueError, match="at least 1"):
        with_retries(call, tries=tries)
