"""The deletion vector of every live file at a version of a Delta table, from its newest checkpoint and the commits since.

deltalake tells a version's files and not which vector each has. It is asked all the same: what is found here must be the
same files.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from operator import itemgetter
from typing import Any

from dataset_export.errors import CorruptFile
from dataset_export.lake.deletion_vectors import vector_in_log
from dataset_export.lake.delta_log import LOG, DeltaLog, data_path
from dataset_export.lake.objects import ObjectFolder, RangedFile

# One file, one of several parts, or one with a UUID, which may be JSON (Delta: "V2 Spec").
_CHECKPOINT_NAME = re.compile(
    rf"{LOG}/(?P<version>\d{{20}})\.checkpoint(?:\.(?P<part>\d{{10}})\.(?P<parts>\d{{10}})|\.[0-9a-fA-F-]{{36}})?"
    r"\.(?:parquet|json)"
)
_COLUMNS = ["add.path", "add.deletionVector", "sidecar.path"]

Vectors = dict[str, str | None]
"""Path of a live file to its vector, as `SourceFile.deletes` has it."""


def vectors_at(version: int, objects: ObjectFolder, log: DeltaLog, uri: str) -> Vectors:
    """The live files of a version with their vectors.

    Raises:
        CorruptFile: when a checkpoint cannot be read.
        VersionGone: when a commit since the checkpoint is gone.
    """
    checkpoint, files = _newest_checkpoint(version, objects)
    live: Vectors = {}
    for file in files:
        live.update(_in_checkpoint(file, objects, uri))
    for actions in log.vectors(checkpoint, version):
        for adds, path, vector in sorted(actions, key=itemgetter(0)):
            if adds:
                live[path] = vector
            elif live.get(path) == vector:
                live.pop(path, None)
    return live


def _newest_checkpoint(version: int, objects: ObjectFolder) -> tuple[int, list[str]]:
    """Its version (-1 without one) and its files; one of which parts are missing is none."""
    whole: dict[int, list[str]] = {-1: []}
    parts: dict[tuple[int, int], dict[int, str]] = defaultdict(dict)
    for entry in objects.list(LOG):
        found = _CHECKPOINT_NAME.fullmatch(entry.path)
        if found is None or int(found["version"]) > version:
            continue
        if found["part"] is None:
            whole[int(found["version"])] = [entry.path]
        else:
            parts[int(found["version"]), int(found["parts"])][int(found["part"])] = entry.path
    for (number, count), paths in parts.items():
        if len(paths) == count:
            whole.setdefault(number, list(paths.values()))
    return max(whole.items())


def _in_checkpoint(path: str, objects: ObjectFolder, uri: str) -> Vectors:
    found: Vectors = {}
    for row in _rows(path, objects, uri):
        if (add := row.get("add")) and add.get("path") is not None:
            vector = vector_in_log(add.get("deletionVector"))
            found[data_path(add["path"], uri)] = vector.text if vector else None
        if (sidecar := row.get("sidecar")) and sidecar.get("path") is not None:
            found.update(_in_checkpoint(f"{LOG}/_sidecars/{sidecar['path']}", objects, uri))
    return found


def _rows(path: str, objects: ObjectFolder, uri: str) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if path.endswith(".json"):
            yield from (json.loads(line) for line in objects.read(path).splitlines() if line.strip())
            return
        with pq.ParquetFile(RangedFile(objects, path, objects.head(path).bytes)) as file:
            for batch in file.iter_batches(columns=_COLUMNS):
                for kind in ("add", "sidecar"):
                    if kind in batch.schema.names:
                        present = batch.select([kind]).filter(batch[kind].is_valid())
                        yield from present.to_pylist()
    except (FileNotFoundError, ValueError, pa.ArrowException) as error:
        raise CorruptFile(f"the checkpoint {path} of the table {uri} is gone or damaged: restore it") from error
