"""An HTTP server on loopback that alerts are sent to: it writes down what it takes, and fails as often as it is told to."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from dataset_export_tests.servers.weed import free_ports


class Receiver:
    """A running server.

    Attributes:
        taken: the alerts that it answered with 200, as Apprise's json:// sends them.
        statuses: what it answers the next requests with, before it takes any again.
        slow: seconds that it waits before each answer.
        drop: whether it takes an alert and then breaks off instead of answering.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.taken: list[dict[str, Any]] = []
        self.requests = 0
        self.statuses: list[int] = []
        self.slow = 0.0
        self.drop = False
        self.stopped = threading.Event()

    @property
    def url(self) -> str:
        """For Apprise."""
        return f"json://127.0.0.1:{self.port}"

    @property
    def titles(self) -> list[str]:
        return [alert["title"] for alert in self.taken]

    def handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests += 1
                receiver.stopped.wait(receiver.slow)
                status = receiver.statuses.pop(0) if receiver.statuses else 200
                if status == 200:
                    receiver.taken.append(json.loads(body))
                if receiver.drop:
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Nothing on the terminal."""

        return Handler


@contextmanager
def running_receiver() -> Iterator[Receiver]:
    """Start the server and stop it at the end."""
    [port] = free_ports(1)
    receiver = Receiver(port)
    server = ThreadingHTTPServer(("127.0.0.1", port), receiver.handler())
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.stopped.set()
        server.shutdown()
        server.server_close()
        thread.join()
