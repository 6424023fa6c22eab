"""How the bytes of a request go into an SSH connection of asyncssh.

By asyncssh's own `write` every byte is copied ten times, and before every packet of data goes an empty one that it says
to ignore. That protects ciphers in CBC mode, where the next packet's first block would be encrypted with a vector
that everybody has seen (RFC 4251, 9.3.1); ciphers with authentication have no such vector. So for those a whole
request is made into packets here (RFC 4253, 6), encrypted by asyncssh's own cipher, and given to the connection at once.

For that, state of asyncssh's connection and channel is read and moved on that is not part of its public interface. It was
read in the versions of `KNOWN_VERSIONS`; with any other, and whenever the connection is in a state that asyncssh has to deal
with itself (a key exchange, bytes that wait for the server's window), everything goes by `write`.
"""

import os
import time
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from dataset_export.destinations.sftp_packets import uint32

KNOWN_VERSIONS = ("2.24.",)
AUTHENTICATING = frozenset({"aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com"})
"""Ciphers that need no packets to ignore. The length of a packet is not part of what they pad."""
CHANNEL_DATA = b"\x5e"
HEADER_BYTES = 10
"""Of a packet of data: bytes of padding (1), type (1), channel (4), length (4)."""
LEAST_PADDING = 4
MOST_PADDING = 255
SEQUENCE_NUMBERS = 1 << 32

Parts = Sequence["bytes | memoryview"]


class Sender(Protocol):
    """Takes requests for one channel. To be used on the event loop only."""

    def has_room(self, size: int) -> bool:
        """Whether `size` bytes may go now, or would wait here for the server to take what came before."""
        ...

    def send(self, parts: Parts) -> None:
        """Send a request, of any size. Raises OSError when the channel is closed."""
        ...


def sender(connection: Any, channel: Any) -> Sender:
    """What sends into `channel` of the `connection`, which is open and logged in."""
    import asyncssh

    known = asyncssh.__version__.startswith(KNOWN_VERSIONS)
    return DirectSender(connection, channel) if known else LibrarySender(channel)


class LibrarySender:
    """By asyncssh's own way, which keeps what does not fit."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel

    def has_room(self, size: int) -> bool:
        """Always."""
        return True

    def send(self, parts: Parts) -> None:
        """See `Sender`."""
        self._channel.write(b"".join(parts))


class DirectSender:
    """In packets made here, while nothing speaks against it."""

    def __init__(self, connection: Any, channel: Any) -> None:
        self._connection = connection
        self._channel = channel
        # Random once is enough: under these ciphers nobody sees what a packet is padded with.
        self._noise = os.urandom(MOST_PADDING)

    def has_room(self, size: int) -> bool:
        """Whether the server's window has."""
        return self._channel._send_window >= size

    def send(self, parts: Parts) -> None:
        """See `Sender`."""
        size = sum(map(len, parts))
        if self._must_write(size):
            self._channel.write(b"".join(parts))
        else:
            self._connection._send(b"".join(self._packets(parts)))
            self._channel._send_window -= size

    def _must_write(self, size: int) -> bool:
        connection, channel = self._connection, self._channel
        return (
            connection.get_extra_info("send_cipher") not in AUTHENTICATING
            or connection.get_extra_info("send_compression") != "none"
            or channel._send_state != "open"
            or channel._send_buf
            or channel._send_window < size
            or not connection._kex_complete
            or connection._rekey_bytes_sent >= connection._rekey_bytes
            or (connection._rekey_seconds and time.monotonic() >= connection._rekey_time)
        )

    def _packets(self, parts: Parts) -> list[bytes]:
        connection = self._connection
        encryption, block = connection._send_encryption, connection._send_blocksize
        head = CHANNEL_DATA + uint32(self._channel._send_chan)
        packets: list[bytes] = []
        for piece, size in _cut(parts, self._channel._send_pktsize):
            padding = -(HEADER_BYTES + size) % block
            if padding < LEAST_PADDING:
                padding += block
            body = b"".join((bytes((padding,)), head, uint32(size), *piece, self._noise[:padding]))
            packets += encryption.encrypt_packet(connection._send_seq, uint32(len(body)), body)
            connection._send_seq = (connection._send_seq + 1) % SEQUENCE_NUMBERS
            connection._rekey_bytes_sent += len(body)
        return packets


def _cut(parts: Parts, most: int) -> Iterator[tuple[list[memoryview], int]]:
    """The same bytes in pieces of `most`, the last of which may have fewer; each as parts, with its size."""
    piece, room = list[memoryview](), most
    for part in parts:
        rest = memoryview(part)
        while rest:
            piece.append(rest[:room])
            room -= len(piece[-1])
            rest = rest[len(piece[-1]) :]
            if not room:
                yield piece, most
                piece, room = [], most
    if piece:
        yield piece, most - room
