"""What the footers of data files tell: rows and schema. Many are read at once, and none twice: a footer does not change as long as
its file's path, size and modification time do not."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dataset_export.errors import CorruptFile, UnsupportedTable
from dataset_export.lake.folder_files import DataFile
from dataset_export.lake.footer_cache import FooterCache
from dataset_export.lake.location import TableLocation
from dataset_export.lake.objects import ObjectFolder, RangedFile

if TYPE_CHECKING:
    import pyarrow as pa

READERS = 16


@dataclass(frozen=True)
class Facts:
    """What a footer tells: rows, and the schema as an Arrow IPC message, so that equal ones are equal."""

    rows: int
    schema: bytes


class Footers:
    """The footers of the files of one folder."""

    def __init__(self, objects: ObjectFolder, location: TableLocation, cache: FooterCache) -> None:
        self._objects = objects
        self._uri = location.uri
        # The same bucket may be another one at another server.
        servers = (value for name, value in location.storage_options.items() if "ENDPOINT" in name.upper())
        self._place = " ".join([location.uri, *sorted(servers)])
        self._cache = cache
        self._known: dict[DataFile, Facts] = {}

    def of(self, files: Sequence[DataFile]) -> list[Facts]:
        """The facts of files, in their order.

        Raises:
            CorruptFile: for the first that is gone, truncated or not parquet.
            UnsupportedTable: for one that is encrypted.
        """
        wanted = [file for file in files if file not in self._known]
        if wanted:
            self._known |= {file: Facts(*found) for file, found in self._cache.find(self._place, wanted).items()}
        missing = [file for file in wanted if file not in self._known]
        if missing:
            with ThreadPoolExecutor(min(READERS, len(missing)), thread_name_prefix="footers") as pool:
                read = dict(zip(missing, pool.map(self._read, missing), strict=True))
            self._cache.keep(self._place, {file: (facts.rows, facts.schema) for file, facts in read.items()})
            self._known |= read
        return [self._known[file] for file in files]

    def _read(self, file: DataFile) -> Facts:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            reader = RangedFile(self._objects, file.path, file.bytes)
            # Old writers' INT96 holds more years than nanoseconds in 64 bits do.
            with pq.ParquetFile(reader, coerce_int96_timestamp_unit="us", pre_buffer=False) as opened:
                schema = opened.schema_arrow.remove_metadata().serialize().to_pybytes()
                return Facts(opened.metadata.num_rows, schema)
        except (pa.ArrowException, OSError, EOFError) as error:
            if "encrypted" in str(error):
                raise UnsupportedTable(
                    f"the file {file.path} of the folder {self._uri} is encrypted: export a copy that is not"
                ) from error
            raise CorruptFile(
                f"the file {file.path} of the folder {self._uri} is truncated or is not parquet: write it again, or move it "
                "away (what is no data begins with _ or .)"
            ) from error


def schema_in(message: bytes) -> "pa.Schema":
    """The schema of `Facts`."""
    import pyarrow as pa

    return pa.ipc.read_schema(pa.py_buffer(message))
