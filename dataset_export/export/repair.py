"""Repair: deliver again only what is missing or differs, and keep the rest.

A repair is a run of its own (promise P5): it makes the bad files anew under names of its own, and a new manifest that
names them and the good files where they are. Then the old manifest and the bad files go. At each moment a reader who
follows manifests sees every row once (promise P7): before the new manifest the old one counts, afterwards the new one.

What a file holds is known by its ordinal, the number at the beginning of its name: the slice is the recorded one, and the
table's log always gives the same source files for it, in the same order. Files of one ordinal, into which limits have cut
it, are made anew together. That is not taken on trust: row counts have to agree, for all files when the repair is planned
and for those sent again before anything is visible.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from dataset_export.destinations.contract import Store
from dataset_export.errors import IntegrityError, StalePlan
from dataset_export.export.file_names import place_in_export
from dataset_export.export.ledger import Delivered
from dataset_export.export.manifest import DeliveredFile, Manifest, ManifestRef, read_manifest, readable_manifest
from dataset_export.export.verify import State, verify

OWN_TO_A_MANIFEST = frozenset(
    {
        "writer",
        "flowRunId",
        "previousManifest",
        "schemaChange",
        "supersedes",
        "exportResults",
        "size",
        "encryptedManifest",
        "filesExpireAt",
    }
)
"""Keys of a manifest in which a repaired export may differ from the one that it repairs."""


class Depth(StrEnum):
    """How a repair looks for bad files: sizes by listing, or every byte."""

    LISTING = "listing"
    DEEP = "deep"


@dataclass(frozen=True)
class Repair:
    """What a repairing run keeps of an export. Small and picklable.

    Attributes:
        base: the manifest of the export.
        resent: paths in it of the files that are made anew.
    """

    base: ManifestRef
    resent: tuple[str, ...]

    def read_base(self, store: Store) -> Manifest:
        """The manifest of the export. Raises StalePlan when it is no longer what was planned with."""
        manifest = read_manifest(store, self.base.path)
        if manifest is None or manifest.sha256 != self.base.sha256:
            raise StalePlan(
                f"{store.uri(self.base.path)} changed since this repair was planned; nothing was made visible, run it again"
            )
        return manifest


def live_base(store: Store, candidates: Iterable[Delivered]) -> Manifest | None:
    """The manifest of an export as readers see it: the one that no other of `candidates` replaces. None when it is gone
    or was changed, so that nothing of the export can be relied on."""
    found: list[Manifest] = []
    for one in candidates:
        manifest = readable_manifest(store, one.manifest_path)
        if manifest is not None and manifest.sha256 == one.manifest_sha256:
            found.append(manifest)
    superseded = {ref.path for manifest in found for ref in manifest.supersedes}
    return next((manifest for manifest in reversed(found) if manifest.path not in superseded), None)


def bad_files(store: Store, manifest: Manifest, depth: Depth) -> list[DeliveredFile]:
    """Files of a manifest that are missing or differ."""
    findings = verify(store, manifest, deep=depth is Depth.DEEP)
    return [finding.file for finding in findings if finding.state is not State.SAME]


def parts_by_ordinal(paths: Iterable[str]) -> dict[int, list[str]] | None:
    """Paths by their ordinal, the parts of each in their order; None when a name does not say it or two say the same."""
    found: dict[int, dict[int, str]] = {}
    for path in paths:
        place = place_in_export(path.rpartition("/")[2])
        if place is None or found.setdefault(place[0], {}).setdefault(place[1], path) != path:
            return None
    return {ordinal: [parts[part] for part in sorted(parts)] for ordinal, parts in found.items()}


def made_together(manifest: Manifest, paths: Iterable[str]) -> tuple[str, ...]:
    """Some files of a manifest with all others that are parts of the same."""
    parts = parts_by_ordinal(file.path for file in manifest.files) or {}
    wanted = parts_by_ordinal(paths) or {}
    return tuple(path for ordinal in sorted(wanted) for path in parts[ordinal])


def mismatch(
    manifest: Manifest, expected: Mapping[str, object], planned: Mapping[str, int | None], *, all_rows: bool
) -> str | None:
    """Why files of a delivered export cannot be made anew one by one, in words; None when they can.

    Args:
        manifest: of the export.
        expected: keys that its document has to have with these values (format, schema, …).
        planned: path of each file that the same slice gives now to the rows of its sources by the table's log (None: not
            known).
        all_rows: whether a file has all rows of its sources: none is too old, none was in the table before.
    """
    for key, value in expected.items():
        if manifest.document.get(key) != value:
            return f"its {key} was {_short(manifest.document.get(key))} and is now {_short(value)}"
    now = parts_by_ordinal(planned)
    then = parts_by_ordinal(file.path for file in manifest.files)
    if now is None or then is None:
        return "its files' names do not say which part of the slice they hold"
    rows = {file.path: file.rows for file in manifest.files}
    for ordinal, paths in then.items():
        if ordinal not in now or any(_place(path) != _place(now[ordinal][0]) for path in paths):
            return "the same slice gives other files or another folder now"
        known, delivered = planned[now[ordinal][0]], sum(rows[path] for path in paths)
        if known is not None and (delivered != known if all_rows else delivered > known):
            return "the table's log gives other row counts for the same files now"
    empty = [now[ordinal][0] for ordinal in now.keys() - then.keys()]
    if all_rows and any(planned[path] for path in empty):
        return "the same slice gives more files now"
    return None


def repaired_files(base: Manifest, resent: Sequence[str], made: Sequence[DeliveredFile]) -> list[DeliveredFile]:
    """The files of the repaired export: those of `base`, with the ones made anew in the place of the `resent`.

    Raises:
        IntegrityError: when what was made has not the rows that were delivered; nothing is visible yet.
    """
    fresh = parts_by_ordinal(file.path for file in made) or {}
    by_path = {file.path: file for file in (*base.files, *made)}
    files = [file for file in base.files if file.path not in resent]
    for ordinal, paths in (parts_by_ordinal(resent) or {}).items():
        old = [by_path[path] for path in paths]
        new = [by_path[path] for path in fresh.get(ordinal, [])]
        if _content(new) != _content(old):
            raise IntegrityError(
                f"the table gives {_rows(new)} rows for {old[0].name}, of which {_rows(old)} were delivered, or another "
                "range of timestamps; nothing was made visible, `resend` delivers the whole export time anew"
            )
        files += new
    return files


def require_same_export(base: Manifest, repaired: Manifest) -> None:
    """Raise IntegrityError unless two manifests tell of the same rows in the same form."""
    keys = (base.document.keys() | repaired.document.keys()) - OWN_TO_A_MANIFEST
    different = sorted(key for key in keys if base.document.get(key) != repaired.document.get(key))
    if different:
        raise IntegrityError(
            f"{repaired.path}: the declarations have changed since it was delivered ({', '.join(different)}), so its good "
            "files cannot be kept; nothing was made visible, `resend` delivers the whole export time anew"
        )


def _content(files: Sequence[DeliveredFile]) -> tuple[int, datetime | None, datetime | None]:
    moments = [
        datetime.fromisoformat(text)
        for file in files
        for text in (file.first_timestamp, file.last_timestamp)
        if text is not None
    ]
    return _rows(files), min(moments, default=None), max(moments, default=None)


def _rows(files: Iterable[DeliveredFile]) -> int:
    return sum(file.rows for file in files)


def _place(path: str) -> tuple[str, str]:
    folder, _, name = path.rpartition("/")
    place = place_in_export(name)
    return folder, place[2] if place is not None else ""


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
