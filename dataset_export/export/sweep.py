"""Remove what dead runs left at a destination (promise P6).

What is ours is what the journal names: files and unfinished uploads that carry a journaled run's mark. Everything else
stays, whatever it looks like.
"""

from dataclasses import dataclass

from dataset_export.destinations.contract import Store
from dataset_export.export.journal import JournalEntry, abandon, read_journal
from dataset_export.export.ledger import Ledger
from dataset_export.export.manifest import read_manifest


@dataclass(frozen=True)
class Swept:
    """What one dead run left: visible files and staged leftovers (paths), removed unless it was a dry run."""

    entry: JournalEntry
    visible: tuple[str, ...]
    staged: tuple[str, ...]


def sweep(store: Store, dataflow: str, dataset: str, ledger: Ledger, *, dry_run: bool) -> list[Swept]:
    """Remove the leftovers of every run of this dataset and dataflow that is neither going on nor complete.

    A run whose manifest exists is complete: what it may still have to do (being recorded, removing what it supersedes)
    is done by the next plan of its export time. Its unpublished uploads, if any, go here.
    """
    found: list[Swept] = []
    for entry in read_journal(store, dataflow, dataset):
        if ledger.is_running(entry.run_id):
            continue
        complete = read_manifest(store, entry.manifest_path) is not None
        visible = () if complete else tuple(file.path for file in entry.visible_files(store))
        leftovers = entry.staged_files(store)
        found.append(Swept(entry, visible, tuple(leftover.path for leftover in leftovers)))
        if dry_run:
            continue
        if complete:
            for leftover in leftovers:
                store.discard_leftover(leftover)
        else:
            abandon(store, entry)
    return [swept for swept in found if swept.visible or swept.staged]
