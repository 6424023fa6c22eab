"""Exports through a network and a service that fail in all the ways they do: the export or its retry delivers, and P1 to
P7 hold whatever was lost on the way."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pytest

from dataset_export.destinations import retry
from dataset_export.encoding.contract import Compression, Encoding, Format
from dataset_export.errors import AccessDenied, ExportError, StorageFull, TransientError
from dataset_export.export.manifest import Manifest
from dataset_export.export.sweep import sweep
from dataset_export_tests.conftest import KINDS
from dataset_export_tests.export.exporter import START, Exporter
from dataset_export_tests.faults.moments import WatchedStore
from dataset_export_tests.faults.promises import Watch
from dataset_export_tests.faults.service_answers import answer
from dataset_export_tests.lake.delta_tables import DeltaBuilder
from dataset_export_tests.places.contract import Place
from dataset_export_tests.servers.proxy import ALL, Cut, LoseAnswer, Proxy, Reset, running_proxy

SERVED = [kind for kind in KINDS if kind != "local"]
SPEAK_HTTP = [kind for kind in SERVED if kind != "sftp"]
"""SSH is encrypted, so no single request of SFTP can be chosen: any piece of what its server says is lost instead."""

each_served = pytest.mark.parametrize("place", SERVED, indirect=True)
each_http = pytest.mark.parametrize("place", SPEAK_HTTP, indirect=True)


def also(*values: Any) -> Any:
    """A case that only the slow run has."""
    return pytest.param(*values, marks=pytest.mark.slow)


HOUR = 9_000
"""After START: later than the tables' commits."""
FOLDER = "orders/exportTime=202711110800"
MID_PART = 50_000
BIG_FILE = [hash((number, "row")) for number in range(20_000)]
"""Random numbers do not compress: a file of more than `MID_PART` bytes."""
ROWS = Counter([*BIG_FILE, 1, 2, 3])
EVER = float("inf")
MOST_PIECES = 40


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> str:
    delta = DeltaBuilder(str(tmp_path_factory.mktemp("network") / "lake"))
    delta.write(pa.table({"id": pa.array(BIG_FILE, pa.int64())}))
    for ids in ([1, 2], [3]):
        delta.write(pa.table({"id": pa.array(ids, pa.int64())}))
    return delta.uri


@pytest.fixture
def proxy(place: Place) -> Iterator[Proxy]:
    with running_proxy(place.port) as running:
        yield running


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_WAIT_SECONDS", 0.02)


class Delivery:
    """One export time of one dataset to `place` through `proxy`, and what the server's own door shows of it."""

    def __init__(self, place: Place, proxy: Proxy, lake: str) -> None:
        assert place.at_port is not None
        self.place = place
        self.proxy = proxy
        self.watch = Watch(place, FOLDER)
        self.through = place.at_port(proxy.port).store()
        self.exporter = Exporter(self.through, lake, encoding=Encoding(Format.JSON, Compression.GZIP))
        self.run_id = str(uuid4())

    def run(self, **at: Callable[[], object]) -> Manifest:
        """The export, or its retry. `at` says what happens right before the first step of a name (`_` for `-`)."""
        steps = {step.replace("_", "-"): happen for step, happen in at.items()}
        return self.exporter.export(HOUR, self.run_id, store=WatchedStore(self.through, steps))

    def resend(self, **at: Callable[[], object]) -> Manifest:
        """The same as another run."""
        self.run_id = str(uuid4())
        steps = {step.replace("_", "-"): happen for step, happen in at.items()}
        return self.exporter.export(HOUR, self.run_id, resend=True, store=WatchedStore(self.through, steps))

    def sweep(self) -> None:
        sweep(self.place.store, "hourly", "orders", self.exporter.ledger, dry_run=False)

    def assert_delivered(self) -> None:
        """All promises, before and after a sweep."""
        for _ in range(2):
            recorded = self.exporter.ledger.at(self.exporter.request(HOUR).export_time)
            manifest = self.watch.assert_delivered(ROWS, recorded)
            assert manifest.run_id == self.run_id  # P4
            self.watch.assert_foreign_untouched()
            self.sweep()
        self.watch.assert_swept()

    def assert_nothing_but_theirs(self) -> None:
        """P6 without a retry: what failed is not visible, and a sweep removes the rest."""
        self.watch.assert_nothing_visible()
        self.sweep()
        self.watch.assert_swept()
        self.watch.assert_foreign_untouched()


@pytest.fixture
def delivery(place: Place, proxy: Proxy, lake: str) -> Delivery:
    return Delivery(place, proxy, lake)


def test_export_time_of_the_folder() -> None:
    """The folder with foreign files is the one exported to."""
    assert Exporter(store=None, uri="").request(HOUR).folder == FOLDER  # type: ignore[arg-type]
    assert START.hour == 8


@each_http
class TestReset:
    """The connection breaks in the middle of a file."""

    def test_p4_once(self, delivery: Delivery) -> None:
        fault = Reset(larger=MID_PART)
        delivery.run(stage=lambda: delivery.proxy.arm(fault))
        assert fault.struck
        delivery.assert_delivered()

    @pytest.mark.slow
    def test_p4_p6_every_time(self, delivery: Delivery) -> None:
        fault = Reset(larger=MID_PART, times=EVER)
        with pytest.raises(TransientError):
            delivery.run(stage=lambda: delivery.proxy.arm(fault))
        assert len(fault.struck) == retry.TRIES
        delivery.watch.assert_nothing_visible()
        delivery.proxy.disarm()
        delivery.run()
        delivery.assert_delivered()


each_opaque = pytest.mark.parametrize("place", [kind for kind in SERVED if kind not in SPEAK_HTTP], indirect=True)


@each_opaque
def test_p4_p6_bytes_stop_mid_file(delivery: Delivery) -> None:
    """The same where the proxy understands nothing. What was sent of a file is sent again by the retry."""
    cut = Cut(sent=MID_PART)
    with suppress(TransientError):
        delivery.run(stage=lambda: delivery.proxy.cut(cut))
    assert cut.done
    delivery.run()
    delivery.assert_delivered()


@each_served
class TestServer:
    """What needs no knowledge of the protocol."""

    @pytest.mark.slow
    def test_slow_server(self, delivery: Delivery) -> None:
        delivery.run(stage=lambda: delivery.proxy.slow(400_000))
        delivery.assert_delivered()

    @pytest.mark.parametrize("step", [also("stage"), "publish", also("put_manifest")])
    def test_p4_server_down_and_back(self, delivery: Delivery, step: str) -> None:
        with pytest.raises(TransientError):
            delivery.run(**{step: delivery.proxy.down})
        if step != "put_manifest":
            delivery.watch.assert_nothing_visible()
        delivery.proxy.up()
        delivery.run()
        delivery.assert_delivered()

    @pytest.mark.slow
    def test_p6_server_down_and_swept(self, delivery: Delivery) -> None:
        with pytest.raises(TransientError):
            delivery.run(put_manifest=delivery.proxy.down)
        delivery.proxy.up()
        delivery.sweep()
        delivery.assert_nothing_but_theirs()


@each_http
class TestBusy:
    """The service answers, and what it says passes with time."""

    @pytest.mark.slow
    @pytest.mark.parametrize("step", ["put_journal", "stage", "publish", "put_manifest"])
    def test_server_error_is_tried_again(self, delivery: Delivery, place: Place, step: str) -> None:
        fault = answer(place.kind, "broken", times=2)
        delivery.run(**{step: lambda: delivery.proxy.arm(fault)})
        assert len(fault.struck) == 2
        delivery.assert_delivered()

    @pytest.mark.parametrize(
        ("step", "what"), [also("stage", "busy"), also("publish", "throttled"), ("put_manifest", "busy")]
    )
    def test_as_long_as_it_asks(self, delivery: Delivery, place: Place, step: str, what: str) -> None:
        """No sooner than Retry-After says does the same request come again."""
        fault = answer(place.kind, what, retry_after=1)
        delivery.run(**{step: lambda: delivery.proxy.arm(fault)})
        [refused] = fault.struck
        again = [
            request.arrived - refused.arrived
            for request in delivery.proxy.requests
            if request.arrived > refused.arrived
            and (request.method, request.target) == (refused.method, refused.target)
        ]
        assert again
        assert min(again) >= 1
        delivery.assert_delivered()

    @pytest.mark.slow
    @pytest.mark.parametrize("step", ["stage", "publish"])
    def test_p4_p6_for_too_long(self, delivery: Delivery, place: Place, step: str) -> None:
        fault = answer(place.kind, "busy", times=EVER, anything=True)
        with pytest.raises(TransientError):
            delivery.run(**{step: lambda: delivery.proxy.arm(fault)})
        delivery.watch.assert_nothing_visible()
        delivery.proxy.disarm()
        delivery.run()
        delivery.assert_delivered()


@each_http
class TestLostAnswer:
    """The service did it and the answer never came."""

    @pytest.mark.parametrize(
        ("step", "times"),
        [
            *((step, 1) for step in ("publish", "put_manifest")),
            *(also(step, 1) for step in ("put_journal", "stage")),
            *(also(step, EVER) for step in ("put_journal", "stage", "publish", "put_manifest")),
        ],
    )
    def test_p4(self, delivery: Delivery, step: str, times: float) -> None:
        fault = LoseAnswer(times=times)
        with suppress(*([TransientError] if times == EVER else [])):
            delivery.run(**{step: lambda: delivery.proxy.arm(fault)})
        assert fault.struck
        delivery.proxy.disarm()
        delivery.run()
        delivery.assert_delivered()

    @pytest.mark.slow
    @pytest.mark.parametrize("step", ["delete_file", "delete_manifest"])
    def test_p5_while_a_resend_removes_what_it_replaces(self, delivery: Delivery, step: str) -> None:
        delivery.run()
        fault = LoseAnswer()
        delivery.resend(**{step: lambda: delivery.proxy.arm(fault)})
        assert fault.struck
        delivery.assert_delivered()


@each_served
@pytest.mark.parametrize("step", ["publish", also("put")])
def test_p4_whichever_answer_is_lost(place: Place, proxy: Proxy, step: str) -> None:
    """Of all that a server says during one step, each piece in turn is lost."""
    assert place.at_port is not None
    store, data = place.at_port(proxy.port).store(), b"rows" * 1000
    for number in range(1, MOST_PIECES):
        path = f"folder/{number}"
        act = partial(store.put, path, data)
        if step == "publish":
            with store.stage(path) as upload:
                upload.write(data)
            act = partial(store.publish, upload.staged)
        cut, fault = Cut(answers=number), LoseAnswer(methods=ALL, skip=number - 1)
        proxy.cut(cut)
        proxy.arm(fault)
        with suppress(TransientError):
            act()
        proxy.disarm()
        act()
        with place.store.open(path) as stream:
            assert stream.read() == data
        assert list(place.store.leftovers()) == []
        if not (cut.done or fault.struck):
            assert number > 1
            return
    pytest.fail(f"{step} takes more than {MOST_PIECES} answers")


@each_http
class TestRefused:
    """The service says no in the middle of an export."""

    @pytest.mark.parametrize("step", [also("stage"), "publish"])
    def test_p1_p6_expired_credentials(self, delivery: Delivery, place: Place, step: str) -> None:
        self._refused_at(step, AccessDenied, delivery, place, "expired")

    @pytest.mark.parametrize("step", ["stage", also("publish")])
    def test_p1_p6_storage_full(self, delivery: Delivery, place: Place, step: str) -> None:
        self._refused_at(step, StorageFull, delivery, place, "full")

    def _refused_at(self, step: str, error: type[ExportError], delivery: Delivery, place: Place, what: str) -> None:
        fault = answer(place.kind, what, times=EVER, anything=what == "expired")
        with pytest.raises(error):
            delivery.run(**{step: lambda: delivery.proxy.arm(fault)})
        assert fault.struck
        delivery.watch.assert_nothing_visible()
        delivery.proxy.disarm()
        delivery.assert_nothing_but_theirs()
        delivery.run()
        delivery.assert_delivered()
