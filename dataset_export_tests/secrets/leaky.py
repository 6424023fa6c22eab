"""Definitions that give secrets away, each in a way of its own: what finds none elsewhere has to find all of these.

`LEAKS` names the environment variable with them, as a JSON object.
"""

import json
import os

import dagster as dg

from dataset_export.destinations.s3 import S3Destination

LEAKS = "PLANTED_LEAKS"
KINDS = ("printed", "logged", "metadata", "cause", "resource", "config")


def leaks() -> dict[str, str]:
    """The secrets by what gives them away."""
    return json.loads(os.environ[LEAKS])


class Options(dg.Config):
    """What a person types into the launchpad."""

    key: str


@dg.asset
def gives_away(context: dg.AssetExecutionContext, config: Options) -> dg.MaterializeResult[None]:
    """An asset that says too much."""
    print(leaks()["printed"])
    context.log.info(f"signing in with {leaks()['logged']}")
    return dg.MaterializeResult(metadata={"signed_in_with": leaks()["metadata"]})


@dg.asset
def fails() -> None:
    """An asset whose error has a cause that says too much."""
    try:
        raise ValueError(f"the key {leaks()['cause']} is wrong")
    except ValueError as error:
        raise RuntimeError("refused") from error


def definitions() -> dg.Definitions:
    """Both, a job for each, and a resource with a literal secret."""
    return dg.Definitions(
        assets=[gives_away, fails],
        jobs=[dg.define_asset_job(f"job_{name}", selection=[name]) for name in ("gives_away", "fails")],
        resources={"bucket": S3Destination(bucket="b", aws_secret_access_key=leaks()["resource"])},
    )


def run(instance: dg.DagsterInstance) -> None:
    """Run both jobs."""
    config = {"ops": {"gives_away": {"config": {"key": leaks()["config"]}}}}
    for name in ("gives_away", "fails"):
        job = definitions().resolve_job_def(f"job_{name}")
        job.execute_in_process(
            instance=instance, raise_on_error=False, run_config=config if name == "gives_away" else None
        )
