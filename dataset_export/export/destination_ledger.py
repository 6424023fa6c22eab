"""The ledger as seen from one destination: who reads there has what was delivered there, and nothing else.

The history of a dataset in a dataflow goes on at a destination where it stopped there. At a destination that is new, it
begins with everything, since a reader who follows the manifests of that place has to see every row once (promise P7).
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from dataset_export.destinations.contract import Store, address_of
from dataset_export.export.ledger import Delivered, Ledger
from dataset_export.export.manifest import readable_manifest

END_OF_TIME = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class DestinationLedger:
    """Of a ledger, the exports that were delivered to the destination of `store`.

    Another address need not be another place: a bucket may be reached by another name, a folder may have been moved with
    all that is in it. So where the newest export that was delivered to an address can be found at the destination, as it
    was recorded, everything delivered to that address counts as delivered here.
    """

    ledger: Ledger
    store: Store
    _same_place: dict[str, bool] = field(default_factory=dict[str, bool], repr=False, compare=False)

    def at(self, export_time: datetime) -> Delivered | None:
        """See `Ledger.at`."""
        newest = self.ledger.at(export_time)
        if newest is None or self.is_here(newest):
            return newest
        return next(iter(self.history(export_time)), None)

    def history(self, export_time: datetime) -> list[Delivered]:
        """See `Ledger.history`."""
        return [delivered for delivered in self.ledger.history(export_time) if self.is_here(delivered)]

    def nearest_before(self, export_time: datetime) -> Delivered | None:
        """See `Ledger.nearest_before`."""
        found = self.ledger.nearest_before(export_time)
        while found is not None:
            if (here := self.at(found.export_time)) is not None:
                return here
            found = self.ledger.nearest_before(found.export_time)
        return None

    def nearest_after(self, export_time: datetime) -> Delivered | None:
        """See `Ledger.nearest_after`."""
        found = self.ledger.nearest_after(export_time)
        while found is not None:
            if (here := self.at(found.export_time)) is not None:
                return here
            found = self.ledger.nearest_after(found.export_time)
        return None

    def is_running(self, run_id: str) -> bool:
        """See `Ledger.is_running`."""
        return self.ledger.is_running(run_id)

    def elsewhere(self, export_time: datetime) -> str | None:
        """Of an export that was delivered, but to another destination: that one's address."""
        newest = self.ledger.at(export_time)
        return newest.address if newest is not None and self.at(export_time) is None else None

    def is_here(self, delivered: Delivered) -> bool:
        """Whether an export was delivered to this destination. May read its manifest there."""
        address = delivered.address
        if address is None or address == address_of(self.store):
            return True
        if address not in self._same_place:
            self._same_place[address] = self._has(self._newest_to(address) or delivered)
        return self._same_place[address]

    def _newest_to(self, address: str) -> Delivered | None:
        found = self.ledger.nearest_before(END_OF_TIME)
        while found is not None and found.address != address:
            found = self.ledger.nearest_before(found.export_time)
        return found

    def _has(self, delivered: Delivered) -> bool:
        manifest = readable_manifest(self.store, delivered.manifest_path)
        return manifest is not None and manifest.sha256 == delivered.manifest_sha256


def at_destination(ledger: Ledger, store: Store) -> DestinationLedger:
    """The ledger as seen from the destination of `store`; one that is so already stays as it is."""
    return ledger if isinstance(ledger, DestinationLedger) else DestinationLedger(ledger, store)
