"""Remove what dead runs left at a destination (promise P6).

What is ours is what the journal names: files and unfinished uploads that carry a journaled run's mark. Everything else
stays, whatever it looks like.
"""

from dataclasses import dataclass

from dataset_export.destinations.contract import Store
from dataset_export.export.destination_ledger import at_destination
from dataset_export.export.journal import JournalEntry, abandon, half_written_entries, read_journal
from dataset_export.export.ledger import Ledger
from dataset_export.export.manifest import read_manifest
from dataset_export.export.superseded import files_of_live_exports, remove_superseded, superseded_files


@dataclass(frozen=True)
class Swept:
    """What one dead run left: visible files and staged leftovers (paths), removed unless it was a dry run. Of a resend
    that died between its manifest and the end, the visible files are those it replaces (promise P5)."""

    entry: JournalEntry
    visible: tuple[str, ...]
    staged: tuple[str, ...]


def sweep(store: Store, dataflow: str, dataset: str, ledger: Ledger, *, dry_run: bool) -> list[Swept]:
    """Remove the leftovers of every run of this dataset and dataflow that is not going on.

    A run whose manifest exists is complete: the next plan of its export time records it, and its files stay.
    """
    found: list[Swept] = []
    ledger = at_destination(ledger, store)
    entries = read_journal(store, dataflow, dataset)
    for entry in entries:
        if ledger.is_running(entry.run_id):
            continue
        leftovers = entry.staged_files(store)
        manifest = read_manifest(store, entry.manifest_path)
        if manifest is None:
            keep = files_of_live_exports(store, entry, entries, ledger)
            visible = [file.path for file in entry.visible_files(store) if file.path not in keep]
            if not dry_run:
                abandon(store, entry, keep=keep)
        elif dry_run:
            visible = superseded_files(store, manifest, entry.folder)
        else:
            visible = remove_superseded(store, manifest, entry.folder)
            for leftover in leftovers:
                store.discard_leftover(leftover)
        found.append(Swept(entry, tuple(visible), tuple(leftover.path for leftover in leftovers)))
    if not dry_run:
        # Nothing of its run is anywhere yet: the entry comes before the first byte.
        for run_id, unfinished in half_written_entries(store, dataflow, dataset):
            if not ledger.is_running(run_id):
                store.discard_leftover(unfinished)
    return [swept for swept in found if swept.visible or swept.staged]
