"""What the contract says, asked of every store against a real server of its kind."""

import gc
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_export.destinations.contract import HIDDEN_FOLDER, Staged, Store, check_path
from dataset_export.destinations.local import LocalStore
from dataset_export.errors import ConfigError, Conflict, IntegrityError
from dataset_export_tests.destinations.contents import read
from dataset_export_tests.places.contract import Place

MIB = 1 << 20
PATH = "flights/exportTime=202611010800/part-00000.gz.parquet"
NAMES = [
    "plain",
    "with space",
    "ünïcödé-数据",
    "exportTime=202611010800",
    "a+b&c%20d#e?f",
    "dots.tar.gz",
    "~tilde'quote",
]


def stage(store: Store, path: str, data: bytes) -> Staged:
    with store.stage(path, size_hint=len(data)) as upload:
        upload.write(data)
    return upload.staged


def deliver(store: Store, path: str, data: bytes) -> Staged:
    staged = stage(store, path, data)
    store.publish(staged)
    return staged


def paths(store: Store, folder: str = "") -> list[str]:
    return [entry.path for entry in store.list(folder)]


class TestStage:
    def test_p1_staged_bytes_are_invisible(self, store: Store) -> None:
        stage(store, PATH, b"rows")
        assert paths(store) == []
        with pytest.raises(FileNotFoundError):
            store.open(PATH)

    def test_receipt_says_what_was_sent_and_travels_as_json(self, store: Store) -> None:
        staged = stage(store, PATH, b"rows")
        assert (staged.path, staged.bytes) == (PATH, 4)
        assert staged.sha256 == hashlib.sha256(b"rows").hexdigest()
        travelled = Staged(**json.loads(json.dumps(vars(staged) | {"handle": dict(staged.handle)})))
        store.confirm(travelled)
        store.publish(travelled)
        assert read(store, PATH) == b"rows"

    def test_receipt_exists_only_after_the_block(self, store: Store) -> None:
        with store.stage(PATH) as upload:
            upload.write(b"rows")
            with pytest.raises(RuntimeError, match="not staged yet"):
                _ = upload.staged

    def test_nothing_happens_before_the_block(self, place: Place, store: Store) -> None:
        store.stage(PATH)
        assert place.witness.everything() == []

    def test_caller_may_reuse_its_buffer(self, store: Store) -> None:
        buffer = bytearray(b"aaaa")
        with store.stage(PATH) as upload:
            upload.write(buffer)
            buffer[:] = b"bbbb"
            upload.write(memoryview(buffer))
        store.publish(upload.staged)
        assert read(store, PATH) == b"aaaabbbb"

    def test_empty_file(self, store: Store) -> None:
        staged = stage(store, PATH, b"")
        store.confirm(staged)
        store.publish(staged)
        assert read(store, PATH) == b""
        assert [entry.bytes for entry in store.list("")] == [0]

    def test_file_of_several_parts_in_odd_chunks(self, store: Store) -> None:
        data = hashlib.shake_256(b"seed").digest(21 * MIB + 12345)
        with store.stage(PATH, size_hint=1000) as upload:  # a hint that is far too small
            for start in range(0, len(data), 777_777):
                upload.write(data[start : start + 777_777])
        store.confirm(upload.staged)
        store.publish(upload.staged)
        assert upload.staged.sha256 == hashlib.sha256(data).hexdigest()
        assert hashlib.sha256(read(store, PATH)).hexdigest() == upload.staged.sha256

    @pytest.mark.parametrize("sent", [0, 4, 20 * MIB])
    def test_p6_exception_in_the_block_leaves_nothing(self, place: Place, store: Store, sent: int) -> None:
        upload = store.stage(PATH)

        def fail_after_sending() -> None:
            with upload:
                upload.write(bytes(sent))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail_after_sending()
        assert place.witness.everything() == []
        with pytest.raises(RuntimeError):
            _ = upload.staged

    def test_p4_staging_again_replaces_the_leftover(self, store: Store) -> None:
        stage(store, PATH, b"first try, killed before publish")
        second = stage(store, PATH, b"second")
        assert [one.path for one in store.leftovers()] == [PATH]
        store.confirm(second)
        store.publish(second)
        assert read(store, PATH) == b"second"
        assert list(store.leftovers()) == []

    def test_staging_again_leaves_paths_that_begin_alike(self, store: Store) -> None:
        longer = stage(store, f"{PATH}.more", b"longer")
        stage(store, PATH, b"rows")
        store.publish(longer)
        assert read(store, f"{PATH}.more") == b"longer"

    def test_memory_is_bounded(self, store: Store) -> None:
        process, chunk, peak = psutil.Process(), bytes(4 * MIB), 0
        list(store.list(""))  # the client library is loaded before the measurement begins
        gc.collect()
        before = process.memory_info().rss
        with store.stage(PATH, size_hint=256 * MIB) as upload:
            for _ in range(64):
                upload.write(chunk)
                peak = max(peak, process.memory_info().rss - before)
        assert upload.staged.bytes == 256 * MIB
        assert peak < 128 * MIB

    def test_several_threads_stage_at_once(self, store: Store) -> None:
        names = [f"folder{number % 3}/part-{number}" for number in range(12)]
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda name: deliver(store, name, name.encode()), names))
        assert paths(store) == sorted(names)
        assert all(read(store, name) == name.encode() for name in names)
        assert list(store.leftovers()) == []


class TestConfirm:
    def test_staged_and_published_are_confirmed(self, store: Store) -> None:
        staged = stage(store, PATH, b"rows")
        store.confirm(staged)
        store.publish(staged)
        store.confirm(staged)

    def test_damaged_bytes(self, place: Place, store: Store) -> None:
        staged = stage(store, PATH, b"rows")
        place.witness.damage(staged)
        with pytest.raises(IntegrityError, match=r"part-00000"):
            store.confirm(staged)

    def test_missing_bytes(self, store: Store) -> None:
        staged = stage(store, PATH, b"rows")
        store.discard(staged)
        with pytest.raises(IntegrityError, match="gone"):
            store.confirm(staged)

    def test_missing_bytes_and_a_foreign_file_of_that_name(self, place: Place, store: Store) -> None:
        staged = stage(store, PATH, b"rows")
        store.discard(staged)
        place.witness.plant(PATH, b"ROWS")
        with pytest.raises(IntegrityError):
            store.confirm(staged)


class TestPublish:
    def test_visible_whole(self, store: Store) -> None:
        before = datetime.now(UTC) - timedelta(seconds=2)
        deliver(store, PATH, b"rows")
        [entry] = store.list("")
        assert (entry.path, entry.bytes) == (PATH, 4)
        assert before <= entry.modified <= datetime.now(UTC) + timedelta(seconds=2)
        assert entry.modified.utcoffset() == timedelta(0)
        assert read(store, PATH) == b"rows"

    def test_nothing_hidden_remains(self, place: Place, store: Store) -> None:
        deliver(store, "file", b"rows")
        assert [name.rpartition("/")[2] for name in place.witness.everything()] == ["file"]

    def test_p4_publish_repeats(self, store: Store) -> None:
        staged = deliver(store, PATH, b"rows")
        store.publish(staged)
        assert read(store, PATH) == b"rows"

    def test_p4_staged_again_after_publish(self, store: Store) -> None:
        deliver(store, PATH, b"rows")
        deliver(store, PATH, b"rows")
        assert read(store, PATH) == b"rows"
        assert list(store.leftovers()) == []

    def test_p6_foreign_file_is_left_untouched(self, place: Place, store: Store) -> None:
        staged = stage(store, PATH, b"rows")
        place.witness.plant(PATH, b"ROWS")
        with pytest.raises(Conflict, match="not ours"):
            store.publish(staged)
        assert read(store, PATH) == b"ROWS"
        store.discard(staged)
        assert list(store.leftovers()) == []
        assert read(store, PATH) == b"ROWS"

    def test_foreign_file_after_publish_is_a_conflict(self, place: Place, store: Store) -> None:
        staged = deliver(store, PATH, b"rows")
        place.witness.plant(PATH, b"something else")
        with pytest.raises(Conflict):
            store.publish(staged)
        assert read(store, PATH) == b"something else"

    def test_staged_bytes_gone(self, store: Store) -> None:
        staged = stage(store, PATH, b"rows")
        store.discard(staged)
        with pytest.raises(IntegrityError, match="gone"):
            store.publish(staged)
        assert paths(store) == []

    def test_discard_repeats_and_leaves_nothing(self, place: Place, store: Store) -> None:
        staged = stage(store, PATH, b"rows")
        store.discard(staged)
        store.discard(staged)
        assert place.witness.everything() == []

    def test_discard_leaves_a_published_file(self, store: Store) -> None:
        staged = deliver(store, PATH, b"rows")
        store.discard(staged)
        assert read(store, PATH) == b"rows"


class TestPut:
    def test_repeats(self, place: Place, store: Store) -> None:
        store.put("m.json", b"{}")
        store.put("m.json", b"{}")
        assert read(store, "m.json") == b"{}"
        assert [name.rpartition("/")[2] for name in place.witness.everything()] == ["m.json"]

    @pytest.mark.parametrize("other", [b"[]", b"{} longer", b""])
    def test_conflict(self, store: Store, other: bytes) -> None:
        store.put("m.json", b"{}")
        with pytest.raises(Conflict):
            store.put("m.json", other)
        assert read(store, "m.json") == b"{}"

    def test_replace(self, store: Store) -> None:
        store.put("a/m.json", b"{}", replace=True)
        store.put("a/m.json", b"[1]", replace=True)
        assert read(store, "a/m.json") == b"[1]"
        assert list(store.leftovers()) == []

    def test_empty(self, store: Store) -> None:
        store.put("marker", b"")
        store.put("marker", b"")
        assert read(store, "marker") == b""

    def test_only_one_of_many_wins(self, store: Store) -> None:
        def attempt(number: int) -> int | None:
            try:
                store.put("folder/m.json", b"%d" % number)
            except Conflict:
                return None
            return number

        with ThreadPoolExecutor(8) as pool:
            winners = [won for won in pool.map(attempt, range(8)) if won is not None]
        assert [read(store, "folder/m.json")] == [b"%d" % won for won in winners]

    def test_p2_replacing_is_atomic_for_a_reader(self, store: Store) -> None:
        versions = [bytes([65 + number]) * 50_000 for number in range(30)]
        store.put("m.json", versions[0])
        done, seen = threading.Event(), set[bytes]()

        def watch() -> None:
            while not done.is_set():
                seen.add(read(store, "m.json"))

        with ThreadPoolExecutor(1) as pool:
            watching = pool.submit(watch)
            for version in versions:
                store.put("m.json", version, replace=True)
            done.set()
            watching.result()
        assert seen <= set(versions)


class TestList:
    def test_missing_folder_is_empty(self, store: Store) -> None:
        assert paths(store) == []
        assert paths(store, "no/such") == []

    def test_order_and_nesting(self, store: Store) -> None:
        names = ["a", "a-b", "a.b/c", "b/c/d/e", "b/c-d", "b.txt", "ba", "B", "z/é", "z/z", "数/据"]
        for name in names:
            store.put(name, name.encode())
        assert paths(store) == sorted(names)
        assert paths(store, "b") == ["b/c-d", "b/c/d/e"]
        assert paths(store, "b/c") == ["b/c/d/e"]
        assert paths(store, "ba") == []

    @pytest.mark.parametrize("name", NAMES)
    def test_names_survive(self, store: Store, name: str) -> None:
        path = f"{name}/{name}"
        staged = deliver(store, path, b"rows")
        store.confirm(staged)
        assert paths(store) == paths(store, name) == [path]
        assert read(store, path) == b"rows"
        store.delete(path)
        assert paths(store) == []

    def test_more_than_a_page(self, place: Place, store: Store) -> None:
        names = [f"many/{number:05}" for number in range(1_050)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda name: place.witness.plant(name, b"."), names))
        assert paths(store, "many") == names

    def test_hidden_folder_only_when_asked_for(self, store: Store) -> None:
        journal = f"{HIDDEN_FOLDER}/journal/run.json"
        store.put(journal, b"{}")
        store.put("seen", b"")
        stage(store, PATH, b"rows")
        assert paths(store) == ["seen"]
        assert paths(store, HIDDEN_FOLDER) == [journal]
        assert paths(store, f"{HIDDEN_FOLDER}/journal") == [journal]


class TestOpenAndDelete:
    def test_open_streams(self, store: Store) -> None:
        data = hashlib.shake_256(b"s").digest(3 * MIB)
        store.put("big", data)
        with store.open("big") as file:
            assert file.read(10) == data[:10]
            assert file.read() == data[10:]

    def test_open_and_close_early(self, store: Store) -> None:
        store.put("big", bytes(3 * MIB))
        with store.open("big") as file:
            file.read(1)
        assert file.closed

    @pytest.mark.parametrize("missing", ["no", "no/such/file", "folder", "folder/file/below"])
    def test_open_missing(self, store: Store, missing: str) -> None:
        store.put("folder/file", b"")
        with pytest.raises(FileNotFoundError):
            store.open(missing)

    @pytest.mark.parametrize("missing", ["no", "no/such/file", "folder", "folder/file/below"])
    def test_delete_missing(self, store: Store, missing: str) -> None:
        store.put("folder/file", b"x")
        store.delete(missing)
        assert read(store, "folder/file") == b"x"

    def test_delete_leaves_nothing_of_it(self, place: Place, store: Store) -> None:
        store.put("keep", b"")
        store.put("a/b/c", b"")
        store.delete("a/b/c")
        assert [name.rpartition("/")[2] for name in place.witness.everything()] == ["keep"]


class TestLeftovers:
    def test_reports_and_discards(self, store: Store) -> None:
        before = datetime.now(UTC) - timedelta(seconds=2)
        stage(store, "a/one", b"1234")
        staged = stage(store, "b/two", b"12")
        deliver(store, "a/done", b"")
        assert sorted(one.path for one in store.leftovers()) == ["a/one", "b/two"]
        [leftover] = store.leftovers("a")
        assert leftover.path == "a/one"
        assert leftover.bytes in {4, None}
        assert before <= leftover.started <= datetime.now(UTC) + timedelta(seconds=2)
        store.discard_leftover(leftover)
        store.discard_leftover(leftover)
        assert [one.path for one in store.leftovers()] == ["b/two"]
        store.publish(staged)
        assert paths(store) == ["a/done", "b/two"]

    def test_none(self, store: Store) -> None:
        assert list(store.leftovers()) == []
        assert list(store.leftovers("a")) == []

    def test_path_of_a_put_that_died(self, place: Place, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        if not isinstance(store, LocalStore):
            pytest.skip("a PutObject that dies leaves nothing")

        def die(*_: object, **__: object) -> bool:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(LocalStore, "_reveal", die)
            patched.setattr(LocalStore, "_remove", lambda *_: None)
            with pytest.raises(KeyboardInterrupt):
                store.put("a/m.json", b"{}")
        [leftover] = store.leftovers("a")
        assert leftover.path == "a/m.json"
        store.discard_leftover(leftover)
        assert place.witness.everything() == []


class TestCheck:
    def test_touches_nothing(self, place: Place, store: Store) -> None:
        store.check()
        assert place.witness.everything() == []
        store.put("seen", b"")
        store.check()
        assert paths(store) == ["seen"]

    def test_uri(self, store: Store) -> None:
        assert "://" in store.uri(PATH)
        assert store.uri(PATH).endswith("/part-00000.gz.parquet")


BAD_PATHS = ["", "/abs", "a//b", "a/", "../up", "a/../b", ".", "./a", "a\\b", "a\nb", "a/\x7f"]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_bad_path_is_refused_before_any_call(store: Store, path: str) -> None:
    staged = Staged(path, 0, "", {"hidden": f"{HIDDEN_FOLDER}/staging/{path}", "upload_id": "x", "parts": []})
    calls: list[Callable[[], object]] = [
        lambda: store.stage(path),
        lambda: store.put(path, b""),
        lambda: store.open(path),
        lambda: store.delete(path),
        lambda: store.publish(staged),
        lambda: store.confirm(staged),
        lambda: store.discard(staged),
        lambda: list(store.list(path)) if path else check_path(path),
    ]
    for call in calls:
        with pytest.raises(ConfigError):
            call()


segments = st.text(st.characters(codec="utf-8", exclude_characters="/"), max_size=8)


@given(st.lists(segments, max_size=5).map("/".join))
def test_check_path_accepts_exactly_what_stays_inside(path: str) -> None:
    root = Path("/destination/folder")
    bad = any(part in {"", ".", ".."} or any(ord(c) < 32 or c in "\\\x7f" for c in part) for part in path.split("/"))
    try:
        assert check_path(path) == path
    except ConfigError:
        assert bad
    else:
        assert not bad
        assert (root / path).is_relative_to(root)
        assert (root / path).relative_to(root).as_posix() == path


@pytest.fixture(autouse=True)
def no_threads_left() -> Iterator[None]:
    yield
    deadline = time.monotonic() + 5
    while left := [one.name for one in threading.enumerate() if "-part_" in one.name]:
        assert time.monotonic() < deadline, left
        time.sleep(0.01)
