"""Many requests on their way at once, answers in any order and of any size, and a server that says nothing or nonsense."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import asyncssh
import pytest

from dataset_export.destinations.sftp_client import SFTPClient
from dataset_export.destinations.sftp_packets import Fields, Kind, string, uint32, uint64
from dataset_export.destinations.sftp_sending import Parts


class Server:
    """The other side of a client: takes its requests, and answers when it is told to. `room` is how many bytes it says
    it has room for."""

    def __init__(self, room: float = float("inf")) -> None:
        self.room = room
        self.heard: list[tuple[int, int, Fields]] = []
        self.client = SFTPClient()
        self.client._sender = self
        self.client._offered.set_result(Fields(b""))

    def has_room(self, size: int) -> bool:
        return size <= self.room

    def send(self, parts: Parts) -> None:
        packet = b"".join(parts)
        assert int.from_bytes(packet[:4], "big") == len(packet) - 4
        self.room -= len(packet)
        fields = Fields(packet[4:])
        self.heard.append((fields.uint8(), fields.uint32(), fields))

    def answer(self, kind: int, number: int, body: bytes, *, room: int = 0) -> None:
        self.room += room
        packet = bytes((kind,)) + uint32(number) + body
        self.client.came(uint32(len(packet)) + packet)


def running(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """A test that runs on an event loop, and leaves no task and no error behind."""

    def run() -> None:
        said: list[Any] = []

        async def whole() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
            await asyncio.wait_for(test(), 10)
            assert asyncio.all_tasks() == {asyncio.current_task()}

        asyncio.run(whole())
        assert said == []

    run.__name__ = test.__name__
    return run


def begun(coroutine: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
    return asyncio.ensure_future(coroutine)


async def turns(number: int = 5) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


OK = uint32(0)


@running
async def test_answers_in_any_order() -> None:
    server = Server()
    tasks = [begun(server.client.ask(Kind.MKDIR, bytes([n]))) for n in range(3)]
    await turns()
    for kind, number, _ in reversed(server.heard):
        assert kind == Kind.MKDIR
        server.answer(Kind.STATUS, number, OK if number != 2 else uint32(4) + string(b"Failure"))
    await tasks[0]
    await tasks[2]
    with pytest.raises(asyncssh.SFTPFailure):
        await tasks[1]


@running
async def test_answers_in_pieces_of_any_size() -> None:
    server = Server()
    tasks = [begun(server.client.ask(Kind.OPEN, expect=Kind.HANDLE)) for _ in range(2)]
    await turns()
    whole = b""
    for _, number, _ in server.heard:
        packet = bytes((Kind.HANDLE,)) + uint32(number) + string(b"handle %d" % number)
        whole += uint32(len(packet)) + packet
    for byte in whole:
        server.client.came(bytes((byte,)))
    assert [(await task).string() for task in tasks] == [b"handle 1", b"handle 2"]


@running
async def test_bytes_of_a_write_each_at_its_place() -> None:
    server = Server()
    server.client.most_written = 100
    data = bytes(range(256)) * 5
    task = begun(server.client.write(b"h", data, 1000))
    await turns()
    found, sizes = bytearray(len(data)), list[int]()
    for kind, number, fields in server.heard:
        assert (kind, fields.string()) == (Kind.WRITE, b"h")
        at, piece = fields.uint64() - 1000, fields.string()
        found[at : at + len(piece)] = piece
        sizes.append(len(piece))
        server.answer(Kind.STATUS, number, OK)
    await task
    assert found == data
    assert max(sizes) <= 100
    assert max(sizes) - min(sizes) <= len(sizes)  # no small rest


@running
async def test_nothing_is_written() -> None:
    server = Server()
    await server.client.write(b"h", b"", 0)
    assert server.heard == []


@running
async def test_no_more_is_sent_than_there_is_room_for() -> None:
    server = Server(room=250)
    server.client.most_written = 100
    task = begun(server.client.write(b"h", bytes(500), 0))
    await turns()
    assert len(server.heard) == 1 + 250 // 130 - 1
    sent = 0
    while not task.done():
        _, number, _ = server.heard[sent]
        sent += 1
        server.answer(Kind.STATUS, number, OK, room=130)
        await turns()
    assert sent == 5


@running
async def test_room_that_never_comes_does_not_stop_everything() -> None:
    """A window smaller than one request: asyncssh sends it piece by piece, one request at a time."""
    server = Server(room=10)
    server.client.most_written = 100
    task = begun(server.client.write(b"h", bytes(300), 0))
    await turns()
    for expected in (1, 2, 3):
        assert len(server.heard) == expected
        server.answer(Kind.STATUS, server.heard[-1][1], OK)
        await turns()
    await task


@running
async def test_what_is_given_up_before_it_went_is_not_sent() -> None:
    server = Server(room=150)
    server.client.most_written = 100
    task = begun(server.client.write(b"h", bytes(500), 0))
    other = begun(server.client.ask(Kind.CLOSE))
    await turns()
    assert [kind for kind, _, _ in server.heard] == [Kind.WRITE]
    task.cancel()
    await turns()
    server.answer(Kind.STATUS, server.heard[0][1], OK, room=1000)
    assert [kind for kind, _, _ in server.heard] == [Kind.WRITE, Kind.CLOSE]
    server.answer(Kind.STATUS, server.heard[1][1], OK)
    await other
    with pytest.raises(asyncio.CancelledError):
        await task


@running
async def test_write_that_fails_in_the_middle() -> None:
    server = Server()
    server.client.most_written = 100
    task = begun(server.client.write(b"h", bytes(300), 0))
    await turns()
    for count, (_, number, _) in enumerate(server.heard):
        server.answer(Kind.STATUS, number, uint32(15) + string(b"full") if count == 1 else OK)
    with pytest.raises(asyncssh.SFTPQuotaExceeded):
        await task


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 250, 300])
def test_read_from_a_server_that_gives_few_bytes(size: int) -> None:
    """A short answer is not the end of a file."""
    data = bytes(range(256))[:250]

    @running
    async def test() -> None:
        server = Server()
        server.client.most_read = 100
        task, answered = begun(server.client.read(b"h", size, 0)), 0
        await turns()
        while answered < len(server.heard):
            _, number, fields = server.heard[answered]
            answered += 1
            assert fields.string() == b"h"
            at, wanted = fields.uint64(), fields.uint32()
            piece = data[at : at + min(wanted, 30)]
            kind, body = (Kind.DATA, string(piece)) if piece else (Kind.STATUS, uint32(1))
            server.answer(kind, number, body)
            await turns()
        assert await task == data[:size]

    test()


@running
async def test_everything_fails_when_the_server_is_gone() -> None:
    server = Server(room=150)
    server.client.most_written = 100
    tasks = [begun(server.client.write(b"h", bytes(500), 0)), begun(server.client.ask(Kind.CLOSE))]
    await turns()
    server.client.lost(None)
    for task in [*tasks, begun(server.client.ask(Kind.STAT))]:
        with pytest.raises(asyncssh.SFTPConnectionLost):
            await task
    assert not server.client.alive


def a_packet(kind: int, *fields: bytes) -> bytes:
    packet = bytes((kind,)) + b"".join(fields)
    return uint32(len(packet)) + packet


NONSENSE = {
    "answer to nothing": a_packet(Kind.STATUS, uint32(99), OK),
    "huge packet": uint32(1 << 30) + b"garbage",
    "packet of nothing": uint32(0),
    "second greeting": a_packet(Kind.VERSION, uint32(3)),
    "cut off": a_packet(Kind.HANDLE, uint32(1), uint32(50)),
    "other type": a_packet(Kind.DATA, uint32(1), string(b"x")),
    "success without what was asked for": a_packet(Kind.STATUS, uint32(1), OK),
}


@pytest.mark.parametrize("what", NONSENSE)
def test_nonsense_is_a_broken_connection(what: str) -> None:
    @running
    async def test() -> None:
        server = Server()

        async def open_file() -> bytes:
            return (await server.client.ask(Kind.OPEN, expect=Kind.HANDLE)).string()

        task = begun(open_file())
        await turns()
        server.client.came(NONSENSE[what])
        with pytest.raises(asyncssh.SFTPConnectionLost):
            await task

    test()


@running
async def test_greeting() -> None:
    server = Server()
    server.client._offered = asyncio.get_running_loop().create_future()
    task = begun(server.client._greet())
    await turns()
    server.client.came(a_packet(Kind.VERSION, uint32(3), string(b"limits@openssh.com"), string(b"1")))
    await turns()
    [_, (kind, number, fields)] = server.heard
    assert (kind, fields.string()) == (Kind.EXTENDED, b"limits@openssh.com")
    server.answer(Kind.EXTENDED_REPLY, number, uint64(0) + uint64(50_000) + uint64(1 << 40) + uint64(0))
    await task
    assert (server.client.most_read, server.client.most_written) == (50_000, 255 << 10)


@pytest.mark.parametrize(
    ("said", "what"),
    [(b"This account is closed.", "bytes"), (a_packet(Kind.VERSION, uint32(2)), "version 2 of SFTP")],
)
def test_greeting_of_something_else(said: bytes, what: str) -> None:
    @running
    async def test() -> None:
        server = Server()
        server.client._offered = asyncio.get_running_loop().create_future()
        task = begun(server.client._greet())
        await turns()
        server.client.came(said)
        with pytest.raises(asyncssh.SFTPBadMessage, match=what):
            await task

    test()
