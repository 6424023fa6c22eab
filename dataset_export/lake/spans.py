"""What the files of a folder were, by spans of time in which they were last modified: where the old ones are removed by and by, those that are
kept can still be compared, however many others are gone.

A fingerprint tells which files differ, but only about twenty. So a sum of hashes for each span goes along with it, as a text of
a size that does not grow: all files that were too old to be kept are in the first span.
"""

import struct
from base64 import b64decode, b64encode
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import timedelta
from hashlib import blake2b

from dataset_export.errors import IntegrityError
from dataset_export.lake.fingerprint import Record
from dataset_export.lake.folder_files import DataFile

SPANS = 32
"""For the time that files are kept; one more may be cut by its beginning, another by its end."""

_HEAD = struct.Struct(">QQ")
_SPAN = struct.Struct(">QQ")
_FIELDS = struct.Struct(">QQQ")
_MICROSECOND = timedelta(microseconds=1)


def sums_of(files: Iterable[DataFile], version: int, retention: timedelta) -> str:
    """The spans of a version's files, of which those that are older than `retention` may be removed."""
    width = retention // _MICROSECOND // SPANS
    first = max(0, version - retention // _MICROSECOND) // width
    sums = sorted(_sums(files, width, first).items())
    return b64encode(_HEAD.pack(width, first) + b"".join(_SPAN.pack(*span) for span in sums)).decode()


def only_pruned(text: str, files: Iterable[DataFile], version: int, *, kept_from: int, lower: int) -> bool:
    """Whether files of a version differ from those of `text` in spans alone that begin before version `kept_from` and end with
    version `lower`.

    Raises:
        IntegrityError: when the text is none of spans.
    """
    width, first, before = _parsed(text)
    now = _sums(files, width, first)
    for span in {span for span in before.keys() | now.keys() if before.get(span) != now.get(span)}:
        begin = 0 if span == first else span * width
        end = min((span + 1) * width - 1, version)
        if begin >= kept_from or end > lower:
            return False
    return True


def _sums(files: Iterable[DataFile], width: int, first: int) -> Mapping[int, int]:
    sums: dict[int, int] = defaultdict(int)
    for file in files:
        record = Record.of(file)
        digest = blake2b(_FIELDS.pack(record.path, record.bytes, record.version), digest_size=8).digest()
        span = max(first, file.version // width)
        sums[span] = (sums[span] + int.from_bytes(digest, "big")) % 2**64
    return sums


def _parsed(text: str) -> tuple[int, int, Mapping[int, int]]:
    try:
        data = b64decode(text, validate=True)
        width, first = _HEAD.unpack_from(data)
        return width, first, dict(_SPAN.iter_unpack(data[_HEAD.size :]))
    except (ValueError, struct.error) as error:
        raise IntegrityError("the recorded fingerprint of a folder is none: launch the export in full mode") from error
