"""SFTP over one channel of an SSH connection: requests out, answers in, many on their way at once.

Errors are asyncssh's. Nothing here decides what to ask, see `sftp_session.py`.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from dataset_export.destinations.sftp_packets import (
    FEWEST_BYTES,
    LARGEST_PACKET,
    MOST_BYTES,
    VERSION,
    Extension,
    Fields,
    Kind,
    string,
    uint32,
    uint64,
)
from dataset_export.destinations.sftp_sending import Sender, sender

if TYPE_CHECKING:
    from asyncssh import SSHClientConnection, SSHClientSession


LENGTH_BYTES = 4
NUMBERS = 1 << 32


class Answer(NamedTuple):
    """What came back for a request: a type of packet, and its fields after the number of the request."""

    kind: int
    fields: Fields


class _Request(NamedTuple):
    number: int
    parts: "Sequence[bytes | memoryview]"
    size: int
    answer: "asyncio.Future[Answer]"


class SFTPClient:
    """The client of one server; see `begin`. To be used on its event loop only, by several tasks at once.

    Attributes:
        heard: when the server said something last, by the clock of the event loop.
        most_read: how many bytes it gives in one answer.
        most_written: how many it takes in one request.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._offered: asyncio.Future[Fields] = self._loop.create_future()
        self._answers: dict[int, asyncio.Future[Answer]] = {}
        self._waiting: deque[_Request] = deque()
        self._sender: Sender | None = None
        self._came = bytearray()
        self._extensions: set[bytes] = set()
        self._last_number = 0
        self._unanswered = 0
        self._lost: Exception | None = None
        self.heard = self._loop.time()
        self.most_read = FEWEST_BYTES
        self.most_written = FEWEST_BYTES

    @classmethod
    async def begin(cls, connection: "SSHClientConnection") -> "SFTPClient":
        """A client on a new channel of `connection`. Raises asyncssh's errors."""
        client = cls()
        channel, _ = await connection.create_session(lambda: _channel_session(client), subsystem="sftp", encoding=None)
        client._sender = sender(connection, channel)
        await client._greet()
        return client

    @property
    def alive(self) -> bool:
        """Whether requests may be answered."""
        return self._lost is None

    def offers(self, extension: Extension) -> bool:
        """Whether the server has this request."""
        name, version = extension.value
        return f"{name} {version}".encode() in self._extensions

    async def ask(self, kind: Kind, *fields: bytes, expect: Kind = Kind.STATUS) -> Fields:
        """Make one request. Returns the fields of its answer, which is of the type `expect`.

        Raises:
            asyncssh.SFTPError: what the server says instead, or that it is gone.
        """
        return _expected(await self._begin(kind, *fields), expect)

    async def ask_extended(self, extension: Extension, *fields: bytes, expect: Kind = Kind.STATUS) -> Fields:
        """As `ask`. Raises SFTPOpUnsupported for what the server does not offer, before anything is sent."""
        import asyncssh

        name, _ = extension.value
        if not self.offers(extension):
            raise asyncssh.SFTPOpUnsupported(f"the server does not offer {name}")
        return await self.ask(Kind.EXTENDED, string(name.encode()), *fields, expect=expect)

    async def write(self, handle: bytes, data: bytes | bytearray, offset: int) -> None:
        """Write `data` to an open file at `offset`, by several requests. Raises as `ask` does."""
        view, size = memoryview(data), _even_size(len(data), self.most_written)
        pieces = [(at, view[at : at + size]) for at in range(0, len(data), size)]
        answers = await asyncio.gather(
            *(
                self._begin(Kind.WRITE, string(handle), uint64(offset + at), uint32(len(piece)), piece)
                for at, piece in pieces
            )
        )
        for answer in answers:
            _expected(answer, Kind.STATUS)

    async def read(self, handle: bytes, size: int, offset: int) -> bytes:
        """Up to `size` bytes of an open file from `offset`, by several requests; fewer at its end. Raises as `ask` does."""
        most = _even_size(size, self.most_read)
        starts = range(0, size, most)
        pieces = await asyncio.gather(*(self._read_piece(handle, min(most, size - at), offset + at) for at in starts))
        ended = (number for number, piece in enumerate(pieces, 1) if len(piece) < most)
        return b"".join(pieces[: next(ended, None)])

    def came(self, data: bytes) -> None:
        """Bytes of the server, as the channel has them."""
        self.heard = self._loop.time()
        self._came += data
        at, held = 0, len(self._came)
        while held - at >= LENGTH_BYTES:
            begin = at + LENGTH_BYTES
            size = int.from_bytes(self._came[at:begin], "big")
            if size > LARGEST_PACKET:
                self._not_understood(f"a packet of {size} bytes")
                return
            if held - begin < size:
                break
            self._take(bytes(self._came[begin : begin + size]))
            at = begin + size
        del self._came[:at]
        self._send_waiting()

    def lost(self, error: Exception | None) -> None:
        """The channel is closed: nothing is answered any more."""
        import asyncssh

        self._lost = self._lost or error or asyncssh.SFTPConnectionLost("the server ended the session")
        unanswered = [self._offered, *self._answers.values(), *(one.answer for one in self._waiting)]
        self._answers.clear()
        self._waiting.clear()
        for answer in unanswered:
            if not answer.done():
                answer.set_exception(self._lost)
        self._offered.exception()  # whoever begins may have been told already

    async def _greet(self) -> None:
        import asyncssh

        self._send((uint32(5), bytes((Kind.INIT,)), uint32(VERSION)))
        offered = await self._offered
        if (version := offered.uint32()) != VERSION:
            raise asyncssh.SFTPBadMessage(f"the server speaks version {version} of SFTP")
        while not offered.ended:
            self._extensions.add(offered.string() + b" " + offered.string())
        if self.offers(Extension.LIMITS):
            limits = await self.ask_extended(Extension.LIMITS, expect=Kind.EXTENDED_REPLY)
            _, read, written, _ = (limits.uint64() for _ in range(4))
            self.most_read = min(read or FEWEST_BYTES, MOST_BYTES)
            self.most_written = min(written or FEWEST_BYTES, MOST_BYTES)

    def _begin(self, kind: Kind, *fields: bytes | memoryview) -> "asyncio.Future[Answer]":
        answer: asyncio.Future[Answer] = self._loop.create_future()
        if self._lost is not None:
            answer.set_exception(self._lost)
            return answer
        self._last_number = number = (self._last_number + 1) % NUMBERS
        head = bytes((kind,)) + uint32(number)
        size = len(head) + sum(map(len, fields))
        self._waiting.append(_Request(number, (uint32(size) + head, *fields), LENGTH_BYTES + size, answer))
        self._send_waiting()
        return answer

    def _send_waiting(self) -> None:
        """Send what waits, in its order, as far as the server's window goes. When nothing is on its way, and so nothing
        will be heard that would make room, the next one goes in any case."""
        while self._waiting and (not self._unanswered or self._ready.has_room(self._waiting[0].size)):
            request = self._waiting.popleft()
            if request.answer.done():
                continue  # given up
            self._answers[request.number] = request.answer
            self._unanswered += 1
            self._send(request.parts)

    def _send(self, parts: "Sequence[bytes | memoryview]") -> None:
        import asyncssh

        try:
            self._ready.send(parts)
        except OSError as error:
            self.lost(asyncssh.SFTPConnectionLost(str(error)))

    def _take(self, packet: bytes) -> None:
        import asyncssh

        fields = Fields(packet)
        try:
            kind = fields.uint8()
            if kind == Kind.VERSION and not self._offered.done():
                self._offered.set_result(fields)
                return
            answer = self._answers.pop(fields.uint32())
        except (asyncssh.SFTPConnectionLost, KeyError):
            self._not_understood("an answer to nothing that was asked")
            return
        self._unanswered -= 1
        if not answer.done():
            answer.set_result(Answer(kind, fields))

    def _not_understood(self, what: str) -> None:
        """Whoever sends something else before the first word of SFTP does not speak it; later it is a broken connection."""
        import asyncssh

        kind = asyncssh.SFTPConnectionLost if self._offered.done() else asyncssh.SFTPBadMessage
        self.lost(kind(f"the server sent {what}"))

    async def _read_piece(self, handle: bytes, size: int, offset: int) -> bytes:
        """A server may answer with fewer bytes than there are."""
        import asyncssh

        pieces = list[bytes]()
        while size:
            try:
                fields = await self.ask(Kind.READ, string(handle), uint64(offset), uint32(size), expect=Kind.DATA)
            except asyncssh.SFTPEOFError:
                break
            piece = fields.string()
            pieces.append(piece)
            size -= len(piece)
            offset += len(piece)
        return b"".join(pieces)

    @property
    def _ready(self) -> Sender:
        if self._sender is None:
            raise RuntimeError("the channel is not open yet")
        return self._sender


def _even_size(size: int, most: int) -> int:
    """The size of pieces of about the same size, so that none is a small rest."""
    pieces = -(-size // most)
    return -(-size // pieces) if pieces else most


def _expected(answer: Answer, kind: Kind) -> Fields:
    import asyncssh

    if answer.kind == Kind.STATUS and (error := answer.fields.error()) is not None:
        raise error
    if answer.kind != kind:
        raise asyncssh.SFTPConnectionLost(f"the server sent a packet of type {answer.kind} as an answer")
    return answer.fields


def _channel_session(client: SFTPClient) -> "SSHClientSession[Any]":
    import asyncssh

    class Session(asyncssh.SSHClientSession[Any]):
        def data_received(self, data: Any, datatype: Any) -> None:
            if datatype is None:  # else it is what the server's side writes to its standard error
                client.came(data)

        def eof_received(self) -> bool:
            client.lost(None)
            return False

        def connection_lost(self, exc: Exception | None) -> None:
            client.lost(exc)

    return Session()
