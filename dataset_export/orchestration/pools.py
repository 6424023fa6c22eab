"""Which exports may go on at once: concurrency pools, counted in runs (`concurrency.pools.granularity: run` in dagster.yaml).

One run of each dataflow, since its exports are increments and each begins where the one before ended; and so many of each
destination as it says it bears (`max_concurrent_exports`). The daemon's queue holds the others back.
"""

import dagster as dg
from dagster._core.instance.config import PoolGranularity

from dataset_export.export.dataflow import Dataflow, DestinationInfo


def dataflow_pool(dataflow: Dataflow) -> str:
    """The pool that all runs of a dataflow are in, those launched from an asset's page too, which carry no tag of it."""
    return f"dataflow/{dataflow.name}"


def destination_pool(destination: DestinationInfo) -> str | None:
    """The pool of a destination's exports; None when it bears any number of them."""
    return f"destination/{destination.id}" if destination.max_concurrent_exports is not None else None


def keep_limits(dataflow: Dataflow, instance: dg.DagsterInstance) -> None:
    """Make the limits of a dataflow's pools what is declared: Dagster keeps them in its storage, not in the definitions.

    Dagster's own default limit comes into force only after the first run of a pool, so this is done before runs are asked
    for. On an instance that counts pools in steps it does nothing: there, a killed run would keep its slots for ever.
    """
    storage = instance.event_log_storage
    counted_in = instance.get_concurrency_config().pool_config.pool_granularity
    if counted_in is not PoolGranularity.RUN or not storage.supports_global_concurrency_limits:
        return
    known = {pool.name: pool.limit for pool in storage.get_pool_limits()}
    wanted = {dataflow_pool(dataflow): 1}
    pool, limit = destination_pool(dataflow.destination), dataflow.destination.max_concurrent_exports
    if pool is not None and limit is not None:
        wanted[pool] = limit
    for name, slots in wanted.items():
        if known.get(name) != slots:
            storage.set_concurrency_slots(name, slots)
