"""A contender runs in a process of its own, so that its memory is its own too."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Measured:
    """What a contender printed as its last word (seconds, by its own clock) and the bytes of memory it held."""

    seconds: float
    peak_rss: int


def measure(module: str, *arguments: str, log: Path) -> Measured:
    """Run `python -m module arguments` and watch its memory.

    Raises:
        RuntimeError: when it fails, with the end of what it wrote to `log`.
    """
    with log.open("w") as errors:
        command = [sys.executable, "-m", module, *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        peak = [0]
        sampler = threading.Thread(target=_sample, args=(process, peak))
        sampler.start()
        text, _ = process.communicate()
        sampler.join()
    if process.returncode:
        raise RuntimeError(f"{module} {' '.join(arguments)} failed:\n{log.read_text()[-2000:]}")
    return Measured(float(text.split()[-1]), peak[0])


def machine(*packages: str) -> str:
    """Cores, memory and versions, in one line."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    memory = psutil.virtual_memory().total / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}, {versions}"


def _sample(process: subprocess.Popen[str], peak: list[int]) -> None:
    """Largest resident memory of the process and its children, looked at every 20 ms. A child counts from the second look
    on: until it runs a program of its own, the pages that it is seen to have are those of its parent."""
    known: set[int] = set()
    while process.poll() is None:
        try:
            parent = psutil.Process(process.pid)
            children = parent.children(recursive=True)
            counted = [parent, *(child for child in children if child.pid in known)]
            peak[0] = max(peak[0], sum(one.memory_info().rss for one in counted))
            known = {child.pid for child in children}
        except psutil.NoSuchProcess:
            continue
        time.sleep(0.02)
