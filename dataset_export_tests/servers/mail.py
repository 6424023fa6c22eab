"""A mail server on loopback (aiosmtpd) that keeps what it takes, with one user, and turns mail down as often as it is told to."""

import email
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from dataset_export_tests.servers.weed import free_ports

USER = "exports"
PASSWORD = secrets.token_urlsafe(16)


class MailServer:
    """A running server. `refusing` is how many of the next mails it turns down; `envelopes` are those that it took."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.refusing = 0
        self.envelopes: list[Envelope] = []

    @property
    def url(self) -> str:
        """For Apprise."""
        return f"mailto://{USER}:{PASSWORD}@127.0.0.1:{self.port}?mode=insecure&from=exports@acme.test&to=ops@acme.test"

    @property
    def mails(self) -> list[Message]:
        return [email.message_from_bytes(envelope.content or b"") for envelope in self.envelopes]  # type: ignore[arg-type]

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Called by aiosmtpd."""
        if self.refusing:
            self.refusing -= 1
            return "451 try again later"
        self.envelopes.append(envelope)
        return "250 taken"

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        """Called by aiosmtpd."""
        assert isinstance(data, LoginPassword)
        return AuthResult(success=data.login == USER.encode() and data.password == PASSWORD.encode())


@contextmanager
def running_mail_server() -> Iterator[MailServer]:
    """Start the server and stop it at the end."""
    [port] = free_ports(1)
    server = MailServer(port)
    controller = Controller(
        server,
        hostname="127.0.0.1",
        port=port,
        authenticator=server.authenticate,
        auth_require_tls=False,
    )
    controller.start()
    try:
        yield server
    finally:
        controller.stop()
