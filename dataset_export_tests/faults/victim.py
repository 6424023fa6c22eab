"""A process that exports through Dagster and can be killed at any step.

`COMMAND` starts it. It imports everything once and then forks a child for every request, one JSON object a line on its
standard input. The child is the process that exports, retries and dies; for each there is one line of JSON in answer:
`{"status": <as os.waitpid gives it>, "error": <the end of what it printed>}`.
"""

import json
import os
import sys
import tempfile
import traceback
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import dagster as dg

from dataset_export.destinations.io_manager import DestinationIOManager
from dataset_export.destinations.local import LocalStore
from dataset_export.destinations.policy import Policy
from dataset_export.export import shards
from dataset_export.export.dataflow import Dataflow
from dataset_export.export.file_shape import FileShape
from dataset_export.export.schedule import format_export_time
from dataset_export.orchestration.dataflow import build_dataflow
from dataset_export.orchestration.lake_asset import lake_asset
from dataset_export.orchestration.names import DATAFLOW_TAG, RESEND_TAG
from dataset_export_tests.export.exporter import START, Exporter
from dataset_export_tests.faults.mortal import Death, MortalStore, Steps, mortal_process

# Not `-m`: Dagster imports this module by its name, and it has to be the same one.
COMMAND = [sys.executable, "-c", f"from {__name__} import main; main()"]

FILES_PER_SHARD = 2
"""So that a small table makes more than one shard."""


@dataclass(frozen=True)
class Job:
    """One execution in a process of its own.

    Attributes:
        home: DAGSTER_HOME.
        lake: the Delta table.
        dataflow: its name: every case has a dataflow of its own.
        destination: the class of the destination, `module:name`.
        fields: of the destination.
        resend: deliver again what is complete.
        reexecute: id of the run to execute again from where it failed.
        log: file for the steps.
        death: the fields of a `Death`.
        max_rows: of a file, so that some source files become several; None for no limit.
    """

    home: str
    lake: str
    dataflow: str
    destination: str
    fields: dict[str, Any]
    log: str = ""
    resend: bool = False
    reexecute: str = ""
    death: tuple[str, int, str] | None = None
    max_rows: int | None = None

    def make_destination(self) -> DestinationIOManager:
        """The destination, made anew from its fields as the process of a run does."""
        module, _, name = self.destination.partition(":")
        return getattr(import_module(module), name)(**self.fields)

    @property
    def flow(self) -> Dataflow:
        # Its store is not used: the resource is made of the destination above.
        shape = FileShape(max_rows_per_file=self.max_rows)
        return replace(Exporter(LocalStore(Path(self.home)), self.lake).dataflow, name=self.dataflow, shape=shape)

    def to_json(self) -> str:
        return json.dumps(asdict(self))


class MortalDestination(DestinationIOManager):
    """The destination of the job that is going on."""

    def build_store(self) -> Any:
        return MortalStore(current().make_destination().build_store(), STEPS[0])

    def policy(self) -> Policy:
        return current().make_destination().policy()


CURRENT: list[Job] = []
STEPS: list[Steps] = []


def current() -> Job:
    return CURRENT[0]


def dataflow_job() -> dg.JobDefinition:
    """The job that Dagster reconstructs."""
    flow = current().flow
    shared = dg.Definitions(assets=[lake_asset(flow.datasets[0])], resources={flow.destination.id: MortalDestination()})
    return dg.Definitions.merge(build_dataflow(flow), shared).resolve_job_def(flow.name)


def execute(job: Job) -> None:
    """Run or re-execute the export of START to its end, or die on the way."""
    CURRENT[:] = [job]
    STEPS[:] = [Steps(Path(job.log), Death(*job.death) if job.death else None)]
    shards.SHARD_FILES = FILES_PER_SHARD
    os.environ["DAGSTER_HOME"] = job.home
    tags = {"dagster/partition": format_export_time(START), DATAFLOW_TAG: job.dataflow}
    if job.resend:
        tags[RESEND_TAG] = "true"
    with dg.DagsterInstance.from_config(job.home) as instance, mortal_process(STEPS[0], instance):
        options = dg.ReexecutionOptions.from_failure(job.reexecute, instance) if job.reexecute else None
        dg.execute_job(
            dg.reconstructable(dataflow_job), instance, tags=tags, reexecution_options=options, raise_on_error=True
        )


# Imported for the children, which would each do it again. Importing starts no threads, so it is safe to fork.
IMPORTED = (
    "arro3.io",
    "asyncssh",
    "azure.storage.blob",
    "azure.storage.filedatalake",
    "boto3.session",
    "dagster_aws.s3",
    "deltalake",
    "google.cloud.storage",
    "isal.igzip",
    "jsonschema.validators",
    "obstore.store",
    "pyarrow.parquet",
)


def main() -> None:
    for module in IMPORTED:
        import_module(module)
    for line in sys.stdin:
        with tempfile.TemporaryFile("w+") as error:
            child = os.fork()
            if child == 0:
                try:
                    # The protocol's stream belongs to the parent; Dagster logs go where errors go.
                    os.dup2(error.fileno(), 1)
                    os.dup2(error.fileno(), 2)
                    execute(Job(**json.loads(line)))
                except BaseException:  # noqa: BLE001 - whatever it is, it is shown and the child ends
                    traceback.print_exc(file=error)
                    error.flush()
                    os._exit(1)
                os._exit(0)
            _, status = os.waitpid(child, 0)
            error.seek(0)
            print(json.dumps({"status": status, "error": error.read()[-6000:]}), flush=True)
