"""What only the Data Lake does: hidden files that are renamed, real folders, ways to sign in, answers that get lost."""

import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_export.destinations import retry
from dataset_export.destinations.adls_gen2 import ADLSGen2Destination, ADLSGen2Store
from dataset_export.destinations.adls_gen2_upload import MAX_PARTS, STAGING, meant_for, new_hidden, part_position
from dataset_export.destinations.contract import Staged
from dataset_export.destinations.part_upload import part_size
from dataset_export.destinations.policy import Operation
from dataset_export.destinations.retry import TRIES
from dataset_export.errors import (
    AccessDenied,
    ConfigError,
    Conflict,
    ExportError,
    IntegrityError,
    NotFound,
    TransientError,
)
from dataset_export_tests.destinations.contents import read, stage
from dataset_export_tests.servers.dfs import ACCOUNT, TENANT, DataLake, Fault, running_data_lake

MIB = 1 << 20
RENAME = "mode=legacy"
PATH = "flights/exportTime=202611010800/part-00000"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(retry, "FIRST_WAIT_SECONDS", 0.01)
    yield
    assert not [one.name for one in threading.enumerate() if one.name.startswith("adls_gen2-part")]


@pytest.fixture(scope="module")
def tls_lake() -> Iterator[DataLake]:
    with running_data_lake(tls=True) as lake:
        yield lake


@pytest.fixture
def file_system(data_lake: DataLake) -> str:
    return data_lake.create_file_system()


@pytest.fixture
def store(data_lake: DataLake, file_system: str) -> ADLSGen2Store:
    return a_store(data_lake, file_system)


def a_destination(lake: DataLake, file_system: str, **fields: Any) -> ADLSGen2Destination:
    if not {"sas_token", "client_id", "account_key"} & fields.keys():
        fields["account_key"] = lake.access.key
    return ADLSGen2Destination(
        account=ACCOUNT, filesystem=file_system, endpoint_url=lake.endpoint, allow_insecure=True,
        **({"folder": "team"} | fields),
    )  # fmt: skip


def a_store(lake: DataLake, file_system: str, **fields: Any) -> ADLSGen2Store:
    store = a_destination(lake, file_system, **fields).store()
    assert isinstance(store, ADLSGen2Store)
    return store


def paths(store: ADLSGen2Store) -> list[str]:
    return [one.path for one in store.list("")]


class TestLostAnswers:
    """The service did it and the answer never came."""

    @pytest.mark.parametrize("times", [1, TRIES])
    def test_p4_publish(self, data_lake: DataLake, file_system: str, store: ADLSGen2Store, times: int) -> None:
        staged = stage(store, PATH, b"rows")
        store.put("flights/exportTime=202611010800/other", b"")
        fault = data_lake.arm(Fault("PUT", RENAME, times, lost=True))
        store.publish(staged)
        assert fault.done == [201] + [404] * (times - 1)
        assert read(store, PATH) == b"rows"
        assert not [name for name in data_lake.file_systems[file_system].folders() if ".dataset_export" in name]

    def test_publish_that_never_arrived_is_transient(self, data_lake: DataLake, store: ADLSGen2Store) -> None:
        staged = stage(store, PATH, b"rows")
        data_lake.arm(Fault("PUT", RENAME, TRIES, status=500, code="InternalError"))
        with pytest.raises(TransientError, match=r"rename.*500"):
            store.publish(staged)
        assert paths(store) == []
        store.publish(staged)
        assert read(store, PATH) == b"rows"

    def test_publish_and_a_foreign_file_is_there(self, data_lake: DataLake, store: ADLSGen2Store) -> None:
        staged = stage(store, PATH, b"rows")
        store.put(PATH, b"ROWS")
        data_lake.arm(Fault("PUT", RENAME, TRIES, lost=True))
        with pytest.raises(Conflict):
            store.publish(staged)
        assert read(store, PATH) == b"ROWS"

    @pytest.mark.parametrize("times", [1, TRIES])
    @pytest.mark.parametrize("replacing", [False, True])
    def test_p2_put(self, data_lake: DataLake, store: ADLSGen2Store, replacing: bool, times: int) -> None:
        if replacing:
            store.put("m.json", b"[]")
        fault = data_lake.arm(Fault("PUT", RENAME, times, lost=True))
        store.put("m.json", b"{}", replace=replacing)
        assert fault.done[0] == 201
        assert read(store, "m.json") == b"{}"
        assert list(store.leftovers()) == []

    @pytest.mark.parametrize(
        ("method", "target"),
        [
            ("PUT", "resource=file"),
            ("PATCH", "action=append&position=8388608"),
            ("PATCH", "action=flush"),
            ("PUT", "comp=metadata"),
            ("PUT", "resource=directory"),
        ],
    )
    def test_p4_each_call_of_a_delivery(
        self, data_lake: DataLake, store: ADLSGen2Store, method: str, target: str
    ) -> None:
        fault = data_lake.arm(Fault(method, target, lost=True))
        data = hashlib.shake_256(b"seed").digest(20 * MIB)
        staged = stage(store, PATH, data)
        store.confirm(staged)
        store.publish(staged)
        assert len(fault.done) == 1
        assert fault.done[0] < 300
        assert read(store, PATH) == data

    def test_delete(self, data_lake: DataLake, file_system: str, store: ADLSGen2Store) -> None:
        store.put("a/b/file", b"")
        fault = data_lake.arm(Fault("DELETE", "/file", lost=True))
        store.delete("a/b/file")
        assert fault.done == [200]
        assert data_lake.file_systems[file_system].folders() == ["team"]

    def test_p6_part_that_never_arrives(self, data_lake: DataLake, file_system: str, store: ADLSGen2Store) -> None:
        data_lake.arm(Fault("PATCH", "position=8388608", TRIES, status=500, code="OperationTimedOut"))
        with pytest.raises(TransientError, match="append"):
            stage(store, PATH, bytes(20 * MIB))
        assert data_lake.file_systems[file_system].files() == []

    @pytest.mark.parametrize("position", [0, 8 * MIB])
    def test_p6_bytes_that_change_on_their_way(
        self, data_lake: DataLake, file_system: str, store: ADLSGen2Store, position: int
    ) -> None:
        fault = data_lake.arm(Fault("PATCH", f"position={position}$", garbled=True))
        with pytest.raises(IntegrityError, match="Md5Mismatch"):
            stage(store, PATH, bytes(20 * MIB))
        assert fault.done == [400]
        assert data_lake.file_systems[file_system].files() == []

    def test_p2_bytes_of_a_put_that_change_on_their_way(self, data_lake: DataLake, store: ADLSGen2Store) -> None:
        data_lake.arm(Fault("PATCH", "action=append", garbled=True))
        with pytest.raises(IntegrityError, match="Md5Mismatch"):
            store.put("m.json", b"{}")
        assert paths(store) == []
        assert list(store.leftovers()) == []

    @pytest.mark.parametrize("code", ["InternalOperationAbortError", "DestinationPathIsBeingDeleted"])
    def test_rename_that_met_another_one(self, data_lake: DataLake, store: ADLSGen2Store, code: str) -> None:
        staged = stage(store, PATH, b"rows")
        data_lake.arm(Fault("PUT", RENAME, status=409, code=code))
        store.publish(staged)
        assert read(store, PATH) == b"rows"

    def test_p4_killed_between_rename_and_answer(
        self, data_lake: DataLake, file_system: str, store: ADLSGen2Store
    ) -> None:
        staged = stage(store, PATH, b"rows")
        store.put("flights/exportTime=202611010800/other", b"")
        fields = {
            "account": ACCOUNT, "filesystem": file_system, "endpoint_url": data_lake.endpoint, "folder": "team",
            "allow_insecure": True, "account_key": data_lake.access.key,
        }  # fmt: skip
        receipt = vars(staged) | {"handle": dict(staged.handle)}
        child = subprocess.Popen([sys.executable, "-c", PUBLISH, json.dumps([fields, receipt])])
        fault = data_lake.arm(Fault("PUT", RENAME, then=lambda: os.kill(child.pid, signal.SIGKILL)))
        assert child.wait(60) == -signal.SIGKILL
        assert fault.done == [201]
        store.confirm(staged)
        store.publish(staged)
        assert read(store, PATH) == b"rows"
        assert list(store.leftovers()) == []


PUBLISH = """
import json, sys
from dataset_export.destinations.adls_gen2 import ADLSGen2Destination
from dataset_export.destinations.contract import Staged
fields, receipt = json.loads(sys.argv[1])
ADLSGen2Destination(**fields).store().publish(Staged(**receipt))
"""


class TestBusy:
    @pytest.mark.parametrize(("status", "code"), [(503, "ServerBusy"), (429, "TooManyRequests")])
    def test_waits_as_long_as_it_is_asked_to(
        self, data_lake: DataLake, store: ADLSGen2Store, monkeypatch: pytest.MonkeyPatch, status: int, code: str
    ) -> None:
        staged, waited = stage(store, PATH, b"rows"), list[float]()
        monkeypatch.setattr(retry.time, "sleep", waited.append)
        fault = data_lake.arm(Fault("PUT", RENAME, 2, status=status, code=code, headers={"Retry-After": "7"}))
        store.publish(staged)
        assert fault.done == [status, status]
        assert [7 <= seconds < 8 for seconds in waited] == [True, True]
        assert read(store, PATH) == b"rows"

    def test_gives_up(self, data_lake: DataLake, store: ADLSGen2Store) -> None:
        fault = data_lake.arm(Fault("GET", "resource=filesystem", TRIES, status=503, code="ServerBusy"))
        with pytest.raises(TransientError, match="ServerBusy"):
            store.check()
        assert len(fault.done) == TRIES


class TestHiddenFiles:
    def test_what_an_earlier_worker_still_sends_meets_no_file(self, store: ADLSGen2Store) -> None:
        earlier = store.stage(PATH)
        earlier.__enter__()
        staged = stage(store, PATH, b"rows")
        earlier.write(b"old rows")
        with pytest.raises(ExportError, match="PathNotFound"):
            earlier.__exit__(None, None, None)
        store.confirm(staged)
        store.publish(staged)
        assert read(store, PATH) == b"rows"

    def test_p1_exchanged_between_confirm_and_publish(
        self, data_lake: DataLake, file_system: str, store: ADLSGen2Store
    ) -> None:
        staged = stage(store, PATH, b"rows")
        store.confirm(staged)
        client = data_lake.client(file_system)
        client.get_file_client(f"team/{staged.handle['hidden']}").upload_data(b"ROWS", overwrite=True)
        with pytest.raises(IntegrityError, match="not those that were sent"):
            store.publish(staged)
        assert paths(store) == []

    def test_receipt_that_names_another_file(self, store: ADLSGen2Store) -> None:
        store.put("theirs", b"rows")
        forged = Staged("mine", 4, "", {"hidden": "theirs", "etag": "*"})
        for call in (store.publish, store.discard, store.confirm):
            with pytest.raises(IntegrityError, match="no staged file"):
                call(forged)
        assert paths(store) == ["theirs"]

    def test_p6_what_is_not_ours_is_no_leftover(self, data_lake: DataLake, file_system: str) -> None:
        store = a_store(data_lake, file_system)
        client = data_lake.client(file_system)
        theirs = f"team/{STAGING}/{PATH}.staged/notes.txt"
        client.get_file_client(theirs).upload_data(b"x", overwrite=True)
        staged = stage(store, PATH, b"rows")
        assert [one.path for one in store.leftovers()] == [PATH]
        store.publish(staged)
        assert data_lake.file_systems[file_system].files() == [theirs, f"team/{PATH}"]

    @given(
        st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), min_size=1), st.sampled_from(["staged", "put"])
    )
    def test_hidden_names_lead_back(self, path: str, kind: str) -> None:
        assert meant_for(new_hidden(path, kind)) == path

    def test_a_path_that_looks_like_one_of_ours(self, store: ADLSGen2Store) -> None:
        inner = stage(store, f"{PATH}.staged/0123456789abcdef", b"inner")
        stage(store, PATH, b"rows")
        store.publish(inner)
        assert read(store, inner.path) == b"inner"


class TestFolders:
    def test_folders_that_become_empty_go(self, data_lake: DataLake, file_system: str, store: ADLSGen2Store) -> None:
        for path in ("a/b/c/1", "a/b/c/2", "a/3"):
            store.put(path, b"")
        tree = data_lake.file_systems[file_system]
        store.delete("a/b/c/1")
        assert tree.folders() == ["team", "team/a", "team/a/b", "team/a/b/c"]
        store.delete("a/b/c/2")
        assert tree.folders() == ["team", "team/a"]
        store.delete("a/3")
        store.delete("a/3")
        assert tree.folders() == ["team"]

    def test_writers_and_deleters_at_once(self, data_lake: DataLake, file_system: str, store: ADLSGen2Store) -> None:
        def come_and_go(number: int) -> None:
            for turn in range(6):
                store.put(f"a/b/{number}-{turn}", b"%d" % number)
                store.publish(stage(store, f"a/c/{number}-{turn}", b"%d" % number))
                store.delete(f"a/b/{number}-{turn}")

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(come_and_go, range(6)))
        assert paths(store) == sorted(f"a/c/{number}-{turn}" for number in range(6) for turn in range(6))
        assert data_lake.file_systems[file_system].folders() == ["team", "team/a", "team/a/c"]

    def test_file_where_a_folder_has_to_be(self, store: ADLSGen2Store) -> None:
        store.put("a", b"theirs")
        staged = stage(store, "a/file", b"rows")
        with pytest.raises(ExportError, match="a/file"):
            store.publish(staged)
        assert read(store, "a") == b"theirs"

    def test_folder_where_the_file_has_to_be(self, store: ADLSGen2Store) -> None:
        store.put("a/b", b"")
        staged = stage(store, "a", b"rows")
        with pytest.raises(Conflict):
            store.publish(staged)
        assert paths(store) == ["a/b"]

    @pytest.mark.parametrize("folder", ["", "/", "a/b", "/a%20b/100%/"])
    def test_folder_is_the_root(self, data_lake: DataLake, file_system: str, folder: str) -> None:
        store = a_store(data_lake, file_system, folder=folder)
        store.check()
        store.put("x%20y/m%41.json", b"")
        store.publish(stage(store, "x%20y/f%2Fg", b"rows"))
        root = f"{folder.strip('/')}/".lstrip("/")
        assert data_lake.file_systems[file_system].files() == [f"{root}x%20y/f%2Fg", f"{root}x%20y/m%41.json"]
        assert paths(store) == ["x%20y/f%2Fg", "x%20y/m%41.json"]
        assert store.uri("x").endswith(f"/{file_system}/{root}x")

    def test_pages(self, data_lake: DataLake, store: ADLSGen2Store, monkeypatch: pytest.MonkeyPatch) -> None:
        names = sorted(f"{folder}/{number}" for folder in ("a", "a-b", "a.c/d") for number in range(5))
        for name in names:
            store.put(name, b"")
        monkeypatch.setattr(data_lake, "page", 4)
        data_lake.requests.clear()
        assert paths(store) == names
        assert len(data_lake.requests) > 4


class TestAccess:
    def test_wrong_key(self, data_lake: DataLake, file_system: str) -> None:
        store = a_store(data_lake, file_system, account_key="d3Jvbmc=")
        with pytest.raises(AccessDenied, match=rf"{file_system}.*AuthenticationFailed.*credentials"):
            store.check()

    def test_missing_file_system(self, data_lake: DataLake) -> None:
        store = a_store(data_lake, "no-such-filesystem")
        calls: list[Callable[[], object]] = [
            store.check, lambda: store.put("m", b""), lambda: list(store.list("")), lambda: store.open("m"),
            lambda: store.delete("m"), lambda: stage(store, "m", b""), lambda: list(store.leftovers()),
        ]  # fmt: skip
        for call in calls:
            with pytest.raises(NotFound, match=r"no-such-filesystem.*create it"):
                call()

    def test_sas(self, data_lake: DataLake, file_system: str) -> None:
        store = a_store(data_lake, file_system, sas_token=data_lake.sas(file_system))
        assert_whole_delivery(store)

    @pytest.mark.parametrize("given", ["?{}", "{}"])
    def test_sas_with_and_without_question_mark(self, data_lake: DataLake, file_system: str, given: str) -> None:
        a_store(data_lake, file_system, sas_token=given.format(data_lake.sas(file_system))).check()

    def test_policy_names_the_letters_that_suffice_and_are_needed(self, data_lake: DataLake, file_system: str) -> None:
        policy = a_destination(data_lake, file_system).policy()
        letters = {one.removeprefix("SAS: ") for names in policy.permissions.values() for one in names if "SAS" in one}
        assert set(policy.permissions) == set(Operation)
        for missing in letters:
            left = "".join(letter for letter in "rwdlm" if letter in letters - {missing})
            store = a_store(data_lake, file_system, sas_token=data_lake.sas(file_system, left))
            with pytest.raises(AccessDenied, match="AuthorizationPermissionMismatch"):
                assert_whole_delivery(store)

    def test_expired_sas(self, data_lake: DataLake, file_system: str) -> None:
        expired = data_lake.sas(file_system, lasts=timedelta(seconds=-5))
        store = a_store(data_lake, file_system, sas_token=expired)
        with pytest.raises(AccessDenied, match="AuthenticationFailed"):
            store.check()

    def test_sas_of_another_file_system(self, data_lake: DataLake, file_system: str) -> None:
        store = a_store(data_lake, file_system, sas_token=data_lake.sas(data_lake.create_file_system()))
        with pytest.raises(AccessDenied):
            store.check()

    @pytest.mark.parametrize("way", ["account_key", "sas_token"])
    def test_no_secret_in_errors_and_logs(
        self, data_lake: DataLake, file_system: str, caplog: pytest.LogCaptureFixture, way: str
    ) -> None:
        caplog.set_level(logging.DEBUG)
        sas = data_lake.sas(file_system, lasts=timedelta(seconds=-5))
        secret = {"account_key": "bWFya2VkIHNlY3JldA==", "sas_token": sas}[way]
        marked = {"account_key": secret, "sas_token": sas.partition("sig=")[2]}[way]
        store = a_store(data_lake, file_system, **{way: secret})
        staged = Staged("m", 0, "", {"hidden": new_hidden("m", "staged"), "etag": '"1"'})
        calls: list[Callable[[], object]] = [
            store.check, lambda: store.put("m", b"x"), lambda: stage(store, "m", b"x"), lambda: store.publish(staged),
            lambda: list(store.list("")), lambda: store.open("m"), lambda: store.delete("m"),
        ]  # fmt: skip
        for call in calls:
            with pytest.raises(AccessDenied) as caught:
                call()
            assert marked not in "".join(traceback.format_exception(caught.value)) + caplog.text
        assert marked not in repr(store.uri("m"))


def assert_whole_delivery(store: ADLSGen2Store) -> None:
    store.check()
    staged = stage(store, PATH, b"rows")
    store.confirm(staged)
    store.publish(staged)
    assert read(store, PATH) == b"rows"
    store.put("m.json", b"{}")
    store.put("m.json", b"[]", replace=True)
    assert paths(store) == [PATH, "m.json"]
    store.delete(PATH)
    store.delete("m.json")


class TestServicePrincipal:
    """Signed in at an authority of the tests: that of a tenant called adfs, which the library asks no public server
    about. Tokens are sent over TLS only."""

    @pytest.fixture
    def file_system(self, tls_lake: DataLake, monkeypatch: pytest.MonkeyPatch) -> str:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", tls_lake.ca_bundle)
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", f"https://127.0.0.1:{tls_lake.port}")
        return tls_lake.create_file_system()

    def fields(self, lake: DataLake, secret: str) -> dict[str, Any]:
        principal = lake.access.principal
        return {"tenant_id": TENANT, "client_id": principal.client_id, "client_secret": secret, "allow_insecure": False}

    def test_delivers(self, tls_lake: DataLake, file_system: str) -> None:
        store = self.store(tls_lake, file_system, tls_lake.access.principal.secret)
        assert_whole_delivery(store)

    def test_wrong_secret(self, tls_lake: DataLake, file_system: str) -> None:
        store = self.store(tls_lake, file_system, "marked-secret")
        with pytest.raises(AccessDenied, match=r"check the credentials") as caught:
            store.check()
        assert "marked-secret" not in "".join(traceback.format_exception(caught.value))

    @pytest.mark.parametrize("hierarchical", [True, False])
    def test_who_may_not_ask_about_the_account(
        self, tls_lake: DataLake, file_system: str, monkeypatch: pytest.MonkeyPatch, hierarchical: bool
    ) -> None:
        monkeypatch.setattr(tls_lake.access.principal, "may_ask_about_account", False)
        monkeypatch.setattr(tls_lake, "hierarchical", hierarchical)
        store = self.store(tls_lake, file_system, tls_lake.access.principal.secret)
        if hierarchical:
            store.check()
            return
        with pytest.raises(ConfigError, match="azure_blob"):
            store.check()

    def store(self, lake: DataLake, file_system: str, secret: str) -> ADLSGen2Store:
        fields = self.fields(lake, secret)
        store = ADLSGen2Destination(
            account=ACCOUNT, filesystem=file_system, endpoint_url=lake.endpoint, **fields
        ).store()
        assert isinstance(store, ADLSGen2Store)
        return store


class TestNoHierarchicalNamespace:
    def test_says_which_type_to_use(
        self, data_lake: DataLake, store: ADLSGen2Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(data_lake, "hierarchical", False)
        with pytest.raises(ConfigError, match=r"no hierarchical namespace.*azure_blob"):
            store.check()


class TestFields:
    @pytest.mark.parametrize(
        ("account", "dfs", "blob"),
        [
            ("contoso", "https://contoso.dfs.core.windows.net", "https://contoso.blob.core.windows.net"),
            (
                "https://contoso.blob.core.usgovcloudapi.net/",
                "https://contoso.dfs.core.usgovcloudapi.net",
                "https://contoso.blob.core.usgovcloudapi.net",
            ),
            (
                "https://contoso.dfs.core.chinacloudapi.cn",
                "https://contoso.dfs.core.chinacloudapi.cn",
                "https://contoso.blob.core.chinacloudapi.cn",
            ),
        ],
    )
    def test_endpoints(self, account: str, dfs: str, blob: str) -> None:
        destination = ADLSGen2Destination(account=account, filesystem="exports")
        assert (destination.account_url("dfs"), destination.account_url("blob")) == (dfs, blob)
        assert destination.store().uri("a") == f"{dfs}/exports/a"

    def test_connection_string(self, data_lake: DataLake, file_system: str) -> None:
        text = (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={data_lake.access.key};"
            f"BlobEndpoint={data_lake.endpoint};DfsEndpoint={data_lake.endpoint};"
        )
        destination = ADLSGen2Destination(filesystem=file_system, connection_string=text, allow_insecure=True)
        store = destination.store()
        store.check()
        store.put("m.json", b"{}")
        assert data_lake.file_systems[file_system].files() == ["m.json"]

    def test_no_tls(self) -> None:
        with pytest.raises(ConfigError, match="no TLS"):
            ADLSGen2Destination(account="contoso", filesystem="exports", endpoint_url="http://x/contoso").store()


class TestParts:
    @given(st.integers(1, MAX_PARTS), st.integers(1, 1 << 20))
    def test_a_part_begins_where_the_one_before_it_ends(self, number: int, first: int) -> None:
        assert part_position(1, first) == 0
        assert part_position(number + 1, first) == part_position(number, first) + part_size(number, first, MAX_PARTS)

    @pytest.mark.slow
    def test_two_gigabytes(self, store: ADLSGen2Store) -> None:
        chunk, digest = hashlib.shake_256(b"seed").digest(16 * MIB), hashlib.sha256()
        with store.stage(PATH, size_hint=2 << 30) as upload:
            for _ in range(128):
                upload.write(chunk)
        store.confirm(upload.staged)
        store.publish(upload.staged)
        with store.open(PATH) as stream:
            while data := stream.read(16 * MIB):
                digest.update(data)
        assert digest.hexdigest() == upload.staged.sha256
        assert [one.bytes for one in store.list("")] == [2 << 30]


class TestServer:
    """The server refuses what the reference says is refused: else the tests above would show nothing."""

    def codes(self, call: Callable[[], object]) -> str:
        from azure.core.exceptions import HttpResponseError

        with pytest.raises(HttpResponseError) as caught:
            call()
        code = caught.value.error_code
        return str(getattr(code, "value", code))

    def test_refuses(self, data_lake: DataLake, file_system: str) -> None:
        client = data_lake.client(file_system)
        file = client.get_file_client("a/file")
        file.create_file()
        file.append_data(b"rows", 4, 4)
        assert self.codes(lambda: file.flush_data(8)) == "InvalidFlushPosition"
        file.append_data(b"ROWS", 0, 4)
        assert self.codes(lambda: file.flush_data(4)) == "InvalidFlushPosition"
        assert file.get_file_properties().size == 0
        file.flush_data(8)
        assert file.download_file().readall() == b"ROWSrows"
        wrong = {"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}
        assert self.codes(lambda: file.append_data(b"more", 8, 4, headers=wrong)) == "Md5Mismatch"
        assert self.codes(lambda: client.get_file_client("a").delete_file(recursive=False)) == "DirectoryNotEmpty"
        assert self.codes(lambda: client.get_file_client("a").delete_file()) == "MissingRequiredQueryParameter"
        assert self.codes(lambda: file.rename_file(f"{file_system}/no/file")) == "RenameDestinationParentPathNotFound"
        assert self.codes(lambda: client.get_file_client("no").append_data(b"x", 0, 1)) == "PathNotFound"

    def test_signature_covers_the_conditions(self, data_lake: DataLake, file_system: str, tmp_path: Path) -> None:
        client = data_lake.client(file_system)
        file = client.get_file_client("file")
        file.create_file()
        sent: dict[str, Any] = {}
        file.get_file_properties(raw_response_hook=lambda answer: sent.update(answer.http_request.headers))
        access, target = data_lake.access, f"/{ACCOUNT}/{file_system}/file"
        headers = {name.lower(): value for name, value in sent.items()}
        access.check("HEAD", target, headers, file_system, "")
        for change in (
            {"if-match": "*"},
            {"x-ms-source-if-match": "*"},
            {"x-ms-date": "Mon, 02 Nov 2026 08:00:00 GMT"},
        ):
            with pytest.raises(Exception, match="AuthenticationFailed"):
                access.check("HEAD", target, headers | change, file_system, "")
        with pytest.raises(Exception, match="AuthenticationFailed"):
            access.check("DELETE", target, headers, file_system, "")
