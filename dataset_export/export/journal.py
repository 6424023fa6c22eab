"""The journal: what a run is about to write at a destination, put down before its first byte.

It lies in the destination's hidden folder, one small file per export and run, so that anyone who comes after a killed run
(its retry, a new run, `sweep`) knows which bytes are ours: nothing is ever deleted that the journal or a manifest does
not name (promise P6). An entry outlives its export until a later plan finds the export recorded in the ledger; until
then it leads to manifests that were written but never recorded.
"""

import json
from collections.abc import Set
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from dataset_export.destinations.contract import HIDDEN_FOLDER, Entry, Leftover, Store
from dataset_export.errors import IntegrityError, StalePlan
from dataset_export.export.bounds import Bounds
from dataset_export.export.schedule import format_export_time, parse_export_time

JOURNAL_FOLDER = f"{HIDDEN_FOLDER}/journal"


@dataclass(frozen=True)
class JournalEntry:
    """One run's intent to export one dataset at one export time.

    Attributes:
        dataflow: its name.
        dataset: its id.
        export_time: as text, `YYYYMMDDHHMM`.
        run_id: root run.
        folder: of the data files, relative to the destination's folder.
        mark: what all data files of this run carry in their names.
        manifest_path: where its manifest will be.
        lower: the slice's lower version, so that a retry plans the same slice.
        upper: the slice's upper version.
        repairs: of a repair, path and SHA-256 of the manifest that it repairs and the run that wrote that.
        resent: of a repair, paths in that manifest of the files that are made anew, so that a retry makes the same.
        encrypted_copy: where an encrypted copy of its manifest will be.
        fingerprint: of the upper version, as `Bounds` has it.
    """

    dataflow: str
    dataset: str
    export_time: str
    run_id: str
    folder: str
    mark: str
    manifest_path: str
    lower: int | None
    upper: int | None
    repairs: tuple[str, str, str] | None = None
    resent: tuple[str, ...] = ()
    encrypted_copy: str | None = None
    fingerprint: str | None = None

    @property
    def path(self) -> str:
        """Where the entry is kept."""
        return _path(self.dataflow, self.dataset, self.export_time, self.run_id)

    @property
    def time(self) -> datetime:
        """The export time (UTC)."""
        return parse_export_time(self.export_time)

    @property
    def bounds(self) -> Bounds:
        """The planned table versions."""
        return Bounds(self.lower, self.upper, self.fingerprint)

    def write(self, store: Store) -> None:
        """Put the entry down; the same entry again is fine (promise P4)."""
        store.put(self.path, (json.dumps(asdict(self), indent=1) + "\n").encode())

    def forget(self, store: Store) -> None:
        """Remove the entry, once nothing at the destination depends on it."""
        store.delete(self.path)

    def visible_files(self, store: Store) -> list[Entry]:
        """Data files of this run that can be seen at the destination."""
        return [entry for entry in store.list(self.folder) if self._wrote(entry.path)]

    def staged_files(self, store: Store) -> list[Leftover]:
        """Bytes this run staged and did not publish, and a manifest that it was writing when it died."""
        manifests = {path for path in (self.manifest_path, self.encrypted_copy) if path is not None}
        folders = {self.folder, *(path.rpartition("/")[0] for path in manifests)}
        found = [leftover for folder in sorted(folders) for leftover in store.leftovers(folder)]
        ours = [left for left in found if self._wrote(left.path) or left.path in manifests]
        # Of two folders, one may lie in the other.
        return list({(left.path, str(sorted(left.handle.items()))): left for left in ours}.values())

    def _wrote(self, path: str) -> bool:
        folder, _, name = path.rpartition("/")
        return folder == self.folder and self.mark in name


def read_journal(store: Store, dataflow: str | None = None, dataset: str | None = None) -> list[JournalEntry]:
    """All entries of a dataset in a dataflow, of a dataflow, or of the destination, oldest export time first.

    Raises:
        IntegrityError: when a file there is no journal entry.
    """
    folder = JOURNAL_FOLDER if dataflow is None else _folder(dataflow, dataset)
    entries: list[JournalEntry] = []
    for found in store.list(folder):
        try:
            with store.open(found.path) as stream:
                entries.append(_parsed(json.loads(stream.read())))
        except FileNotFoundError:
            continue  # Another run has just forgotten it.
        except (ValueError, TypeError) as error:
            raise IntegrityError(f"{store.uri(found.path)} is not a journal entry; remove it by hand") from error
    return sorted(entries, key=lambda entry: (entry.export_time, entry.run_id))


def require_entry(store: Store, dataflow: str, dataset: str, export_time: datetime, run_id: str) -> None:
    """Raise StalePlan unless the run has an entry: without one, nobody who comes after it would know its bytes as ours."""
    try:
        store.open(_path(dataflow, dataset, format_export_time(export_time), run_id)).close()
    except FileNotFoundError:
        raise StalePlan(
            f"{dataflow}/{dataset} at {format_export_time(export_time)}: another run has cleared what run {run_id} had begun; "
            "start a new run instead of executing this one again"
        ) from None


def half_written_entries(store: Store, dataflow: str, dataset: str) -> list[tuple[str, Leftover]]:
    """Entries whose run died while it put them down, each with its root run."""
    left = store.leftovers(_folder(dataflow, dataset))
    return [(one.path.rpartition("/")[2].removesuffix(".json").partition("-")[2], one) for one in left]


def retire(store: Store, entry: JournalEntry) -> None:
    """Remove the entry of a run that is over, after what the run staged: without the entry no sweep would find that."""
    for leftover in entry.staged_files(store):
        store.discard_leftover(leftover)
    entry.forget(store)


def abandon(store: Store, entry: JournalEntry, *, keep: Set[str]) -> None:
    """Remove everything that a dead, unfinished run left: visible files, staged bytes, the entry itself.

    The caller has made sure that the run is not going on and that its manifest does not exist. `keep` are paths that
    another export's manifest names.
    """
    withdraw(store, entry, keep=keep)
    retire(store, entry)


def withdraw(store: Store, entry: JournalEntry, *, keep: Set[str]) -> None:
    """Remove the visible files of an export that has no manifest, but for the paths `keep`."""
    for file in entry.visible_files(store):
        if file.path not in keep:
            store.delete(file.path)


def entry_for(
    dataflow: str,
    dataset: str,
    export_time: datetime,
    run_id: str,
    *,
    folder: str,
    mark: str,
    manifest_path: str,
    bounds: Bounds,
    repairs: tuple[str, str, str] | None = None,
    resent: tuple[str, ...] = (),
    encrypted_copy: str | None = None,
) -> JournalEntry:
    """The entry of a run that is about to begin."""
    return JournalEntry(
        dataflow=dataflow,
        dataset=dataset,
        export_time=format_export_time(export_time),
        run_id=run_id,
        folder=folder,
        mark=mark,
        manifest_path=manifest_path,
        lower=bounds.lower,
        upper=bounds.upper,
        repairs=repairs,
        resent=resent,
        encrypted_copy=encrypted_copy,
        fingerprint=bounds.fingerprint,
    )


def _parsed(document: dict[str, Any]) -> JournalEntry:
    entry = JournalEntry(**document)
    repairs = tuple(entry.repairs) if entry.repairs is not None else None  # JSON has no tuples
    return replace(entry, repairs=repairs, resent=tuple(entry.resent))


def _path(dataflow: str, dataset: str, export_time: str, run_id: str) -> str:
    return f"{_folder(dataflow, dataset)}/{export_time}-{run_id}.json"


def _folder(dataflow: str, dataset: str | None) -> str:
    return f"{JOURNAL_FOLDER}/{dataflow}" + (f"/{dataset}" if dataset is not None else "")
