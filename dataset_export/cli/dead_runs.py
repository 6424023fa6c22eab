"""Runs whose process died without a word (kill -9, a crash of the machine) and that Dagster takes for running.

They would block their export for ever, since nobody else watches a run that this command started. So each of our runs
is tagged with its process, and the next call marks those whose process is gone as failed.
"""

import os
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from dataset_export.cli.terminal import note

HOST_TAG = "dataset_export/host"
PROCESS_TAG = "dataset_export/pid"
STARTED_TAG = "dataset_export/process_started"

UNFINISHED = [
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]


def process_tags() -> Mapping[str, str]:
    """Tags that tell this process from every other one of this machine, also from a later one with its number."""
    pid = os.getpid()
    return {HOST_TAG: socket.gethostname(), PROCESS_TAG: str(pid), STARTED_TAG: _started(pid) or ""}


def fail_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark the runs of this machine whose process is gone as failed, and return their ids."""
    ours = instance.get_runs(RunsFilter(tags={HOST_TAG: socket.gethostname()}, statuses=UNFINISHED))
    dead = [run for run in ours if _started(int(run.tags[PROCESS_TAG])) != run.tags[STARTED_TAG]]
    for run in dead:
        instance.report_run_failed(run, f"The process {run.tags[PROCESS_TAG]} of this run is gone; it was killed.")
        note(f"note: run {run.run_id} was killed; it is marked as failed and no longer blocks its export time")
    return [run.run_id for run in dead]


def _started(pid: int) -> str | None:
    """When a process started, as text that only it has; None when it is gone (a zombie is)."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            # The second field, the command in parentheses, may hold anything; the third is the state.
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        except OSError:
            return None
        return None if fields[0] in "ZX" else f"{boot}:{fields[19]}"
    shown = subprocess.run(  # macOS
        ["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return shown.stdout.strip() or None
