"""What is particular to SFTP: dialects, host keys, lost connections, full disks."""

import hashlib
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncssh
import pytest

from dataset_export.destinations.contract import Staged
from dataset_export.destinations.retry import TRIES
from dataset_export.destinations.sftp import SFTPDestination, SFTPStore
from dataset_export.errors import AccessDenied, ConfigError, Conflict, IntegrityError, StorageFull, TransientError
from dataset_export_tests.destinations.contents import read, stage
from dataset_export_tests.destinations.sftp_stores import at_openssh, files
from dataset_export_tests.servers import asyncssh_server, proftpd
from dataset_export_tests.servers.asyncssh_server import AsyncSSHServer, running_asyncssh_server
from dataset_export_tests.servers.openssh import PASSPHRASE, OpenSSH
from dataset_export_tests.servers.proftpd import ProFTPD, running_proftpd
from dataset_export_tests.servers.weed import free_ports

MIB = 1 << 20


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataset_export.destinations.retry.FIRST_WAIT_SECONDS", 0.01)


@pytest.fixture(scope="module")
def pro() -> Iterator[ProFTPD]:
    with running_proftpd() as server:
        yield server


@pytest.fixture
def own(tmp_path: Path) -> Iterator[AsyncSSHServer]:
    (tmp_path / "served").mkdir()
    with running_asyncssh_server(tmp_path / "served") as server:
        yield server


def pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return  # the other side has gone


def at_own(server: AsyncSSHServer, password: str = asyncssh_server.PASSWORD) -> SFTPStore:
    destination = SFTPDestination(
        host="127.0.0.1", port=server.port, username=asyncssh_server.USERNAME, folder="/in", password=password,
        host_key_fingerprint=server.fingerprint, max_connections=2,
    )  # fmt: skip
    store = destination.store()
    assert isinstance(store, SFTPStore)
    return store


def at_proftpd(server: ProFTPD, folder: str) -> SFTPStore:
    destination = SFTPDestination(
        host="127.0.0.1", port=server.port, username=proftpd.USERNAME, folder=folder, password=proftpd.PASSWORD,
        host_key_fingerprint=server.fingerprint,
    )  # fmt: skip
    store = destination.store()
    assert isinstance(store, SFTPStore)
    return store


class TestDialects:
    """The protocol of a delivery, at servers that are not OpenSSH."""

    @pytest.fixture(params=["proftpd", "without extensions"])
    def served(self, request: pytest.FixtureRequest, tmp_path: Path) -> tuple[SFTPStore, Path]:
        if request.param == "proftpd":
            pro: ProFTPD = request.getfixturevalue("pro")
            return at_proftpd(pro, tmp_path.name), pro.folder / tmp_path.name
        own: AsyncSSHServer = request.getfixturevalue("own")
        return at_own(own), own.folder / "in"

    def test_p1_p4_p6_delivery(self, served: tuple[SFTPStore, Path]) -> None:
        store, folder = served
        store.check()
        assert not folder.exists()
        data = hashlib.shake_256(b"seed").digest(3 * MIB + 5)
        staged = stage(store, "a/ü b/file", data)
        assert list(store.list("")) == []
        assert [one.path for one in store.leftovers()] == ["a/ü b/file"]
        store.confirm(staged)
        for _ in range(2):
            store.publish(staged)
        store.confirm(staged)
        assert read(store, "a/ü b/file") == data
        store.put("a/m.json", b"{}")
        store.put("a/m.json", b"{}")
        with pytest.raises(Conflict):
            store.put("a/m.json", b"[]")
        again = stage(store, "a/ü b/file", b"other")
        with pytest.raises(Conflict):
            store.publish(again)
        store.discard(again)
        with pytest.raises(IntegrityError):
            store.publish(stage_and_discard(store, "b/gone"))
        assert [(one.path, one.bytes) for one in store.list("")] == [("a/m.json", 2), ("a/ü b/file", len(data))]
        assert files(folder) == ["a/m.json", "a/ü b/file"]
        store.delete("a/ü b/file")
        store.delete("a/m.json")
        assert list(folder.iterdir()) == []

    def test_leftover_is_replaced_and_discarded(self, served: tuple[SFTPStore, Path]) -> None:
        store, folder = served
        stage(store, "file", b"first try")
        stage(store, "file", b"second")
        [leftover] = store.leftovers()
        assert leftover.bytes == 6
        store.discard_leftover(leftover)
        assert files(folder) == []

    def test_only_one_of_many_wins(self, served: tuple[SFTPStore, Path]) -> None:
        store, _ = served

        def attempt(number: int) -> int:
            try:
                store.put("m.json", b"%d" % number)
            except Conflict:
                return 0
            return 1

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(attempt, range(4))) == 1

    def test_p2_replace_is_atomic_or_refused(self, served: tuple[SFTPStore, Path]) -> None:
        store, folder = served
        store.put("m.json", b"{}", replace=True)
        store.put("m.json", b"{}", replace=True)
        if folder.parent.name == "home":
            store.put("m.json", b"[]", replace=True)
            assert read(store, "m.json") == b"[]"
        else:
            with pytest.raises(ConfigError, match="posix-rename"):
                store.put("m.json", b"[]", replace=True)
            assert read(store, "m.json") == b"{}"
        assert files(folder) == ["m.json"]


def stage_and_discard(store: SFTPStore, path: str) -> Staged:
    staged = stage(store, path, b"rows")
    store.discard(staged)
    return staged


class TestServerWithoutSafeNames:
    def test_rename_that_replaces_is_refused_before_anything_is_sent(self, own: AsyncSSHServer) -> None:
        own.behaviour.rename_replaces = True
        store = at_own(own)
        for attempt in (lambda: stage(store, "file", b"rows"), lambda: store.put("m.json", b"{}")):
            with pytest.raises(ConfigError, match="replaces files"):
                attempt()
        assert files(own.folder) == []


class TestLostConnections:
    def test_p4_rename_done_and_answer_lost(self, own: AsyncSSHServer) -> None:
        store = at_own(own)
        staged = stage(store, "file", b"rows")
        lost = once(own.cut_connections)
        own.behaviour.after_rename = lost
        store.publish(staged)
        assert lost.done
        assert read(store, "file") == b"rows"
        assert list(store.leftovers()) == []

    def test_p2_put_done_and_answer_lost(self, own: AsyncSSHServer) -> None:
        store = at_own(own)
        store.put("first", b"")
        lost = once(own.cut_connections)
        own.behaviour.after_rename = lost
        store.put("m.json", b"{}")
        assert lost.done
        assert read(store, "m.json") == b"{}"

    def test_p6_mid_file(self, openssh: OpenSSH, tmp_path: Path) -> None:
        store = at_openssh(openssh, tmp_path)
        upload = store.stage("file")

        def cut_inside() -> None:
            with upload:
                upload.write(bytes(4 * MIB))
                assert openssh.cut_connections()
                upload.write(bytes(32 * MIB))

        with pytest.raises(TransientError):
            cut_inside()
        assert files(tmp_path) == []
        staged = stage(store, "file", b"rows")
        store.publish(staged)
        assert read(store, "file") == b"rows"

    def test_reading_goes_on(self, openssh: OpenSSH, tmp_path: Path) -> None:
        store = at_openssh(openssh, tmp_path)
        data = hashlib.shake_256(b"seed").digest(12 * MIB)
        (tmp_path / "file").write_bytes(data)
        with store.open("file") as stream:
            start = stream.read(MIB)
            assert openssh.cut_connections()
            assert start + stream.read() == data

    def test_reading_a_file_that_was_replaced_meanwhile(self, openssh: OpenSSH, tmp_path: Path) -> None:
        store = at_openssh(openssh, tmp_path)
        (tmp_path / "file").write_bytes(bytes(12 * MIB))
        with store.open("file") as stream:
            stream.read(MIB)
            assert openssh.cut_connections()
            (tmp_path / "file").write_bytes(bytes(13 * MIB))
            with pytest.raises(IntegrityError, match="read it again"):
                stream.read()

    def test_server_that_goes_away_before_it_shows_the_pinned_key_is_no_changed_key(
        self, openssh: OpenSSH, tmp_path: Path
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as pool:

            def first_one_only() -> None:
                client, _ = listening.accept()
                with client, socket.create_connection(("127.0.0.1", openssh.port)) as server:
                    back = threading.Thread(target=pump, args=(server, client))
                    back.start()
                    pump(client, server)
                    back.join()
                while True:
                    try:
                        listening.accept()[0].close()
                    except OSError:
                        return

            serving = pool.submit(first_one_only)
            store = at_openssh(
                openssh,
                tmp_path,
                port=listening.getsockname()[1],
                host_key_fingerprint=openssh.fingerprint("ssh-rsa"),
            )
            try:
                with pytest.raises(TransientError):
                    store.check()
            finally:
                listening.shutdown(socket.SHUT_RDWR)
                serving.result(10)

    def test_nobody_listens(self, openssh: OpenSSH, tmp_path: Path) -> None:
        with pytest.raises(TransientError, match="can be reached"):
            at_openssh(openssh, tmp_path, port=free_ports(1)[0]).check()

    def test_connections_are_bounded_and_closed(self, openssh: OpenSSH, tmp_path: Path) -> None:
        openssh.cut_connections()
        store = at_openssh(openssh, tmp_path, max_connections=2)
        names = [f"part-{number}" for number in range(6)]
        begin = threading.Barrier(len(names))

        def deliver(name: str) -> int:
            with store.stage(name) as upload:
                begin.wait()
                upload.write(name.encode())
                connections = len(openssh.sessions())
            store.publish(upload.staged)
            return connections

        with ThreadPoolExecutor(len(names)) as pool:
            assert set(pool.map(deliver, names)) == {2}
        assert [one.path for one in store.list("")] == names


class Once:
    """Does something at the first call."""

    def __init__(self, do: Callable[[], object]) -> None:
        self._do = do
        self.done = False

    def __call__(self, *_: object) -> None:
        if not self.done:
            self.done = True
            self._do()


def once(do: Callable[[], object]) -> Once:
    return Once(do)


def test_p4_worker_that_lives_on_does_not_write_into_the_file_of_the_next(openssh: OpenSSH, tmp_path: Path) -> None:
    first, second = at_openssh(openssh, tmp_path), at_openssh(openssh, tmp_path)
    with first.stage("file") as upload:
        upload.write(b"old")
        staged = stage(second, "file", b"new")
        upload.write(bytes(9 * MIB))
        second.confirm(staged)
        second.publish(staged)
    assert (tmp_path / "file").read_bytes() == b"new"


class TestHostKeys:
    @pytest.mark.parametrize("kind", ["ssh-ed25519", "ssh-rsa"])
    def test_any_of_the_servers_keys_may_be_pinned(self, openssh: OpenSSH, tmp_path: Path, kind: str) -> None:
        at_openssh(openssh, tmp_path, host_key_fingerprint=openssh.fingerprint(kind)).check()

    def test_known_hosts(self, openssh: OpenSSH, tmp_path: Path) -> None:
        known = tmp_path / "known_hosts"
        known.write_text(openssh.known_hosts())
        at_openssh(openssh, tmp_path, host_key_fingerprint=None, known_hosts=str(known)).check()

    def test_changed_key_of_known_hosts(self, openssh: OpenSSH, tmp_path: Path) -> None:
        other = asyncssh.generate_private_key("ecdsa-sha2-nistp256")
        known = tmp_path / "known_hosts"
        known.write_text(f"[127.0.0.1]:{openssh.port} {other.export_public_key().decode()}")
        store = at_openssh(openssh, tmp_path, host_key_fingerprint=None, known_hosts=str(known))
        with pytest.raises(AccessDenied) as caught:
            store.check()
        assert other.get_fingerprint() in str(caught.value)
        assert openssh.fingerprint() in str(caught.value) or openssh.fingerprint("ssh-rsa") in str(caught.value)
        assert known.read_text().count("\n") == 1  # nothing was added

    def test_changed_key_of_a_fingerprint(self, openssh: OpenSSH, tmp_path: Path) -> None:
        other = asyncssh.generate_private_key("ssh-ed25519").get_fingerprint()
        with pytest.raises(AccessDenied) as caught:
            at_openssh(openssh, tmp_path, host_key_fingerprint=other).check()
        assert other in str(caught.value)
        assert openssh.fingerprint() in str(caught.value)

    def test_host_that_the_file_does_not_know(self, openssh: OpenSSH, tmp_path: Path) -> None:
        (tmp_path / "known_hosts").write_text("")
        store = at_openssh(openssh, tmp_path, host_key_fingerprint=None, known_hosts=str(tmp_path / "known_hosts"))
        with pytest.raises(AccessDenied, match="has no key of"):
            store.check()

    def test_missing_file(self, openssh: OpenSSH, tmp_path: Path) -> None:
        store = at_openssh(openssh, tmp_path, host_key_fingerprint=None, known_hosts=str(tmp_path / "no"))
        with pytest.raises(ConfigError, match="cannot be read"):
            store.check()

    @pytest.mark.parametrize("given", [{}, {"known_hosts": "x", "host_key_fingerprint": "SHA256:" + "A" * 43}])
    def test_exactly_one_is_required(self, given: dict[str, str]) -> None:
        with pytest.raises(ConfigError, match="exactly one"):
            SFTPDestination(host="h", username="u", password="p", **given).store()

    def test_fingerprint_that_is_none(self) -> None:
        with pytest.raises(ConfigError, match="SHA256:"):
            SFTPDestination(host="h", username="u", password="p", host_key_fingerprint="MD5:aa:bb").store()


class TestCredentials:
    def test_wrong_password_and_no_secret_in_any_error(self, own: AsyncSSHServer) -> None:
        with pytest.raises(AccessDenied, match="check the username and the password") as caught:
            at_own(own, "wrong-marked-secret").check()
        texts = repr(caught.value) + repr(caught.value.__cause__) + repr(caught.value.__context__)
        assert "marked-secret" not in texts

    def test_a_login_that_fails_behind_a_pinned_key_of_another_kind_is_no_changed_key(
        self, openssh: OpenSSH, tmp_path: Path
    ) -> None:
        store = at_openssh(
            openssh, tmp_path, host_key_fingerprint=openssh.fingerprint("ssh-rsa"), private_key=openssh.other_key
        )
        with pytest.raises(AccessDenied, match="check the username") as caught:
            store.check()
        assert "host key" not in str(caught.value)

    def test_encrypted_key(self, openssh: OpenSSH, tmp_path: Path) -> None:
        at_openssh(openssh, tmp_path, private_key=openssh.encrypted_key, passphrase=PASSPHRASE).check()

    @pytest.mark.parametrize("passphrase", ["wrong-marked-secret", None])
    def test_encrypted_key_that_does_not_open(self, openssh: OpenSSH, tmp_path: Path, passphrase: str | None) -> None:
        store = at_openssh(openssh, tmp_path, private_key=openssh.encrypted_key, passphrase=passphrase)
        with pytest.raises(ConfigError, match="passphrase") as caught:
            store.check()
        assert "marked-secret" not in repr(caught.value)
        assert "PRIVATE" not in repr(caught.value)

    def test_key_that_is_none(self, openssh: OpenSSH, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="cannot be read") as caught:
            at_openssh(openssh, tmp_path, private_key="marked-secret").check()
        assert "marked-secret" not in repr(caught.value) + repr(caught.value.__context__)

    def test_key_from_a_file(self, openssh: OpenSSH, tmp_path: Path) -> None:
        at_openssh(openssh, tmp_path, private_key=f"{{file: {openssh.folder / 'client'}}}").check()

    def test_store_shows_no_secret(self, own: AsyncSSHServer) -> None:
        assert asyncssh_server.PASSWORD not in repr(vars(at_own(own)._calls.connections))


class TestFull:
    def test_quota_by_what_the_server_says(self, own: AsyncSSHServer) -> None:
        def refuse(offset: int) -> None:
            if offset >= MIB:
                raise asyncssh.SFTPFailure("quota exceeded")

        own.behaviour.before_write = refuse
        store = at_own(own)
        with pytest.raises(StorageFull, match="raise the quota"):
            stage(store, "file", bytes(4 * MIB))
        assert files(own.folder) == []

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small disk")
    def test_disk(self, openssh: OpenSSH, tmp_path: Path) -> None:
        disk = tmp_path / "disk"
        disk.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(disk)], check=False).returncode:
            pytest.skip("nothing may be mounted here")
        try:
            store = at_openssh(openssh, disk)
            with pytest.raises(StorageFull, match="free some space"):
                stage(store, "file", bytes(16 * MIB))
            assert files(disk) == []
            store.publish(stage(store, "file", bytes(MIB)))
            del store
        finally:
            subprocess.run(["umount", "--lazy", str(disk)], check=True)


class TestFolder:
    def test_link_that_leads_out_is_refused(self, openssh: OpenSSH, tmp_path: Path) -> None:
        outside, inside = tmp_path / "outside", tmp_path / "inside"
        outside.mkdir()
        inside.mkdir()
        (outside / "precious").write_bytes(b"theirs")
        (inside / "link").symlink_to(outside)
        store = at_openssh(openssh, inside)
        for call in (
            lambda: store.put("link/m.json", b""),
            lambda: store.open("link/precious"),
            lambda: store.delete("link/precious"),
            lambda: list(store.list("link")),
            lambda: store.publish(stage(store, "link/file", b"")),
        ):
            with pytest.raises(ConfigError, match="symbolic link"):
                call()
        assert list(store.list("")) == []
        assert files(outside) == ["precious"]

    def test_receipt_that_names_no_staged_file(self, openssh: OpenSSH, tmp_path: Path) -> None:
        (tmp_path / "precious").write_bytes(b"")
        with pytest.raises(IntegrityError):
            at_openssh(openssh, tmp_path).discard(Staged("x", 0, "", {"hidden": "precious"}))
        assert files(tmp_path) == ["precious"]

    def test_file_in_place_of_a_folder(self, openssh: OpenSSH, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"theirs")
        with pytest.raises(Conflict, match="is a file"):
            at_openssh(openssh, tmp_path).put("file/m.json", b"")
        with pytest.raises(ConfigError, match="not a folder"):
            at_openssh(openssh, tmp_path / "file/below").check()

    def test_uri_is_without_credentials(self) -> None:
        store = SFTPDestination(
            host="2001:db8::1", port=2222, username="marked", password="marked", folder="/a b/",
            host_key_fingerprint="SHA256:" + "A" * 43,
        ).store()  # fmt: skip
        assert store.uri("x/file") == "sftp://[2001:db8::1]:2222/a%20b/x/file"


def test_transient_errors_are_tried_again(own: AsyncSSHServer) -> None:
    tries: list[int] = []

    def fail(offset: int) -> None:
        tries.append(offset)
        raise asyncssh.SFTPFailure("broken")

    own.behaviour.before_write = fail
    with pytest.raises(TransientError):
        at_own(own).put("m.json", b"{}")
    assert len(tries) == TRIES
    own.behaviour.before_write = lambda _: None
    at_own(own).put("m.json", b"{}")
