"""What the figures say of the bars, in sentences."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from benchmarks.field import BARS, FORMATS, OURS

MEMORY = 500_000_000
"""Bytes that ours may hold."""
FLAT = 0.1
"""Memory is flat when more rows take at most this share of their bytes more of it."""
STEADY = 1.5
"""The slowest run of a contender takes at most this many times its fastest one; else something else kept the machine busy,
and no bar is decided."""


class Figures(Protocol):
    """What is known of one contender, input and format (see `staging.Result`)."""

    @property
    def contender(self) -> str: ...
    @property
    def input(self) -> str: ...
    @property
    def format(self) -> str: ...
    @property
    def seconds(self) -> list[float]: ...
    @property
    def median(self) -> float: ...
    @property
    def peak_rss(self) -> int: ...
    @property
    def output(self) -> int: ...


def speeds(results: Iterable[Figures]) -> list[str]:
    """Ours against those that there is a bar for; `results` of one input and format."""
    found = {result.contender: result for result in results}
    ours = found.pop(OURS, None)
    if ours is None:
        return []
    return [_speed(ours, other) for other in found.values() if (ours.format, other.contender) in BARS]


def _speed(ours: Figures, other: Figures) -> str:
    bar, times = BARS[ours.format, other.contender], other.median / ours.median
    size = ours.output / other.output - 1
    said = f"{ours.input}, {FORMATS[ours.format]}: ours is {times:.2f} times as fast as {other.contender}"
    said += f" with files {abs(size):.1%} {'larger' if size > 0 else 'smaller'}" if ours.format != "copy" else ""
    if any(max(one.seconds) > STEADY * min(one.seconds) for one in (ours, other)):
        return f"{said}: UNDECIDED, since runs of one contender differ by more than {STEADY} times."
    return f"{said}: the bar of {bar:g} {'holds' if times >= bar else 'is MISSED'}."


def memory(ours: Iterable[Figures]) -> list[str]:
    """The memory of ours, which must not grow from the first input of a format to one with more of its rows."""
    found: dict[str, list[Figures]] = {}
    for result in ours:
        found.setdefault(result.format, []).append(result)
    return [sentence for results in found.values() for sentence in _memory(results)]


def _memory(results: list[Figures]) -> list[str]:
    most = max(results, key=lambda one: one.peak_rss)
    said = f"{FORMATS[most.format]}: ours takes at most {most.peak_rss / 1e6:.0f} MB of memory, {MEMORY / 1e6:.0f} MB are allowed"
    sentences = [f"{said}: the bar {'holds' if most.peak_rss <= MEMORY else 'is MISSED'}."]
    small, large = results[0], results[-1]
    if large.input.startswith(f"{small.input}, "):
        grown = (large.peak_rss - small.peak_rss) / 1e6
        flat = grown * 1e6 <= FLAT * (large.output - small.output)
        sentences.append(
            f"{FORMATS[most.format]}: {large.input}, take {grown:+.0f} MB of memory beside those of {small.input}: "
            f"it is {'flat' if flat else 'NOT FLAT'}."
        )
    return sentences
