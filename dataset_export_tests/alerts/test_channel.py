"""Alerts as real receivers get them: a web hook and a mail server."""

import io
import logging
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dataset_export.alerts import channel as channel_module
from dataset_export.alerts.alert import Alert, Event
from dataset_export.alerts.channel import Channel, send
from dataset_export.errors import ConfigError, TransientError
from dataset_export.secret_refs import SecretRef
from dataset_export_tests.secrets.search import Written, leaks
from dataset_export_tests.servers.mail import PASSWORD, MailServer
from dataset_export_tests.servers.receiver import Receiver
from dataset_export_tests.servers.weed import free_ports

TOKEN = "s3cr3t-t0ken-of-the-web-hook"
FAILED = Alert(
    Event.FAILED,
    ("failed:1",),
    "flow: export of 2026-11-02 02:00 UTC failed",
    "orders, publish: there is no bucket 'b'; make it\nRun 1.",
    datetime(2026, 11, 2, 2, tzinfo=UTC),
)


@pytest.fixture
def channel(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> Channel:
    monkeypatch.setenv("OPS_URL", f"{receiver.url}/{TOKEN}")
    return Channel("ops", SecretRef(env="OPS_URL"))


def test_s8_a_web_hook_gets_title_text_and_kind(channel: Channel, receiver: Receiver) -> None:
    send(channel, FAILED)
    [taken] = receiver.taken
    assert (taken["title"], taken["message"], taken["type"]) == (FAILED.title, FAILED.text, "failure")


def test_s8_a_mail_server_gets_a_mail(mail_server: MailServer, tmp_path: Path) -> None:
    (tmp_path / "url").write_text(mail_server.url + "\n")
    send(Channel("post", SecretRef(file=str(tmp_path / "url"))), FAILED)
    [envelope], [mail] = mail_server.envelopes, mail_server.mails
    assert (envelope.mail_from, envelope.rcpt_tos) == ("exports@acme.test", ["ops@acme.test"])
    assert mail["Subject"] == FAILED.title
    text = "".join(str(part.get_payload(decode=True), "utf-8") for part in mail.walk() if not part.is_multipart())
    assert "there is no bucket" in text
    assert "Run 1." in text


def test_mail_that_is_turned_down(mail_server: MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPS_URL", mail_server.url)
    mail_server.refusing = 1
    with pytest.raises(TransientError, match=r"^channel ops: its receiver "):
        send(Channel("ops", SecretRef(env="OPS_URL")), FAILED)
    assert mail_server.envelopes == []


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500, 503])
def test_an_answer_that_is_an_error_names_its_status(channel: Channel, receiver: Receiver, status: int) -> None:
    receiver.statuses = [status]
    with pytest.raises(TransientError, match=f"^channel ops: its receiver answered with HTTP status {status}$"):
        send(channel, FAILED)
    assert receiver.taken == []


def test_a_receiver_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    [port] = free_ports(1)
    monkeypatch.setenv("OPS_URL", f"json://127.0.0.1:{port}/{TOKEN}")
    with pytest.raises(TransientError, match="could not be reached"):
        send(Channel("ops", SecretRef(env="OPS_URL")), FAILED)


def test_a_receiver_that_breaks_off_may_have_it(channel: Channel, receiver: Receiver) -> None:
    receiver.drop = True
    with pytest.raises(TransientError, match="broke off"):
        send(channel, FAILED)
    assert len(receiver.taken) == 1


def test_a_receiver_that_does_not_answer_is_not_waited_for(
    channel: Channel, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_module, "SEND_SECONDS", 0.5)
    receiver.slow = 60
    began = time.monotonic()
    with pytest.raises(TransientError, match=r"took longer than 0\.5 seconds"):
        send(channel, FAILED)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("url", [f"nonsense-{TOKEN}", f"https//{TOKEN}", f"nosuch://{TOKEN}", "", "json://"])
def test_what_is_no_url_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("OPS_URL", url)
    with pytest.raises(
        ConfigError, match=r"^channel ops: what \{env: OPS_URL\} holds is no URL that Apprise knows"
    ) as caught:
        send(Channel("ops", SecretRef(env="OPS_URL")), FAILED)
    assert TOKEN not in str(caught.value)


def test_a_secret_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OPS_URL", raising=False)
    with pytest.raises(ConfigError, match=r"^channel ops: the environment variable OPS_URL is not set"):
        send(Channel("ops", SecretRef(env="OPS_URL")), FAILED)
    with pytest.raises(ConfigError, match=r"^channel ops: the secret file .*/none cannot be read"):
        send(Channel("ops", SecretRef(file=str(tmp_path / "none"))), FAILED)


def test_no_secret_in_logs_at_any_level_nor_in_errors(
    channel: Channel,
    receiver: Receiver,
    mail_server: MailServer,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MAIL_URL", mail_server.url)
    mail_server.refusing = 1
    monkeypatch.setenv("BAD_URL", f"json//127.0.0.1/{TOKEN}")
    said: list[str] = []
    # Not caplog: it also listens to loggers that hand nothing on.
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        send(channel, FAILED)
        receiver.statuses = [500]
        for one in (channel, Channel("mail", SecretRef(env="MAIL_URL")), Channel("bad", SecretRef(env="BAD_URL"))):
            with pytest.raises((TransientError, ConfigError)) as caught:
                send(one, FAILED)
            said.append(str(caught.value))
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
    out, err = capfd.readouterr()
    written = [Written("log", log.getvalue().encode()), Written("errors", "\n".join(said).encode())]
    written += [Written("stdout", out.encode()), Written("stderr", err.encode())]
    assert leaks(written, [TOKEN, PASSWORD]) == []
