"""A proxy on loopback between a client and a real server, with faults that tests arm.

HTTP is understood request by request, so that a fault can be meant for one of them. Any other protocol (SSH) is passed
on as bytes that mean nothing; what can go wrong there needs no meaning: broken, slow and refused connections.
"""

import asyncio
import re
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

CHUNK = 1 << 16
HTTP_REQUEST = re.compile(rb"(GET|HEAD|PUT|POST|PATCH|DELETE|OPTIONS) ")
WRITING = frozenset({"PUT", "POST", "PATCH", "DELETE"})
ALL = WRITING | {"GET", "HEAD"}
BODILESS = frozenset({204, 304})
SETTLE_SECONDS = 0.5


@dataclass(frozen=True)
class Request:
    """What a client asked. `arrived` is on the clock of time.monotonic (seconds), `bytes` the length of its body, None
    when that is sent in chunks."""

    method: str
    target: str
    arrived: float
    bytes: int | None


@dataclass(kw_only=True)
class Fault:
    """What happens to the next `times` requests that match, after `skip` that also do.

    Attributes:
        methods: those it is meant for; all that change something by default.
        target: a regular expression, searched for in path and query.
        times: how many requests.
        skip: how many matching requests before them are spared.
        larger: only requests whose body has more bytes.
        struck: those it has hit.
    """

    methods: frozenset[str] = WRITING
    target: str = ""
    times: float = 1
    skip: int = 0
    larger: int = -1
    struck: list[Request] = field(default_factory=list[Request])

    def takes(self, request: Request) -> bool:
        """Whether it hits this request; counts."""
        large = request.bytes is None or request.bytes > self.larger
        if not large or request.method not in self.methods or not re.search(self.target, request.target):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if len(self.struck) >= self.times:
            return False
        self.struck.append(request)
        return True


@dataclass(kw_only=True)
class Answer(Fault):
    """The proxy answers in place of the server, which never hears of the request."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""


@dataclass(kw_only=True)
class LoseAnswer(Fault):
    """The server does what it was asked, and once its whole answer is there the connection is reset."""


@dataclass(kw_only=True)
class Reset(Fault):
    """The connection is reset after `larger` bytes of the request's body went to the server."""


@dataclass
class Cut:
    """For protocols that the proxy does not understand: the connection is reset once `sent` more bytes went to the server
    (over any connection), or in place of the n-th piece that the server sends from now on (`answers`)."""

    sent: float = float("inf")
    answers: float = float("inf")
    done: bool = False


Kind = TypeVar("Kind", bound=Fault)


class Proxy:
    """Made by `running_proxy`. Its methods may be called from any thread.

    Attributes:
        port: where it listens on 127.0.0.1.
        requests: all HTTP requests that arrived, in order.
    """

    def __init__(self, upstream: int, loop: asyncio.AbstractEventLoop) -> None:
        self.port = 0
        self.requests: list[Request] = []
        self._upstream = upstream
        self._loop = loop
        self._faults: list[Fault] = []
        self._cut: Cut | None = None
        self._bytes_per_second = float("inf")
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    def arm(self, fault: Kind) -> Kind:
        """Have this happen to requests from now on. The first of several armed faults that match is what happens."""
        self._faults.append(fault)
        return fault

    def cut(self, cut: Cut) -> Cut:
        """Have one connection cut."""
        self._cut = cut
        return cut

    def slow(self, bytes_per_second: float) -> None:
        """Let no more bytes than this to the server, over each connection."""
        self._bytes_per_second = bytes_per_second

    def disarm(self) -> None:
        """All is well again."""
        self._faults.clear()
        self._cut = None
        self._bytes_per_second = float("inf")

    def down(self) -> None:
        """Reset all connections and refuse new ones."""
        self._wait_for(self._stop())

    def up(self) -> None:
        """Listen again, at the same port."""
        self._wait_for(self._start())

    def _wait_for(self, action: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(action, self._loop).result(10)

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        for writer in list(self._writers):
            reset(writer)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(Bytes(reader), writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: "Bytes", answers: asyncio.StreamWriter) -> None:
        self._writers.add(answers)
        try:
            while first := await client.peek():
                if not HTTP_REQUEST.match(first):
                    await self._pass_on(client, answers)
                    return
                if not await self._request(client, answers):
                    return
        except (OSError, EOFError):
            reset(answers)
        finally:
            self._writers.discard(answers)
            answers.close()

    async def _request(self, client: "Bytes", answers: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether the connection goes on."""
        head = Head(await client.until(b"\r\n\r\n"))
        method, target, _ = head.first.split(" ", 2)
        request = Request(method, target, time.monotonic(), head.length)
        self.requests.append(request)
        fault = next((one for one in self._faults if one.takes(request)), None)
        if isinstance(fault, Answer):
            return await self._answer(fault, request, head, client, answers)
        server, upstream = await self._connect()
        body = self._loop.create_task(self._send(head, client, upstream, fault))
        lost = isinstance(fault, LoseAnswer)
        answer = self._loop.create_task(self._pass_answer(request, server, answers, lost=lost))
        try:
            await asyncio.wait(
                [body] if isinstance(fault, Reset) else [body, answer], return_when=asyncio.FIRST_COMPLETED
            )
            if isinstance(fault, Reset) or (body.done() and body.exception()):
                reset(upstream)
                reset(answers)
                return False
            goes_on = await answer
            await asyncio.wait([body], timeout=SETTLE_SECONDS)  # an answer may come before the body was wanted
            return goes_on and body.done()
        finally:
            for task in (body, answer):
                task.cancel()
            await asyncio.gather(body, answer, return_exceptions=True)
            self._writers.discard(upstream)
            upstream.close()

    async def _answer(
        self, fault: Answer, request: Request, head: "Head", client: "Bytes", answers: asyncio.StreamWriter
    ) -> bool:
        waits = head.value("expect") == "100-continue"
        if not waits:
            async for _ in head.body(client):
                pass
        body = b"" if request.method == "HEAD" else fault.body
        lines = [f"HTTP/1.1 {fault.status} Fault", *(f"{name}: {value}" for name, value in fault.headers.items())]
        lines += [f"Content-Length: {len(body)}", *(["Connection: close"] if waits else [])]
        answers.write("\r\n".join([*lines, "", ""]).encode() + body)
        await answers.drain()
        return not waits

    async def _send(self, head: "Head", client: "Bytes", upstream: asyncio.StreamWriter, fault: Fault | None) -> None:
        upstream.write(head.raw)
        left = fault.larger if isinstance(fault, Reset) else float("inf")
        async for chunk in head.body(client):
            part = chunk[: int(min(left, len(chunk)))]
            left -= len(part)
            await self._write(part, upstream)
            if left <= 0:
                return
        await upstream.drain()

    async def _pass_answer(
        self, request: Request, server: "Bytes", answers: asyncio.StreamWriter, *, lost: bool
    ) -> bool:
        while True:
            head = Head(await server.until(b"\r\n\r\n"))
            status = int(head.first.split(" ", 2)[1])
            if status >= 200:
                break
            answers.write(head.raw)  # 100 Continue: without it the body would never come
        if not lost:
            # An upload session is told where to go on: there through us too.
            here, there = (f"127.0.0.1:{port}".encode() for port in (self.port, self._upstream))
            answers.write(re.sub(rb"(?im)^(location: .*?)" + re.escape(there), rb"\1" + here, head.raw))
        bodiless = request.method == "HEAD" or status in BODILESS
        to_the_end = head.length is not None and head.value("content-length") == ""
        async for chunk in _nothing() if bodiless else server.rest() if to_the_end else head.body(server):
            if not lost:
                answers.write(chunk)
                await answers.drain()
        if lost:
            reset(answers)
        await answers.drain()
        return not (lost or (to_the_end and not bodiless) or head.value("connection").lower() == "close")

    async def _pass_on(self, client: "Bytes", answers: asyncio.StreamWriter) -> None:
        server, upstream = await self._connect()

        async def forward() -> None:
            async for chunk in client.rest():
                if self._cut is not None:
                    self._cut.sent -= len(chunk)
                    if self._cut.sent < 0:
                        raise ConnectionResetError
                await self._write(chunk, upstream)

        async def back() -> None:
            async for chunk in server.rest():
                if self._cut is not None:
                    self._cut.answers -= 1
                    if self._cut.answers < 1:
                        raise ConnectionResetError
                answers.write(chunk)
                await answers.drain()

        ways = [self._loop.create_task(forward()), self._loop.create_task(back())]
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            if any(isinstance(way.exception(), ConnectionResetError) for way in done):
                if self._cut is not None:
                    self._cut.done = True
                    self._cut = None
                reset(answers)
                reset(upstream)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._writers.discard(upstream)
            upstream.close()

    async def _connect(self) -> tuple["Bytes", asyncio.StreamWriter]:
        reader, upstream = await asyncio.open_connection("127.0.0.1", self._upstream)
        self._writers.add(upstream)
        return Bytes(reader), upstream

    async def _write(self, chunk: bytes, upstream: asyncio.StreamWriter) -> None:
        upstream.write(chunk)
        await upstream.drain()
        await asyncio.sleep(len(chunk) / self._bytes_per_second)


class Bytes:
    """What one side of a connection sends. Raises EOFError when it ends too early."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._held = b""

    async def peek(self) -> bytes:
        """What is there, at least one byte; nothing at the end."""
        if not self._held:
            self._held = await self._reader.read(CHUNK)
        return self._held

    async def some(self, most: float = CHUNK) -> bytes:
        """What is there, at most `most` bytes and at least one."""
        if not await self.peek():
            raise EOFError
        most = int(min(most, len(self._held)))
        taken, self._held = self._held[:most], self._held[most:]
        return taken

    async def until(self, mark: bytes) -> bytes:
        """Everything up to and with `mark`."""
        while mark not in self._held:
            more = await self._reader.read(CHUNK)
            if not more:
                raise EOFError
            self._held += more
        taken, _, self._held = self._held.partition(mark)
        return taken + mark

    async def rest(self) -> AsyncIterator[bytes]:
        """Everything that is still to come."""
        while await self.peek():
            yield await self.some()


class Head:
    """First line and header fields of a request or an answer."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.first, *fields = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
        split = [one.partition(":") for one in fields]
        self._values = {name.strip().lower(): value.strip() for name, _, value in split}

    def value(self, name: str) -> str:
        """A field's value, "" without it."""
        return self._values.get(name, "")

    @property
    def length(self) -> int | None:
        """Bytes of the body; None when it comes in chunks."""
        return None if "chunked" in self.value("transfer-encoding").lower() else int(self.value("content-length") or 0)

    async def body(self, source: Bytes) -> AsyncIterator[bytes]:
        """The body as it is on the wire."""
        if self.length is not None:
            left = self.length
            while left:
                chunk = await source.some(left)
                left -= len(chunk)
                yield chunk
            return
        size = -1
        while size:
            line = await source.until(b"\r\n")
            size = int(line.split(b";")[0], 16)
            yield line
            left = size + 2
            while left:
                chunk = await source.some(left)
                left -= len(chunk)
                yield chunk


async def _nothing() -> AsyncIterator[bytes]:
    for chunk in ():
        yield chunk


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST: what was sent and not read is lost."""
    connection: socket.socket | None = writer.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextmanager
def running_proxy(upstream: int) -> Generator[Proxy]:
    """A proxy before the server at port `upstream` of 127.0.0.1, until the block ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="proxy", daemon=True)
    thread.start()
    proxy = Proxy(upstream, loop)
    proxy.up()
    try:
        yield proxy
    finally:
        proxy.down()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
