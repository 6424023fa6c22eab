"""What holds at a destination after a fault and its recovery: promises P1 to P7, by what a reader and a witness see."""

from collections import Counter
from typing import Any

from dataset_export.destinations.contract import Staged, Store
from dataset_export.export.journal import read_journal
from dataset_export.export.ledger import Delivered
from dataset_export.export.manifest import Manifest
from dataset_export_tests.export.exporter import (
    live_manifests,
    named_files,
    rows_by_manifest,
    staged_files,
    visible_data_files,
)
from dataset_export_tests.places.contract import Place

FOREIGN = (
    "readme.txt",
    "part-00000-tid-1234567890123456789-6ba7b810-9dad-41d1-80b4-00c04fd430c8-123456-1-c000.gz.parquet",
)
"""Names of files that somebody else has put where ours go; the second looks like ours."""
FOREIGN_UPLOAD = "their-unfinished-upload.parquet"


class Watch:
    """A place that somebody else uses too: `folder` (the one that exports write to) holds files and an unfinished upload
    of theirs."""

    def __init__(self, place: Place, folder: str) -> None:
        self.place = place
        self.store: Store = place.store
        self._theirs = {f"{folder}/{name}": f"theirs: {name}".encode() for name in FOREIGN}
        self._upload = f"{folder}/{FOREIGN_UPLOAD}"
        self.store.put("probe", b"")
        [probe] = (name for name in self._names() if name.endswith("probe"))
        self._prefix = probe.removesuffix("probe")
        self.store.delete("probe")
        for path, data in self._theirs.items():
            place.witness.plant(path, data)
        self._unfinished = self._begin_upload()
        self._before = self._names()

    def _begin_upload(self) -> Staged:
        with self.store.stage(self._upload) as upload:
            upload.write(b"theirs")
        return upload.staged

    def _names(self) -> Counter[str]:
        return Counter(self.place.witness.everything())

    def data_files(self) -> set[str]:
        """Paths of visible data files that are not theirs."""
        return visible_data_files(self.store) - set(self._theirs)

    def assert_delivered(self, rows: Counter[Any], recorded: Delivered | None) -> Manifest:
        """P2, P3, P5, P7: exactly these rows, by one manifest, the recorded one, with its files and nothing else of
        ours."""
        manifests = live_manifests(self.store)
        assert len(manifests) == 1
        folder = manifests[0].path.rpartition("/")[0]
        assert [e.path for e in self.store.list(folder) if "manifest-" in e.path] == [manifests[0].path]
        assert rows_by_manifest(self.store) == rows
        assert self.data_files() == named_files(self.store)
        assert recorded is not None
        assert (recorded.manifest_path, recorded.manifest_sha256) == (manifests[0].path, manifests[0].sha256)
        return manifests[0]

    def assert_nothing_visible(self) -> None:
        """P1, P6: no data file and no manifest."""
        assert self.data_files() == set()
        assert live_manifests(self.store) == []

    def assert_swept(self) -> None:
        """P6: what the witness finds is theirs, a delivered file, a manifest, or a journal entry of a delivery; no
        staged byte is ours."""
        manifests = live_manifests(self.store)
        entries = read_journal(self.store)
        assert {entry.run_id for entry in entries} <= {manifest.run_id for manifest in manifests}
        ours = {*named_files(self.store), *(one.path for one in (*manifests, *entries))}
        expected = self._before + Counter(self._prefix + path for path in ours)
        found = self._names()
        # A filesystem's folders are found with what is in them.
        for folder in {name for name in found if any(other.startswith(f"{name}/") for other in expected)}:
            del found[folder], expected[folder]
        assert sorted(found.elements()) == sorted(expected.elements())
        assert staged_files(self.store) == [self._upload]

    def assert_foreign_untouched(self) -> None:
        """P6: their files are as they were, and their upload can still be ended."""
        for path, data in self._theirs.items():
            with self.store.open(path) as stream:
                assert stream.read() == data
        self.store.confirm(self._unfinished)
