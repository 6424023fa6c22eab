"""Receivers of alerts."""

from collections.abc import Iterator

import pytest

from dataset_export_tests.servers.mail import MailServer, running_mail_server
from dataset_export_tests.servers.receiver import Receiver, running_receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A web hook."""
    with running_receiver() as server:
        yield server


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    """A mail server."""
    with running_mail_server() as server:
        yield server
