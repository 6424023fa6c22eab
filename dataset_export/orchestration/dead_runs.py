"""Runs whose process died without a word and that Dagster takes for running.

A code server notices that a run it started is gone (kill -9, out of memory). But nobody does when the server dies with it, as in a
crash of the machine, or when the command line started the run. Such a run would block its dataflow for ever. So each run is
tagged with its process, and those whose process is gone are marked as failed; the daemon then starts its own ones again.
"""

import os
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

PROCESS_TAG = "dataset_export/process"
"""Run id, machine, process id and start of the process that a run is in. A run that is started again inherits the tags of
the one before: hence the run id."""

UNFINISHED = [
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]


def process_tag(run_id: str) -> Mapping[str, str]:
    """The tag of a run in this process, which tells it from every other one, also from a later one with its number."""
    return {PROCESS_TAG: f"{run_id} {socket.gethostname()} {os.getpid()} {_started(os.getpid())}"}


def remember_process(context: dg.OpExecutionContext) -> None:
    """Tag the run of a step with its process, if the step is in the process of its run."""
    run = context.run
    if context.job_def.executor_def.name == dg.in_process_executor.name and not _tagged_by_us(context.instance, run):
        context.instance.add_run_tags(run.run_id, process_tag(run.run_id))


def fail_dead_runs(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Mark the runs of this machine whose process is gone as failed, and return them."""
    dead: list[dg.DagsterRun] = []
    for run in instance.get_runs(RunsFilter(statuses=UNFINISHED)):
        run_id, host, pid, started = [*run.tags.get(PROCESS_TAG, "").split(" ", 3), *[""] * 4][:4]
        if run_id == run.run_id and host == socket.gethostname() and _started(int(pid)) != started:
            instance.report_run_failed(run, f"The process {pid} of this run is gone; it was killed.")
            dead.append(run)
    return dead


def _tagged_by_us(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    # The tags may be newer than the run that a step knows.
    now = instance.get_run_by_id(run.run_id)
    return now is not None and now.tags.get(PROCESS_TAG) == process_tag(run.run_id)[PROCESS_TAG]


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
