"""How large the delivered files of a dataflow are (spec S6)."""

from dataclasses import dataclass
from typing import Any

from dataset_export.encoding.contract import Limits
from dataset_export.encoding.openpgp_keys import Recipients
from dataset_export.errors import ConfigError

OVERHEAD_PER = 512
"""OpenPGP adds less than one byte to so many, and less than `OVERHEAD` and the size of the keys to a file."""

OVERHEAD = 1024


@dataclass(frozen=True)
class FileShape:
    """All None: a delivered file for each source file.

    Attributes:
        max_rows_per_file: no file has more rows.
        max_bytes_per_file: no delivered file is larger, but for one whose only row is.
        target_bytes_per_file: source files are merged, in order, as long as they are together no larger than that.
    """

    max_rows_per_file: int | None = None
    max_bytes_per_file: int | None = None
    target_bytes_per_file: int | None = None

    def __post_init__(self) -> None:
        limit, target = self.max_bytes_per_file, self.target_bytes_per_file
        if limit is not None and target is not None and target > limit:
            raise ConfigError(
                f"target_bytes_per_file is {target:,} and max_bytes_per_file {limit:,}: files would be merged and cut again; "
                "take a target that is at most the maximum"
            )

    @property
    def document(self) -> dict[str, Any] | None:
        """As a manifest writes it; None when nothing is set."""
        named = {
            "maxRowsPerFile": self.max_rows_per_file,
            "maxBytesPerFile": self.max_bytes_per_file,
            "targetBytesPerFile": self.target_bytes_per_file,
        }
        return {key: value for key, value in named.items() if value is not None} or None

    def limits(self, recipients: Recipients | None) -> Limits:
        """What a file has to keep to before it is encrypted for `recipients`."""
        size = self.max_bytes_per_file
        if size is not None and recipients is not None:
            size -= size // OVERHEAD_PER + OVERHEAD + sum(map(len, recipients.keys))
        return Limits(self.max_rows_per_file, max(1, size) if size is not None else None)
