"""Runs whose process is gone are marked as failed, and no others."""

import os
from collections.abc import Iterator
from uuid import uuid4

import dagster as dg
import pytest
from dagster import DagsterRunStatus

from dataset_export.orchestration.dead_runs import PROCESS_TAG, fail_dead_runs, process_tag, remember_process
from dataset_export_tests.instances import new_instance


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def started(instance: dg.DagsterInstance, tag: str | None) -> str:
    """A run that is going on; `{}` in its tag is its id."""
    run_id = str(uuid4())
    tags = {PROCESS_TAG: tag.format(run_id)} if tag else {}
    return instance.add_run(dg.DagsterRun("flow", run_id, status=DagsterRunStatus.STARTED, tags=tags)).run_id


def test_only_runs_of_processes_that_are_gone_are_marked_as_failed(instance: dg.DagsterInstance) -> None:
    here = process_tag("{}")[PROCESS_TAG]
    _, host, pid, moment = here.split(" ", 3)
    assert (pid, moment != "None") == (str(os.getpid()), True)
    alive = [
        started(instance, here),
        started(instance, f"{{}} another-machine {pid} long ago"),
        started(instance, f"{uuid4()} {host} {pid} long ago"),  # inherited from the run that it repeats
        started(instance, None),
        started(instance, "nonsense"),
    ]
    gone = [started(instance, f"{{}} {host} {pid} long ago"), started(instance, f"{{}} {host} 4194305 {moment}")]
    assert {run.run_id for run in fail_dead_runs(instance)} == set(gone)
    status = {run.run_id: run.status for run in instance.get_runs()}
    assert status == dict.fromkeys(alive, DagsterRunStatus.STARTED) | dict.fromkeys(gone, DagsterRunStatus.FAILURE)
    assert fail_dead_runs(instance) == []


@dg.op
def step(context: dg.OpExecutionContext) -> None:
    remember_process(context)
    remember_process(context)


@dg.job(executor_def=dg.in_process_executor)
def in_this_process() -> None:
    step()


@dg.job(executor_def=dg.multiprocess_executor)
def in_processes_of_their_own() -> None:
    step()


@pytest.mark.parametrize("job", [in_this_process, in_processes_of_their_own], ids=lambda job: job.name)
def test_a_run_is_tagged_with_the_process_that_it_is_in(job: dg.JobDefinition) -> None:
    """Not with that of a step, which is over before the run is."""
    inherited = "of the run before"
    with new_instance() as instance:
        result = dg.execute_job(dg.reconstructable(job), instance, tags={PROCESS_TAG: inherited})
        assert result.success
        run = instance.get_run_by_id(result.run_id)
    assert run is not None
    ours = process_tag(result.run_id)[PROCESS_TAG]
    assert run.tags[PROCESS_TAG] == (ours if job is in_this_process else inherited)
