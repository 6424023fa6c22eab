"""A REST catalog that does not answer, or only after a while."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from dataset_export.errors import NotFound, TransientError
from dataset_export.lake import iceberg_rest
from dataset_export.lake.iceberg_catalog import find
from dataset_export.lake.location import IcebergCatalog
from dataset_export.lake.open import TableLocation


def location(port: int, **options: str) -> TableLocation:
    catalog = IcebergCatalog("rest", "lake", "shop.orders", f"http://127.0.0.1:{port}", options)
    return TableLocation("iceberg", "iceberg://lake/shop.orders", {}, catalog=catalog)


@pytest.mark.parametrize("options", [{}, {"credential": "somebody:secret"}, {"token": "secret"}])
def test_one_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch, options: dict[str, str]) -> None:
    monkeypatch.setattr(iceberg_rest, "REQUEST_SECONDS", 0.2)
    told = r"the catalog of the table iceberg://lake/shop\.orders did not answer"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        silent = location(port, **options, **{"oauth2-server-uri": f"http://127.0.0.1:{port}/tokens"})
        with pytest.raises(TransientError, match=told):
            find(silent)


@contextmanager
def answering(*statuses: int) -> Iterator[tuple[int, list[str]]]:
    """A catalog that answers so, one after the other, and then that there is nothing; its port, and what it was asked for."""
    left, asked = list(statuses), list[str]()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            status = left.pop(0) if left else 404
            body = (
                b'{"defaults": {}, "overrides": {}}'
                if status == 200
                else b'{"error": {"message": "no", "type": "T", "code": 1}}'
            )
            self.send_response(status)
            self.send_header("Retry-After", "3600")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_port, asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_one_that_is_busy_is_asked_again() -> None:
    with answering(503, 429, 200) as (port, asked), pytest.raises(NotFound):
        find(location(port, token="secret"))
    assert len(asked) > 3
    assert asked[0] == asked[1] == asked[2]


def test_one_that_stays_busy_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iceberg_rest, "_BACKOFF", 0.01)
    with answering(*[503] * 10) as (port, asked), pytest.raises(TransientError, match="did not answer"):
        find(location(port, token="secret"))
    assert len(asked) == 1 + iceberg_rest.TRIES
