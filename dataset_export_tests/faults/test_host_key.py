"""A server that shows another host key in the middle of an export: the export fails for good, nothing is sent there, and
once the known key is back it is delivered."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from dataset_export.destinations.sftp import SFTPDestination
from dataset_export.errors import AccessDenied
from dataset_export_tests.faults.delivery import Delivery
from dataset_export_tests.places.local import FolderWitness
from dataset_export_tests.places.sftp import place_at
from dataset_export_tests.servers.openssh import OpenSSH, running_openssh

LOGIN = "userauth-request"
"""What its log says of whoever begins to log in."""


@pytest.fixture(scope="module")
def server() -> Iterator[OpenSSH]:
    """It writes down every request to log in."""
    with running_openssh("LogLevel DEBUG1", kinds=["ssh-ed25519"]) as server:
        yield server


def by_fingerprint(server: OpenSSH, _: Path) -> dict[str, str]:
    return {"host_key_fingerprint": server.fingerprint()}


def by_known_hosts(server: OpenSSH, folder: Path) -> dict[str, str]:
    file = folder / "known_hosts"
    file.write_text(server.known_hosts())
    return {"known_hosts": str(file)}


@pytest.mark.parametrize("known", [by_fingerprint, by_known_hosts])
@pytest.mark.parametrize("step", ["stage", "publish"])
def test_p1_p6_other_host_key_from_now_on(
    server: OpenSSH, lake: str, tmp_path: Path, step: str, known: Callable[[OpenSSH, Path], dict[str, str]]
) -> None:
    folder = tmp_path / "delivered"
    through = SFTPDestination(
        host="127.0.0.1",
        port=server.port,
        username=server.username,
        folder=str(folder),
        private_key=server.private_key,
        **known(server, tmp_path),
    ).store()
    delivery = Delivery(place_at(server, str(folder), FolderWitness(folder)), through, lake)
    with ExitStack() as other_keys:

        def change() -> None:
            other_keys.enter_context(server.other_host_keys())
            server.cut_connections()
            server.clear_log()

        with pytest.raises(AccessDenied, match="so nothing was sent") as caught:
            delivery.run(**{step: change})
        heard = server.log()
    assert server.fingerprint() in str(caught.value)
    assert "Connection from 127.0.0.1" in heard
    assert LOGIN not in heard
    delivery.watch.assert_nothing_visible()
    assert LOGIN in server.log()
    delivery.run()
    delivery.assert_delivered()
