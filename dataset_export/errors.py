"""Every error this package raises on purpose, in one tree.

    ExportError                    anything below; the CLI prints one line and exits with `exit_code`
    ├── UsageError          (2)    the question is wrong: an unknown dataflow, an export time that is none of its own
    ├── ConfigError         (1)    what is declared cannot work: a bad template, a missing bucket, refused credentials
    │   ├── AccessDenied           the store answered, and said no
    │   └── NotFound               a table, bucket or folder that has to be there is not
    ├── LakeError           (1)    the source cannot give what was asked
    │   ├── VersionGone            the lower version was vacuumed or its log expired
    │   ├── UnsupportedTable       a table feature that would make us deliver wrong rows
    │   ├── CorruptFile            a data file that cannot be read
    │   └── SchemaChanged          its columns are not those of the last export, and the dataflow wants no others
    ├── StalePlan           (1)    another export was recorded since this one was planned
    ├── Conflict            (1)    something that is not ours has the name we have to write
    ├── IntegrityError      (1)    bytes, counts or checksums differ from what we sent or recorded
    ├── StorageFull         (1)    the destination, or the local disk, has no room
    ├── EntitlementUsed     (1)    the bytes of the licence year are used, up to the threshold that stops exports
    └── TransientError      (1)    network, throttling, 5xx: the same call may work later

`TransientError` is the only one that is retried with back-off (spec S8). `StalePlan` is cured by planning anew,
which the next scheduled attempt does. Everything else stays wrong until a person changes something, and its
message says what.
"""

from typing import ClassVar


class ExportError(Exception):
    """Base of all errors raised on purpose.

    The message is one sentence that names the thing (dataflow, file, bucket) and the way out. `exit_code` is
    what the command line exits with.
    """

    exit_code: ClassVar[int] = 1


class UsageError(ExportError):
    """The request names something that does not exist or may not be asked for."""

    exit_code: ClassVar[int] = 2


class ConfigError(ExportError):
    """What was declared cannot work; nothing was sent."""


class AccessDenied(ConfigError):
    """The store refused the credentials or the operation."""


class NotFound(ConfigError):
    """A table, bucket or folder that must exist does not."""


class LakeError(ExportError):
    """The source table cannot give the slice that was asked for."""


class VersionGone(LakeError):
    """A table version that the slice starts from no longer exists."""


class UnsupportedTable(LakeError):
    """The table uses a feature that this version cannot read without delivering wrong rows."""


class CorruptFile(LakeError):
    """A data file of the table is missing, truncated or not parquet."""


class SchemaChanged(LakeError):
    """The columns to deliver differ from those of the export before, and the dataflow says `on_schema_change: fail`."""


class StalePlan(ExportError):
    """The ledger moved between plan and publish, so the planned slice would lose or repeat rows."""


class Conflict(ExportError):
    """A file that we did not write occupies the name we must write; it is left untouched."""


class IntegrityError(ExportError):
    """What is stored differs in size, count or checksum from what was sent or recorded."""


class StorageFull(ExportError):
    """The destination, or the local disk, has no room left, or a quota is reached."""


class EntitlementUsed(ExportError):
    """So many bytes of the licence year are used that the organization lets no further export start (spec S9)."""


class TransientError(ExportError):
    """A failure of the system, not of the configuration: retried with back-off (spec S8).

    `retry_after` is how many seconds the store asked to be left alone (its Retry-After), or None.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
