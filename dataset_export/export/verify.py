"""Compare a manifest with what is at the destination. Reads only: neither side is ever changed."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from tempfile import SpooledTemporaryFile
from typing import IO, Protocol

from dataset_export.destinations.contract import Store
from dataset_export.encoding.contract import Format
from dataset_export.errors import IntegrityError
from dataset_export.export.manifest import DeliveredFile, Manifest

CHUNK_BYTES = 1 << 20
SPOOL_BYTES = 64 << 20
"""A parquet file up to this size is counted in memory, a larger one on disk."""


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class State(StrEnum):
    """How a delivered file compares with the manifest; the value is the mark in listings."""

    SAME = "="
    MISSING = "-"
    DIFFERENT = "!"


@dataclass(frozen=True)
class Finding:
    """One file of a manifest: its state, what is wrong in words ("" when nothing is), and records counted in it (None
    when it was not read)."""

    file: DeliveredFile
    state: State
    reason: str = ""
    rows: int | None = None


def verify(store: Store, manifest: Manifest, *, deep: bool) -> list[Finding]:
    """Compare every file of a manifest with the destination, in the manifest's order.

    Args:
        store: the destination.
        manifest: what has to be there.
        deep: read every file, compare its SHA-256 and count its records (not those of encrypted files, which only their
            recipients can read); otherwise compare sizes by listing.
    """
    folders = sorted({file.path.rpartition("/")[0] for file in manifest.files})
    sizes = {entry.path: entry.bytes for folder in folders for entry in store.list(folder)}
    form = Format(manifest.document["format"]) if not manifest.encrypted else None

    def look(file: DeliveredFile) -> Finding:
        if file.path not in sizes:
            return Finding(file, State.MISSING, "not at the destination")
        if sizes[file.path] != file.bytes:
            return Finding(file, State.DIFFERENT, f"{sizes[file.path]} bytes, the manifest says {file.bytes}")
        return _read(store, file, form) if deep else Finding(file, State.SAME)

    with ThreadPoolExecutor(4, thread_name_prefix="verify") as pool:
        return list(pool.map(look, manifest.files))


def require_whole(store: Store, manifest: Manifest) -> None:
    """Raise IntegrityError, naming the first file, unless every file is there in its size."""
    wrong = [finding for finding in verify(store, manifest, deep=False) if finding.state is not State.SAME]
    if wrong:
        raise IntegrityError(
            f"{store.uri(manifest.path)} names {len(wrong)} file(s) that are not whole, first {wrong[0].file.name}: "
            f"{wrong[0].reason}; resend this export time"
        )


def _read(store: Store, file: DeliveredFile, form: Format | None) -> Finding:
    """`form` is None for a file whose records cannot be counted."""
    digest = hashlib.sha256()
    with SpooledTemporaryFile(max_size=SPOOL_BYTES) as copy:
        try:
            with closing(store.open(file.path)) as stream:
                for chunk in _chunks(stream):
                    digest.update(chunk)
                    if form is not None:
                        copy.write(chunk)
        except FileNotFoundError:
            return Finding(file, State.MISSING, "not at the destination")
        if digest.hexdigest() != file.sha256:
            return Finding(
                file, State.DIFFERENT, f"its SHA-256 is {digest.hexdigest()}, the manifest says {file.sha256}"
            )
        if form is None:
            return Finding(file, State.SAME)
        copy.seek(0)
        rows = _count(copy, form)
    if rows != file.rows:
        return Finding(file, State.DIFFERENT, f"{rows} records, the manifest says {file.rows}", rows)
    return Finding(file, State.SAME, rows=rows)


def _count(stream: IO[bytes], form: Format) -> int:
    if form is Format.PARQUET:
        import pyarrow.parquet as pq

        return pq.read_metadata(stream).num_rows
    from isal import igzip

    with igzip.IGzipFile(fileobj=stream, mode="rb") as lines:
        return sum(chunk.count(b"\n") for chunk in _chunks(lines))


def _chunks(stream: _Readable) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk
