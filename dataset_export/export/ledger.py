"""What earlier exports delivered: the records that decide which rows belong to the next one.

The orchestration keeps them as materialization metadata; manifests found at the destination join them when a run died
between writing its manifest and being recorded (design: "Which rows belong to an export").
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from dataset_export.export.type_text import Column


@dataclass(frozen=True)
class Delivered:
    """One complete export of one dataset.

    Attributes:
        export_time: UTC.
        lower: table version the slice starts after; None is the beginning of the table.
        upper: table version the slice ends with; None when the table had no version yet.
        run_id: root run that delivered it.
        manifest_path: relative to the destination's folder.
        manifest_sha256: hex digest of the manifest's bytes.
        columns: of its files; none when the table had no version yet.
        mode: of the dataflow when it was delivered; None when that was not recorded.
        address: of the destination that it was delivered to; None is the one at hand.
        fingerprint: of `upper`, for a table whose log does not tell whether it still is what it was (`Table.fingerprint`).
    """

    export_time: datetime
    lower: int | None
    upper: int | None
    run_id: str
    manifest_path: str
    manifest_sha256: str
    columns: tuple[Column, ...] = ()
    mode: str | None = None
    address: str | None = None
    fingerprint: str | None = None


class Ledger(Protocol):
    """The recorded exports of one dataset in one dataflow."""

    def at(self, export_time: datetime) -> Delivered | None:
        """The newest record of this export time."""
        ...

    def history(self, export_time: datetime) -> list[Delivered]:
        """All records of this export time, newest first: the deliveries that later ones replaced are among them."""
        ...

    def nearest_before(self, export_time: datetime) -> Delivered | None:
        """The record of the nearest earlier export time."""
        ...

    def nearest_after(self, export_time: datetime) -> Delivered | None:
        """The record of the nearest later export time."""
        ...

    def is_running(self, run_id: str) -> bool:
        """Whether the run with this root run id is still going on."""
        ...


@dataclass(frozen=True)
class LedgerWith:
    """A ledger and further complete exports that it does not know; its own records win."""

    ledger: Ledger
    unrecorded: tuple[Delivered, ...] = ()

    def at(self, export_time: datetime) -> Delivered | None:
        """See `Ledger.at`."""
        return self.ledger.at(export_time) or next((d for d in self.unrecorded if d.export_time == export_time), None)

    def history(self, export_time: datetime) -> list[Delivered]:
        """See `Ledger.history`."""
        return [*self.ledger.history(export_time), *(d for d in self.unrecorded if d.export_time == export_time)]

    def nearest_before(self, export_time: datetime) -> Delivered | None:
        """See `Ledger.nearest_before`."""
        known = self.ledger.nearest_before(export_time)
        earlier = [d for d in self.unrecorded if d.export_time < export_time]
        return max([*([known] if known else []), *earlier], key=lambda d: d.export_time, default=None)

    def nearest_after(self, export_time: datetime) -> Delivered | None:
        """See `Ledger.nearest_after`."""
        known = self.ledger.nearest_after(export_time)
        later = [d for d in self.unrecorded if d.export_time > export_time]
        return min([*([known] if known else []), *later], key=lambda d: d.export_time, default=None)

    def is_running(self, run_id: str) -> bool:
        """See `Ledger.is_running`."""
        return self.ledger.is_running(run_id)
