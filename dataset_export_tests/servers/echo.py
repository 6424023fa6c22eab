"""Servers that refuse everything and repeat in their answer what they were sent: request line, headers and body.

Each remembers what it was sent to prove who is there (tokens, signatures), so that a test can look for it elsewhere.
"""

import asyncio
import json
import re
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import asyncssh

from dataset_export_tests.servers.certificates import write_certificates

SSH_THREAD = "ssh-echo"
DISCOVERY = "/.well-known/openid-configuration"


class Style(StrEnum):
    """How a service writes its errors."""

    S3 = "s3"
    AZURE_BLOB = "azure_blob"
    DATA_LAKE = "data_lake"
    OAUTH = "oauth"
    """Of an authority that issues tokens. Who asks about itself is told, so that secrets are sent to it."""
    TEXT = "text"
    """Of a gateway that knows nothing of the service behind it."""


@dataclass
class Echo:
    """A running server. `credentials` are those that it saw, `requests` how many came."""

    style: Style
    status: int
    endpoint: str
    ca_bundle: str = ""
    credentials: set[str] = field(default_factory=set[str])
    requests: int = 0

    @property
    def port(self) -> int:
        """Its port on 127.0.0.1."""
        return int(self.endpoint.rpartition(":")[2])


@contextmanager
def running_echo(style: Style, *, status: int = 403, tls: bool = False) -> Iterator[Echo]:
    """Start a server in threads of this process, until the block ends."""
    server = Server(("127.0.0.1", 0), Handler)
    echo = Echo(style, status, f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}")
    with tempfile.TemporaryDirectory(prefix="echo-") as folder:
        if tls:
            write_certificates(Path(folder))
            echo.ca_bundle = f"{folder}/ca.pem"
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(f"{folder}/server.pem", f"{folder}/server.key")
            server.socket = context.wrap_socket(server.socket, server_side=True)
        server.echo = echo
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name=f"echo-{style}")
        thread.start()
        try:
            yield echo
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class Server(ThreadingHTTPServer):
    """Listens; a thread for each connection."""

    daemon_threads = True
    echo: Echo

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that break their connection."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def do_request(self) -> None:
        """Answer one request."""
        assert isinstance(self.server, Server)
        echo = self.server.echo
        echo.requests += 1
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if echo.style is Style.OAUTH and self.path.partition("?")[0].endswith(DISCOVERY):
            self._send(200, {}, json.dumps(self._authority(echo)).encode())
            return
        echo.credentials |= set(credentials_in(self.path, dict(self.headers.items()), body))
        said = f"{self.requestline}\r\n{self.headers}\r\n{body[:2000].decode('utf-8', 'replace')}"
        self._send(echo.status, *written(echo.style, said))

    do_GET = do_HEAD = do_PUT = do_DELETE = do_POST = do_PATCH = do_request

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def _authority(self, echo: Echo) -> dict[str, str]:
        root = echo.endpoint + self.path.partition(DISCOVERY)[0].removesuffix("/v2.0")
        return {
            "issuer": root,
            "authorization_endpoint": f"{root}/oauth2/authorize",
            "token_endpoint": f"{root}/oauth2/token",
        }

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def written(style: Style, said: str) -> tuple[dict[str, str], bytes]:
    """Headers and body of an error answer that says this."""
    if style is Style.TEXT:
        return {"Content-Type": "text/plain"}, said.encode()
    if style is Style.OAUTH:
        return {"Content-Type": "application/json"}, json.dumps(
            {"error": "invalid_client", "error_description": said}
        ).encode()
    code = {"x-ms-error-code": "AuthorizationFailure"}
    if style is Style.DATA_LAKE:
        error = {"error": {"code": "AuthorizationFailure", "message": said}}
        return {**code, "Content-Type": "application/json"}, json.dumps(error).encode()
    name = "AccessDenied" if style is Style.S3 else "AuthorizationFailure"
    xml = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{name}</Code><Message>{escape(said)}</Message></Error>'
    return {**(code if style is Style.AZURE_BLOB else {}), "Content-Type": "application/xml"}, xml.encode()


def credentials_in(path: str, headers: dict[str, str], body: bytes) -> Iterator[str]:
    """What of a request proves who sent it."""
    for name, value in headers.items():
        if name.lower() == "authorization":
            yield re.split(r"Signature=|Bearer |SharedKey [^:]+:", value)[-1]
        if name.lower() in {"x-amz-security-token", "x-ms-copy-source-authorization"}:
            yield value
    yield from re.findall(r"\bassertion=([^&]+)", body.decode("utf-8", "replace"))
    for text in (path, headers.get("x-ms-rename-source", "")):
        yield from map(unquote, re.findall(r"[?&]sig=([^&]+)", text))


@dataclass(frozen=True)
class SSHEcho:
    """A running SSH server that repeats the password when it refuses it."""

    port: int
    fingerprint: str


@contextmanager
def running_ssh_echo() -> Iterator[SSHEcho]:
    """Start it in a thread of this process, until the block ends."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    loop, started, ended = asyncio.new_event_loop(), threading.Event(), threading.Event()
    ports: list[int] = []

    class Login(asyncssh.SSHServer):
        def begin_auth(self, username: str) -> bool:
            return True

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            raise asyncssh.DisconnectError(
                asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE, f"{password} is not the password of {username}"
            )

    async def serve() -> None:
        server = await asyncssh.listen("127.0.0.1", 0, server_host_keys=[key], server_factory=Login)
        ports.append(server.get_port())
        started.set()
        while not ended.is_set():
            await asyncio.sleep(0.02)
        server.close()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), name=SSH_THREAD)
    thread.start()
    try:
        assert started.wait(30)
        yield SSHEcho(ports[0], key.get_fingerprint())
    finally:
        ended.set()
        thread.join()
        loop.close()
