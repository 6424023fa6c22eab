"""What a person should hear about the life of a dataflow, and the seam through which it leaves the sensor that noticed it.

The sensor makes a `Notice` and hands it to each `Notify` that it was built with, in order:

    Notice(NoticeKind.END_NEAR, dataflow, "dataflow flights ends in 7 days, …", when=datetime(2027, 5, 1, tzinfo=UTC))

`record_notice` keeps every notice in the history of the dataflow's assets, where the UI shows it. Whoever sends them
elsewhere is one more `Notify` beside it.
"""

import logging
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import dagster as dg

from dataset_export.export.dataflow import Dataflow
from dataset_export.export.schedule import format_export_time
from dataset_export.orchestration.names import export_key

LOG = logging.getLogger("dataset_export")


class NoticeKind(StrEnum):
    """What a notice is about (spec S5, S8)."""

    END_NEAR = "end_near"
    ENDED = "ended"


@dataclass(frozen=True)
class Notice:
    """Something to tell about a dataflow, once.

    Attributes:
        kind: what it is about.
        dataflow: as it is declared now.
        text: for a person: what is or will be, and what to do about it. Names the dataflow.
        when: the instant that it is about (UTC): of END_NEAR and ENDED, the end.
        days: of END_NEAR, which of the warnings it is: so many days ahead.
    """

    kind: NoticeKind
    dataflow: Dataflow
    text: str
    when: datetime
    days: int | None = None

    @property
    def key(self) -> str:
        """The same for the same notice, whenever it is made: to send once what may be handed over twice."""
        return ":".join(
            (self.kind, self.dataflow.name, format_export_time(self.when), *([str(self.days)] if self.days else []))
        )


class Notify(Protocol):
    """Takes notices over."""

    def __call__(self, instance: dg.DagsterInstance, notice: Notice) -> None:
        """Take a notice over, within seconds. It is the receiver's when this returns, and not handed over again.

        Raising leaves it with the sensor, which hands it over again at its next tick. So does a crash between the return
        and the moment at which the sensor has noted it; the same `key` tells that it came before.
        """
        ...


def record_notice(instance: dg.DagsterInstance, notice: Notice) -> None:
    """Log a notice, and keep it as an observation of each asset of the dataflow, where the UI shows it."""
    LOG.warning("%s", notice.text)
    for dataset in notice.dataflow.datasets:
        instance.report_runless_asset_event(
            dg.AssetObservation(
                export_key(notice.dataflow, dataset),
                description=notice.text,
                metadata={"notice": str(notice.kind), "when": dg.MetadataValue.timestamp(notice.when)},
            )
        )
