"""The packets of SFTP, version 3 (draft-ietf-secsh-filexfer-02), and of OpenSSH's extensions to it (its file PROTOCOL)."""

import enum
import stat
import struct
from typing import NamedTuple

VERSION = 3
OPEN_FOR_READING = 0x01
OPEN_NEW_FOR_WRITING = 0x02 | 0x08 | 0x20
"""Write, create, and fail when there is one."""
NO_ATTRIBUTES = bytes(4)
OK = 0
END_OF_FILE = 1

FEWEST_BYTES = 32 << 10
"""What every server takes in one write and gives in one read."""
MOST_BYTES = 255 << 10
"""What OpenSSH does. Of a server that offers more no more is asked, so that files that share a connection take turns."""
LARGEST_PACKET = 4 << 20

_SIZE, _OWNER, _MODE, _TIMES, _EXTENDED = 0x1, 0x2, 0x4, 0x8, 0x80000000
_UINT32 = struct.Struct(">I")
_UINT64 = struct.Struct(">Q")
_ERRORS = {
    1: "SFTPEOFError",
    2: "SFTPNoSuchFile",
    3: "SFTPPermissionDenied",
    4: "SFTPFailure",
    5: "SFTPBadMessage",
    6: "SFTPNoConnection",
    7: "SFTPConnectionLost",
    8: "SFTPOpUnsupported",
    # Those of later versions, which some servers use in this one too.
    10: "SFTPNoSuchPath",
    11: "SFTPFileAlreadyExists",
    12: "SFTPWriteProtect",
    14: "SFTPNoSpaceOnFilesystem",
    15: "SFTPQuotaExceeded",
    18: "SFTPDirNotEmpty",
    19: "SFTPNotADirectory",
    20: "SFTPInvalidFilename",
    21: "SFTPLinkLoop",
    22: "SFTPCannotDelete",
    23: "SFTPInvalidParameter",
    24: "SFTPFileIsADirectory",
}


class Kind(enum.IntEnum):
    """Types of packets."""

    INIT = 1
    VERSION = 2
    OPEN = 3
    CLOSE = 4
    READ = 5
    WRITE = 6
    LSTAT = 7
    OPENDIR = 11
    READDIR = 12
    REMOVE = 13
    MKDIR = 14
    RMDIR = 15
    STAT = 17
    RENAME = 18
    STATUS = 101
    HANDLE = 102
    DATA = 103
    NAME = 104
    ATTRIBUTES = 105
    EXTENDED = 200
    EXTENDED_REPLY = 201


class Extension(enum.Enum):
    """Requests that OpenSSH added: the name, and the version that is meant here."""

    POSIX_RENAME = ("posix-rename@openssh.com", "1")
    HARD_LINK = ("hardlink@openssh.com", "1")
    SYNC = ("fsync@openssh.com", "1")
    FILESYSTEM = ("statvfs@openssh.com", "2")
    LIMITS = ("limits@openssh.com", "1")


class Status(NamedTuple):
    """What a name is: its mode (as stat has it), size in bytes, last modification (seconds since 1970)."""

    mode: int
    bytes: int
    modified: int

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.mode)

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return stat.S_ISLNK(self.mode)


def uint32(value: int) -> bytes:
    """A number as the protocol has it."""
    return _UINT32.pack(value)


def uint64(value: int) -> bytes:
    """A large number as the protocol has it."""
    return _UINT64.pack(value)


def string(value: bytes) -> bytes:
    """Bytes with their length before them."""
    return uint32(len(value)) + value


def path(value: str) -> bytes:
    """A path of the server. Bytes that are no UTF-8 come and go as surrogates."""
    return string(value.encode("utf-8", "surrogateescape"))


class Fields:
    """The fields of a packet, read one after the other. Raises asyncssh's SFTPConnectionLost when there are too few: what
    comes from then on cannot be understood either."""

    def __init__(self, packet: bytes) -> None:
        self._packet = packet
        self._at = 0

    @property
    def ended(self) -> bool:
        """Whether all were read."""
        return self._at == len(self._packet)

    def uint8(self) -> int:
        """A number of one byte."""
        return self._take(1)[0]

    def uint32(self) -> int:
        """A number."""
        return _UINT32.unpack(self._take(4))[0]

    def uint64(self) -> int:
        """A large number."""
        return _UINT64.unpack(self._take(8))[0]

    def string(self) -> bytes:
        """Bytes."""
        return self._take(self.uint32())

    def path(self) -> str:
        """See `path`."""
        return self.string().decode("utf-8", "surrogateescape")

    def status(self) -> tuple[Status, bool]:
        """The attributes of a file, 0 for those that are not given, and whether all were."""
        given = self.uint32()
        size = self.uint64() if given & _SIZE else 0
        if given & _OWNER:
            self._take(8)
        mode = self.uint32() if given & _MODE else 0
        modified = _UINT32.unpack(self._take(8)[4:])[0] if given & _TIMES else 0
        for _ in range(self.uint32() if given & _EXTENDED else 0):
            self.string()
            self.string()
        wanted = _SIZE | _MODE | _TIMES
        return Status(mode, size, modified), given & wanted == wanted

    def error(self) -> Exception | None:
        """The error of asyncssh that a status packet stands for; None for success."""
        import asyncssh

        code = self.uint32()
        if code == OK:
            return None
        # The texts are missing in what some servers send.
        said = "" if self.ended else self.string().decode("utf-8", "replace")
        if code not in _ERRORS:
            return asyncssh.SFTPError(code, f"{said} (error {code})")
        return getattr(asyncssh, _ERRORS[code])(said)

    def _take(self, size: int) -> bytes:
        import asyncssh

        taken = self._packet[self._at : self._at + size]
        if len(taken) != size:
            raise asyncssh.SFTPConnectionLost("the server sent a packet that is too short")
        self._at += size
        return taken
