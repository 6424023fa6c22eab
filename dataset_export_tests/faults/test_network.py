"""Exports through a network and a service that fail in all the ways they do: the export or its retry delivers, and P1 to
P7 hold whatever was lost on the way."""

from collections.abc import Iterator
from contextlib import suppress
from functools import partial

import pytest

from dataset_export.destinations import retry
from dataset_export.errors import AccessDenied, ExportError, StorageFull, TransientError
from dataset_export_tests.conftest import KINDS
from dataset_export_tests.faults.delivery import MID_PART, Delivery, also
from dataset_export_tests.faults.service_answers import answer
from dataset_export_tests.places.contract import Place
from dataset_export_tests.servers.proxy import ALL, Cut, LoseAnswer, Proxy, Reset, running_proxy

SERVED = [kind for kind in KINDS if kind != "local"]
SPEAK_HTTP = [kind for kind in SERVED if kind != "sftp"]
"""SSH is encrypted, so no single request of SFTP can be chosen: any piece of what its server says is lost instead."""

each_served = pytest.mark.parametrize("place", SERVED, indirect=True)
each_http = pytest.mark.parametrize("place", SPEAK_HTTP, indirect=True)


EVER = float("inf")
MOST_PIECES = 40


@pytest.fixture
def proxy(place: Place) -> Iterator[Proxy]:
    with running_proxy(place.port) as running:
        yield running


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_WAIT_SECONDS", 0.02)


class Proxied(Delivery):
    """A delivery through `proxy`."""

    def __init__(self, place: Place, proxy: Proxy, lake: str) -> None:
        assert place.at_port is not None
        super().__init__(place, place.at_port(proxy.port).store(), lake)
        self.proxy = proxy


@pytest.fixture
def delivery(place: Place, proxy: Proxy, lake: str) -> Proxied:
    return Proxied(place, proxy, lake)


@each_http
class TestReset:
    """The connection breaks in the middle of a file."""

    def test_p4_once(self, delivery: Proxied) -> None:
        fault = Reset(larger=MID_PART)
        delivery.run(stage=lambda: delivery.proxy.arm(fault))
        assert fault.struck
        delivery.assert_delivered()

    @pytest.mark.slow
    def test_p4_p6_every_time(self, delivery: Proxied) -> None:
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
def test_p4_p6_bytes_stop_mid_file(delivery: Proxied) -> None:
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
    def test_slow_server(self, delivery: Proxied) -> None:
        delivery.run(stage=lambda: delivery.proxy.slow(400_000))
        delivery.assert_delivered()

    @pytest.mark.parametrize("step", [also("stage"), "publish", also("put_manifest")])
    def test_p4_server_down_and_back(self, delivery: Proxied, step: str) -> None:
        with pytest.raises(TransientError):
            delivery.run(**{step: delivery.proxy.down})
        if step != "put_manifest":
            delivery.watch.assert_nothing_visible()
        delivery.proxy.up()
        delivery.run()
        delivery.assert_delivered()

    @pytest.mark.slow
    def test_p6_server_down_and_swept(self, delivery: Proxied) -> None:
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
    def test_server_error_is_tried_again(self, delivery: Proxied, place: Place, step: str) -> None:
        fault = answer(place.kind, "broken", times=2)
        delivery.run(**{step: lambda: delivery.proxy.arm(fault)})
        assert len(fault.struck) == 2
        delivery.assert_delivered()

    @pytest.mark.parametrize(
        ("step", "what"), [also("stage", "busy"), also("publish", "throttled"), ("put_manifest", "busy")]
    )
    def test_as_long_as_it_asks(self, delivery: Proxied, place: Place, step: str, what: str) -> None:
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
    def test_p4_p6_for_too_long(self, delivery: Proxied, place: Place, step: str) -> None:
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
    def test_p4(self, delivery: Proxied, step: str, times: float) -> None:
        fault = LoseAnswer(times=times)
        with suppress(*([TransientError] if times == EVER else [])):
            delivery.run(**{step: lambda: delivery.proxy.arm(fault)})
        assert fault.struck
        delivery.proxy.disarm()
        delivery.run()
        delivery.assert_delivered()

    @pytest.mark.slow
    @pytest.mark.parametrize("step", ["delete_file", "delete_manifest"])
    def test_p5_while_a_resend_removes_what_it_replaces(self, delivery: Proxied, step: str) -> None:
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
        for leftover in place.store.leftovers():
            assert (step, leftover.path) == ("put", path)  # a hidden file whose removal was cut off: for a sweep
            place.store.discard_leftover(leftover)
        if not (cut.done or fault.struck):
            assert number > 1
            return
    pytest.fail(f"{step} takes more than {MOST_PIECES} answers")


@each_http
class TestRefused:
    """The service says no in the middle of an export."""

    @pytest.mark.parametrize("step", [also("stage"), "publish"])
    def test_p1_p6_expired_credentials(self, delivery: Proxied, place: Place, step: str) -> None:
        self._refused_at(step, AccessDenied, delivery, place, "expired")

    @pytest.mark.parametrize("step", ["stage", also("publish")])
    def test_p1_p6_storage_full(self, delivery: Proxied, place: Place, step: str) -> None:
        self._refused_at(step, StorageFull, delivery, place, "full")

    def _refused_at(self, step: str, error: type[ExportError], delivery: Proxied, place: Place, what: str) -> None:
        fault = answer(place.kind, what, times=EVER, anything=what == "expired")
        with pytest.raises(error):
            delivery.run(**{step: lambda: delivery.proxy.arm(fault)})
        assert fault.struck
        delivery.watch.assert_nothing_visible()
        delivery.proxy.disarm()
        delivery.assert_nothing_but_theirs()
        delivery.run()
        delivery.assert_delivered()
