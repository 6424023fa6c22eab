"""A Google Cloud Storage server for the tests, on loopback: the calls of the XML API that the store makes, and a
few of the JSON API by which Google's own client sees the same objects.

Neither emulator that can be installed has the XML API's multipart uploads, HMAC keys or any check of credentials. This
one follows the public reference of the XML API and is strict where that is: signatures, conditions on generations (which
multipart uploads refuse with NotImplemented), checksums, sizes and order of parts, pages of at most 1,000. What it does
not know it refuses.
"""

import hashlib
import json
import secrets
import shutil
import ssl
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from dataset_export_tests.servers.certificates import write_certificates
from dataset_export_tests.servers.gcs_access import Access
from dataset_export_tests.servers.gcs_bucket import CHUNK, Blob, Body, Bucket, Refused, etag_of
from dataset_export_tests.servers.gcs_json import is_json, refusal, reply
from dataset_export_tests.servers.gcs_xml import (
    completed,
    copied,
    error,
    initiated,
    named_parts,
    page_of_objects,
    page_of_uploads,
)

Permissions = tuple[str, ...]
CREATE, GET, LIST, DELETE = (f"storage.objects.{what}" for what in ("create", "get", "list", "delete"))
UPLOAD, LIST_UPLOADS, ABORT = (f"storage.multipartUploads.{what}" for what in ("create", "list", "abort"))
LISTING = {"prefix", "max-keys", "continuation-token", "start-after", "list-type", "encoding-type"}
LISTING_UPLOADS = {"uploads", "prefix", "max-uploads", "key-marker", "upload-id-marker"}


@dataclass
class CloudStorage:
    """A running server; with TLS, `ca_bundle` is the file of the authority that made its certificate."""

    endpoint: str
    folder: Path
    access: Access
    ca_bundle: str = ""
    page: int = 1000
    buckets: dict[str, Bucket] = field(default_factory=dict[str, Bucket])
    requests: list[str] = field(default_factory=list[str])

    @property
    def port(self) -> int:
        """Its port on 127.0.0.1."""
        return int(self.endpoint.rpartition(":")[2])

    def create_bucket(self) -> str:
        """Create a bucket and return its name."""
        name = f"bucket-{secrets.token_hex(8)}"
        self.buckets[name] = Bucket(self.folder)
        return name


@contextmanager
def running_cloud_storage(*, tls: bool = False) -> Iterator[CloudStorage]:
    """Start the server in threads of this process, until the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="gcs-"))
    server = Server(("127.0.0.1", 0), Handler)
    scheme = "https" if tls else "http"
    storage = CloudStorage(f"{scheme}://127.0.0.1:{server.server_port}", folder, Access())
    if tls:
        write_certificates(folder)
        storage.ca_bundle = str(folder / "ca.pem")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem", folder / "server.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.storage = storage
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="gcs-server")
    thread.start()
    try:
        yield storage
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        shutil.rmtree(folder, ignore_errors=True)


class Server(ThreadingHTTPServer):
    """Listens; a thread for each connection."""

    daemon_threads = True
    request_queue_size = 64
    storage: CloudStorage

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that break their connection."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def setup(self) -> None:
        super().setup()
        assert isinstance(self.server, Server)
        self.storage = self.server.storage

    def do_request(self) -> None:
        """Answer one request."""
        self.sent = {name.lower(): value for name, value in self.headers.items()}
        self.left = int(self.sent.get("content-length", "0"))
        split = urlsplit(self.path)
        self.query = dict(parse_qsl(split.query, keep_blank_values=True))
        name, _, self.key = unquote(split.path)[1:].partition("/")
        self.storage.requests.append(f"{self.command} {self.path}")
        try:
            if (self.command, split.path) == ("POST", "/token"):
                self._token()
            elif is_json(split.path):
                self._answer_json()
            else:
                self._answer(name)
        except Refused as refused:
            self._refuse(refused)

    do_GET = do_HEAD = do_PUT = do_DELETE = do_POST = do_request

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the requests are recorded."""

    def _answer(self, name: str) -> None:
        self.storage.access.check(self.command, self.path, self.sent)
        if "transfer-encoding" in self.sent:
            raise Refused(501, "NotImplemented", "A header you provided implies functionality that is not implemented.")
        if name not in self.storage.buckets:
            raise Refused(404, "NoSuchBucket", "The specified bucket does not exist.")
        self.bucket = self.storage.buckets[name]
        self.bucket_name = name
        operation, permissions, parameters = self._operation()
        if unknown := set(self.query).difference(parameters):
            raise Refused(400, "InvalidArgument", f"Unknown parameter {unknown}.")
        self._check_conditions_known()
        self.storage.access.require(*permissions)
        operation()

    def _answer_json(self) -> None:
        body = self._read()
        try:
            self.storage.access.check(self.command, self.path, self.sent)
            answer = reply(self.storage.buckets, self.command, self.path, self.sent, body, self.storage.page)
        except Refused as refused:
            answer = refusal(refused)
        self._send(answer.status, answer.kind, answer.body)

    def _operation(self) -> tuple[Callable[[], None], Permissions, set[str]]:
        """What to do, what it needs, and which parameters it has."""
        query = self.query
        what = next((one for one in ("uploadId", "uploads", "list-type") if one in query), "")
        if "x-goog-copy-source" in self.sent:
            what = "copy"
        table: dict[tuple[str, bool, str], tuple[Callable[[], None], Permissions, set[str]]] = {
            ("GET", False, "list-type"): (self._list, (LIST,), LISTING),
            ("GET", False, "uploads"): (self._list_uploads, (LIST_UPLOADS,), LISTING_UPLOADS),
            ("GET", True, ""): (self._get, (GET,), set()),
            ("HEAD", True, ""): (self._get, (GET,), set()),
            ("PUT", True, ""): (self._put, (CREATE,), set()),
            ("PUT", True, "copy"): (self._copy, (CREATE, GET), set()),
            ("DELETE", True, ""): (self._delete, (DELETE,), set()),
            ("POST", True, "uploads"): (self._initiate, (UPLOAD, CREATE), {"uploads"}),
            ("PUT", True, "uploadId"): (self._put_part, (UPLOAD, CREATE), {"uploadId", "partNumber"}),
            ("POST", True, "uploadId"): (self._complete, (UPLOAD, CREATE), {"uploadId"}),
            ("DELETE", True, "uploadId"): (self._abort, (ABORT,), {"uploadId"}),
        }
        if (self.command, bool(self.key), what) not in table:
            raise Refused(501, "NotImplemented", f"{self.command} {self.path}")
        return table[self.command, bool(self.key), what]

    def _check_conditions_known(self) -> None:
        known = {"x-goog-if-generation-match", "x-goog-copy-source-if-generation-match"}
        given = {name for name in self.sent if name.startswith(("x-goog-if-", "x-goog-copy-source-if-", "if-"))}
        if given - known or (given and {"uploads", "uploadId"} & set(self.query)):
            raise Refused(400, "NotImplemented", "Preconditions are not supported here.")

    def _list(self) -> None:
        after = self.query.get("continuation-token") or self.query.get("start-after", "")
        prefix, most = self.query.get("prefix", ""), self._most("max-keys")
        names = sorted(name for name in list(self.bucket.objects) if name.startswith(prefix) and name > after)
        page = [(name, blob) for name in names[: most + 1] if (blob := self.bucket.objects.get(name)) is not None]
        self._send_xml(page_of_objects(self.bucket_name, prefix, most, page))

    def _list_uploads(self) -> None:
        after = self.query.get("key-marker", ""), self.query.get("upload-id-marker", "")
        prefix, most = self.query.get("prefix", ""), self._most("max-uploads")
        uploads = sorted(self.bucket.uploads.copy().values(), key=lambda one: (one.key, one.id))
        page = [one for one in uploads if one.key.startswith(prefix) and (one.key, one.id) > after][: most + 1]
        self._send_xml(page_of_uploads(self.bucket_name, prefix, most, page))

    def _most(self, parameter: str) -> int:
        return min(int(self.query.get(parameter, self.storage.page)), self.storage.page)

    def _get(self) -> None:
        blob = self.bucket.get(self.key, self._match())
        status, start, end = 200, 0, blob.body.bytes
        headers = _headers(blob)
        if wanted := self.sent.get("range", ""):
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, end = int(first), min(int(last or end) + 1, end)
            if start >= blob.body.bytes:
                raise Refused(416, "InvalidRange", "The requested range cannot be satisfied.")
            status = 206
            headers.append(("Content-Range", f"bytes {start}-{end - 1}/{blob.body.bytes}"))
        with blob.open() as stream:
            self._head(status, headers, end - start)
            stream.seek(start)
            while self.command == "GET" and start < end:
                chunk = stream.read(min(CHUNK, end - start))
                self.wfile.write(chunk)
                start += len(chunk)

    def _put(self) -> None:
        body = self._body()
        blob = self.bucket.put(self.key, body, self._metadata(), self._type(), match=self._replacing())
        self._head(200, [("ETag", f'"{body.md5}"'), *_identity(blob)], 0)

    def _copy(self) -> None:
        self._body()
        bucket, _, key = unquote(self.sent["x-goog-copy-source"]).removeprefix("/").partition("/")
        if bucket not in self.storage.buckets:
            raise Refused(404, "NoSuchBucket")
        source = self.storage.buckets[bucket].get(key, self.sent.get("x-goog-copy-source-if-generation-match"))
        replacing = self.sent.get("x-goog-metadata-directive", "COPY") == "REPLACE"
        metadata, content_type = source.metadata, source.content_type
        if replacing:
            metadata, content_type = self._metadata(), self._type()
        blob = self.bucket.put(
            self.key, source.body.linked(), metadata, content_type, match=self._replacing(), has_md5=source.has_md5
        )
        self._send_xml(copied(blob))

    def _delete(self) -> None:
        self.bucket.delete(self.key, self._match())
        self._head(204, [], 0)

    def _initiate(self) -> None:
        upload = self.bucket.initiate(self.key, self._metadata(), self._type())
        self._send_xml(initiated(self.bucket_name, upload))

    def _put_part(self) -> None:
        self.bucket.upload(self.key, self.query["uploadId"])
        body = self._body()
        self.bucket.put_part(self.key, self.query["uploadId"], int(self.query["partNumber"]), body)
        self._head(200, [("ETag", etag_of(body)), ("x-goog-hash", f"crc32c={body.crc32c}")], 0)

    def _complete(self) -> None:
        named = named_parts(self._body().file.read_bytes())
        if self.key in self.bucket.objects:
            self.storage.access.require(DELETE)
        blob = self.bucket.complete(self.key, self.query["uploadId"], named)
        self._send_xml(completed(self.bucket_name, self.key, blob), _identity(blob))

    def _abort(self) -> None:
        self.bucket.abort(self.key, self.query["uploadId"])
        self._head(204, [], 0)

    def _token(self) -> None:
        status, answer = self.storage.access.grant(self._read().decode())
        self._send(status, "application/json", json.dumps(answer).encode())

    def _match(self) -> str | None:
        return self.sent.get("x-goog-if-generation-match")

    def _replacing(self) -> str | None:
        """The condition of a write. To write over something takes the permission to delete."""
        if self._match() != "0" and self.key in self.bucket.objects:
            self.storage.access.require(DELETE)
        return self._match()

    def _metadata(self) -> dict[str, str]:
        return {name: value for name, value in self.sent.items() if name.startswith("x-goog-meta-")}

    def _type(self) -> str:
        return self.sent.get("content-type", "application/octet-stream")

    def _body(self) -> Body:
        """What is sent, after its checksums were compared."""
        body = Body.written(self.storage.folder, self._chunks())
        try:
            body.check(self.sent.get("x-goog-hash", ""))
            if (md5 := self.sent.get("content-md5")) is not None:
                body.check(f"md5={md5}")
            if self.sent.get("x-goog-content-sha256", body.sha256) not in {body.sha256, "UNSIGNED-PAYLOAD"}:
                raise Refused(400, "BadDigest", "The payload is not the one that was signed.")
        except Refused:
            body.file.unlink()
            raise
        return body

    def _chunks(self) -> Iterator[bytes]:
        while self.left:
            chunk = self.rfile.read(min(CHUNK, self.left))
            if not chunk:
                raise ConnectionResetError
            self.left -= len(chunk)
            yield chunk

    def _read(self) -> bytes:
        return b"".join(self._chunks())

    def _refuse(self, refused: Refused) -> None:
        for _ in self._chunks():
            pass
        headers = [("x-guploader-uploadid", hashlib.sha256(self.path.encode()).hexdigest()[:16])]
        self._send(refused.status, "application/xml; charset=UTF-8", error(refused.code, refused.message), headers)

    def _send_xml(self, body: bytes, headers: list[tuple[str, str]] | None = None) -> None:
        for _ in self._chunks():
            pass
        self._send(200, "application/xml; charset=UTF-8", body, headers)

    def _send(self, status: int, kind: str, body: bytes, headers: list[tuple[str, str]] | None = None) -> None:
        self._head(status, [("Content-Type", kind), *(headers or [])], len(body))
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: int, headers: list[tuple[str, str]], length: int) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(length))
        self.end_headers()


def _headers(blob: Blob) -> list[tuple[str, str]]:
    return [
        ("Content-Type", blob.content_type),
        ("Last-Modified", format_datetime(blob.modified, usegmt=True)),
        ("ETag", f'"{blob.body.md5 if blob.has_md5 else f"-{blob.generation}"}"'),
        ("Accept-Ranges", "bytes"),
        ("x-goog-stored-content-encoding", "identity"),
        ("x-goog-stored-content-length", str(blob.body.bytes)),
        *_identity(blob),
        *blob.metadata.items(),
    ]


def _identity(blob: Blob) -> list[tuple[str, str]]:
    hashes = [("x-goog-hash", f"crc32c={blob.body.crc32c}")]
    if blob.has_md5:
        hashes.append(("x-goog-hash", f"md5={blob.body.md5}"))
    return [("x-goog-generation", str(blob.generation)), ("x-goog-metageneration", "1"), *hashes]
