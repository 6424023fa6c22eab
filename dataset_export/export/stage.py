"""Second step of an export: encode the files of a shard and send their bytes so that nothing is visible yet."""

import os
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dataset_export.destinations.contract import CopyingUpload, Staged, Store, Upload
from dataset_export.encoding.contract import Encoded, RowRule, Sink, Source, Target
from dataset_export.encoding.encode import encode_files
from dataset_export.encoding.openpgp import encrypted
from dataset_export.encoding.openpgp_keys import Recipients
from dataset_export.errors import CorruptFile
from dataset_export.export.columns import columns_document, projection_of
from dataset_export.export.dataflow import Dataflow
from dataset_export.export.file_names import part_path
from dataset_export.export.plan import Request
from dataset_export.export.schedule import to_utc
from dataset_export.export.shards import PlannedFile, Shard
from dataset_export.lake.table import FileColumns, SourceFile, Table

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class StagedFile:
    """Receipt of one file: what was encoded, and where its bytes wait. `planned` is the path of the planned file that it is
    a part of, or all of. `staged` is None when none of its rows is delivered (all left out, or none new); such a file does
    not appear at the destination. `encrypted_for` are the
    fingerprints of the keys that its bytes were encrypted for; none when they were not. `columns` is what the manifest
    has to say of columns that are not in it as they are."""

    planned: str
    encoded: Encoded
    staged: Staged | None
    encrypted_for: tuple[str, ...] = ()
    columns: Mapping[str, Any] | None = None


Progress = Callable[[list[StagedFile]], None]


def stage_shard(
    request: Request, upper: int, shard: Shard, store: Store, table: Table, *, progress: Progress | None = None
) -> list[StagedFile]:
    """Stage all files of a shard, several at a time, streaming: memory does not grow with the files.

    Args:
        request: the export.
        upper: version whose schema every delivered file has.
        shard: what to stage.
        store: the destination.
        table: the source.
        progress: called from the worker threads after each planned file, with what became of it.

    Returns:
        Receipts in the order of the shard's files; several for one that the limits of the dataflow make several of.

    Raises:
        StalePlan: when another run has cleared the plan; nothing is sent then.
        LakeError, ConfigError, TransientError, StorageFull: the failed file does not stay at the destination. Others
            that are staged do, for the retry, or for whoever clears this run away.
    """
    request.require_planned(store)
    schema = table.schema(upper)
    columns = columns_document(request.columns, projection_of(request.columns, schema, str(request)))
    target = target_of(request, schema)

    def stage(file: PlannedFile) -> list[StagedFile]:
        made = _stage_file(file, target, upper, store, table, dataflow=request.dataflow)
        receipts = [replace(receipt, columns=columns) for receipt in made]
        if progress is not None:
            progress(receipts)
        return receipts

    workers = min(len(shard.files), os.cpu_count() or 1)
    if workers <= 1:
        return [receipt for file in shard.files for receipt in stage(file)]
    with ThreadPoolExecutor(workers, thread_name_prefix="stage") as pool:
        futures = [pool.submit(stage, file) for file in shard.files]
        try:
            return [receipt for future in futures for receipt in future.result()]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def target_of(request: Request, schema: "pa.Schema") -> Target:
    """What each file of an export has to be; `schema` is the table's at the upper version."""
    return Target(
        encoding=request.dataflow.encoding,
        schema=schema,
        rule=RowRule(timestamp_column=request.dataset.timestamp_column, not_before=request.not_before),
        columns=request.columns.rule(),
    )


def source_of(file: SourceFile, target: Target, table: Table, upper: int) -> Source:
    """A file of the lake as the encoding takes it, with the columns of version `upper`; it is not opened yet."""
    columns = table.file_columns(file, upper)
    return Source(
        open=lambda: table.open(file),
        name=file.path,
        bytes=file.bytes,
        partition=_partition(file, columns),
        whole=_is_whole(file, target.rule),
        old=file.rows if _is_old(file, target.rule) else None,
        selection=None if file.deletes is None and file.only is None else lambda: table.row_selection(file),
        columns=columns,
        origin=lambda: table.origin(file),
    )


def _partition(file: SourceFile, columns: FileColumns | None) -> Mapping[str, str | None]:
    """Partition values that have to be restored, by the table's names."""
    if columns is None:
        return file.partition
    return {columns.partition[name]: value for name, value in file.partition.items() if name in columns.partition}


def _stage_file(
    file: PlannedFile, target: Target, upper: int, store: Store, table: Table, *, dataflow: Dataflow
) -> list[StagedFile]:
    recipients = dataflow.destination.recipients
    limits = dataflow.shape.limits(recipients)
    staged: list[Staged] = []

    @contextmanager
    def open_sink(part: int) -> Generator[Sink]:
        hint = min(file.bytes, limits.bytes or file.bytes)
        with store.stage(part_path(file.path, part), size_hint=hint) as upload, _sink(recipients, upload) as sink:
            yield sink
        staged.append(upload.staged)

    encoded = encode_files(
        [source_of(source, target, table, upper) for source in file.sources],
        target,
        limits,
        open_sink,
        minus=[source_of(source, target, table, upper) for source in file.minus],
    )
    try:
        _check_rows(file, encoded)
    except CorruptFile:
        for one in staged:
            store.discard(one)
        raise
    if not encoded[0].rows:
        for one in staged:
            store.discard(one)
        return [StagedFile(file.path, encoded[0], None)]
    return [
        StagedFile(file.path, part, one, dataflow.destination.encrypted_for)
        for part, one in zip(encoded, staged, strict=True)
    ]


@dataclass(frozen=True)
class _CopyingSink:
    upload: CopyingUpload

    def __call__(self, data: bytes | bytearray | memoryview, /) -> None:
        self.upload.write(data)

    def copies(self, origin: Any) -> None:
        self.upload.copies(origin)


def _sink(recipients: Recipients | None, upload: Upload) -> AbstractContextManager[Sink]:
    if recipients is not None:
        return encrypted(recipients, upload.write)
    return nullcontext(_CopyingSink(upload) if isinstance(upload, CopyingUpload) else upload.write)


def _is_whole(file: SourceFile, rule: RowRule) -> bool:
    if rule.not_before is None:
        return True
    if file.min_timestamp is None:
        return False
    return to_utc(datetime.fromisoformat(file.min_timestamp)) >= rule.not_before


def _is_old(file: SourceFile, rule: RowRule) -> bool:
    if rule.not_before is None or file.max_timestamp is None:
        return False
    return to_utc(datetime.fromisoformat(file.max_timestamp)) < rule.not_before


def _check_rows(file: PlannedFile, encoded: list[Encoded]) -> None:
    expected = file.rows
    found = sum(part.rows + part.excluded + part.carried_over for part in encoded)
    if expected is not None and expected != found:
        names = ", ".join(source.path for source in file.sources[:3])
        raise CorruptFile(f"the table's log says that {names} has {expected} rows, and {found} were read")
