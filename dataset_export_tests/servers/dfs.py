"""An Azure Data Lake Storage Gen2 server for the tests, on loopback: the calls that azure-storage-file-datalake makes.

No emulator has the Data Lake endpoint. This one follows the public REST reference (Path: Create, Update, Read, Get
Properties, Delete, List; the few calls that the SDK sends to the Blob endpoint instead), and is strict where the
reference is: conditions, parents of a rename, positions of a flush, checksums, signatures. Both endpoints have one port,
and the account is the first segment of the path.
"""

import base64
import json
import re
import secrets
import shutil
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from dataset_export_tests.servers.certificates import write_certificates
from dataset_export_tests.servers.dfs_access import Access, Principal
from dataset_export_tests.servers.dfs_tree import Conditions, FileSystem, Node, Refused

ACCOUNT = "laketests"
TENANT = "adfs"
"""The one tenant whose authority the sign-in library takes without asking a public server about it."""
LARGEST_PAGE = 5000
READ_CHUNK = 1 << 20


@dataclass
class Fault:
    """What happens to the next `times` requests whose method and target match.

    Attributes:
        method: of the requests.
        target: a regular expression, searched for in path and query, or in the source of a rename.
        times: how many requests.
        status: of an answer that is given instead, with `code` and `headers`; 0 for none.
        lost: the request is carried out and the connection breaks before the answer.
        garbled: the first byte of the body arrives as another one.
        then: called when the request is carried out, before the answer.
        done: the statuses of the answers that were lost or given.
    """

    method: str
    target: str = ""
    times: int = 1
    status: int = 0
    code: str = ""
    headers: dict[str, str] = field(default_factory=dict[str, str])
    lost: bool = False
    garbled: bool = False
    then: Callable[[], object] | None = None
    done: list[int] = field(default_factory=list[int])


@dataclass
class DataLake:
    """A running server. `endpoint` is the URL of its account; with TLS, `ca_bundle` is the file of the authority that
    made its certificate."""

    endpoint: str
    folder: Path
    access: Access
    ca_bundle: str = ""
    hierarchical: bool = True
    page: int = LARGEST_PAGE
    file_systems: dict[str, FileSystem] = field(default_factory=dict[str, FileSystem])
    requests: list[str] = field(default_factory=list[str])
    faults: list[Fault] = field(default_factory=list[Fault])
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def port(self) -> int:
        """Its port on 127.0.0.1."""
        return int(urlsplit(self.endpoint).netloc.rpartition(":")[2])

    def create_file_system(self) -> str:
        """Create a file system and return its name."""
        name = f"fs{secrets.token_hex(8)}"
        self.file_systems[name] = FileSystem(self.folder)
        return name

    def client(self, file_system: str) -> Any:
        """A FileSystemClient with the key of the account."""
        from azure.storage.filedatalake import FileSystemClient

        credential = {"account_name": ACCOUNT, "account_key": self.access.key}
        return FileSystemClient(self.endpoint, file_system, credential=credential, retry_total=0)

    def sas(self, file_system: str, permissions: str = "rwdlm", *, lasts: timedelta = timedelta(hours=1)) -> str:
        """A shared access signature for a file system, from two hours before now; negative `lasts` have expired."""
        from azure.storage.filedatalake import generate_file_system_sas

        now = datetime.now(UTC)
        return generate_file_system_sas(
            ACCOUNT, file_system, self.access.key, permission=permissions, start=now - timedelta(hours=2),
            expiry=now + lasts,
        )  # fmt: skip

    def arm(self, fault: Fault) -> Fault:
        """Have this happen to requests from now on."""
        with self.lock:
            self.faults.append(fault)
        return fault

    def next_fault(self, method: str, target: str) -> Fault | None:
        """The fault for a request that has come, if any; counts."""
        with self.lock:
            self.requests.append(f"{method} {target}")
            for fault in self.faults:
                if fault.times and fault.method == method and re.search(fault.target, target):
                    fault.times -= 1
                    return fault
        return None


@contextmanager
def running_data_lake(*, hierarchical: bool = True, tls: bool = False) -> Iterator[DataLake]:
    """Start the server in threads of this process, until the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="dfs-"))
    server = Server(("127.0.0.1", 0), Handler)
    key = base64.b64encode(secrets.token_bytes(64)).decode()
    lake = DataLake(
        f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}/{ACCOUNT}",
        folder,
        Access(ACCOUNT, key, Principal()),
        hierarchical=hierarchical,
    )
    if tls:
        write_certificates(folder)
        lake.ca_bundle = str(folder / "ca.pem")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem", folder / "server.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.lake = lake
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="dfs", daemon=True)
    thread.start()
    try:
        yield lake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        shutil.rmtree(folder, ignore_errors=True)


class Server(ThreadingHTTPServer):
    """Listens; a thread for each connection."""

    daemon_threads = True
    lake: DataLake

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
        self.lake = self.server.lake

    def do_request(self) -> None:
        """Answer one request, or do to it what a fault says."""
        self.sent = {name.lower(): value for name, value in self.headers.items()}
        self.left = int(self.sent.get("content-length", "0"))
        source = self.sent.get("x-ms-rename-source", "")
        fault = self.lake.next_fault(self.command, f"{self.path} {source}".strip())
        split = urlsplit(self.path)
        self.query = dict(parse_qsl(split.query, keep_blank_values=True))
        self.lost = fault.lost if fault else False
        self.garbled = fault.garbled if fault else False
        self.then = fault.then if fault else None
        self.done = fault.done if fault else []
        account, self.name, self.place = [*split.path[1:].split("/", 2), "", ""][:3]
        self.place = unquote(self.place).strip("/")
        try:
            if fault is not None and fault.status:
                raise Refused(fault.status, fault.code)
            if account == TENANT:
                self._sign_in(split.path)
            elif account != ACCOUNT:
                raise Refused(400, "InvalidUri")
            else:
                self._answer()
        except Refused as refused:
            self._refuse(refused, fault.headers if fault else {})
        if self.lost:
            self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_PATCH = do_DELETE = do_POST = do_request

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the requests are recorded."""

    def _answer(self) -> None:
        operation, needs = self._operation()
        self.lake.access.check(self.command, self.path, self.sent, self.name, needs)
        operation()

    def _operation(self) -> tuple[Callable[[], None], str]:
        """What to do, and the letter of the SAS permission that it needs."""
        query, method, at_path = self.query, self.command, bool(self.place)
        what = query.get("action", query.get("resource", query.get("restype", query.get("comp", ""))))
        table: dict[tuple[str, bool, str], tuple[Callable[[], None], str]] = {
            ("GET", False, "account"): (self._account, ""),
            ("GET", False, "filesystem"): (self._list, "l"),
            ("PUT", False, "container"): (self._create_file_system, "?"),
            ("HEAD", False, "getAccessControl"): (self._access_control, "e"),
            ("HEAD", True, "getAccessControl"): (self._access_control, "e"),
            ("PUT", True, "file"): (self._create, "w"),
            ("PUT", True, "directory"): (self._create, "w"),
            ("PUT", True, "metadata"): (self._set_metadata, "w"),
            ("PATCH", True, "append"): (self._append, "w"),
            ("PATCH", True, "flush"): (self._flush, "w"),
            ("DELETE", True, ""): (self._delete, "d"),
            ("HEAD", True, ""): (self._properties, "r"),
            ("GET", True, ""): (self._read, "r"),
        }
        if method == "PUT" and "x-ms-rename-source" in self.sent:
            return self._rename, "m"
        if (method, at_path, what) not in table:
            raise Refused(400, "UnsupportedQueryParameter")
        return table[method, at_path, what]

    @property
    def _files(self) -> FileSystem:
        if self.name not in self.lake.file_systems:
            raise Refused(404, "FilesystemNotFound" if self._is_dfs() else "ContainerNotFound")
        return self.lake.file_systems[self.name]

    @property
    def _conditions(self) -> Conditions:
        get = self.sent.get
        return Conditions(get("if-match", ""), get("if-none-match", ""), get("x-ms-source-if-match", ""))

    def _account(self) -> None:
        if self.name:
            _ = self._files
        self._send(200, {
            "x-ms-sku-name": "Standard_LRS", "x-ms-account-kind": "StorageV2",
            "x-ms-is-hns-enabled": str(self.lake.hierarchical).lower(),
        })  # fmt: skip

    def _create_file_system(self) -> None:
        if self.name in self.lake.file_systems:
            raise Refused(409, "ContainerAlreadyExists")
        self.lake.file_systems[self.name] = FileSystem(self.lake.folder)
        self._send(201)

    def _access_control(self) -> None:
        self._files.node(self.place)
        if not self.lake.hierarchical:
            raise Refused(400, "HierarchicalNamespaceNotEnabled")
        self._send(200, {"x-ms-owner": "$superuser", "x-ms-group": "$superuser", "x-ms-permissions": "rwxr-x---"})

    def _create(self) -> None:
        pairs = (pair.split("=", 1) for pair in self.sent.get("x-ms-properties", "").split(",") if pair)
        metadata = {name.strip(): base64.b64decode(value).decode() for name, value in pairs}
        kind = "file" if self.query["resource"] == "file" else "directory"
        self._send_node(201, self._files.create(self.place, kind, metadata, self._conditions))

    def _rename(self) -> None:
        source, _, sas = self.sent["x-ms-rename-source"].partition("?")
        name, _, path = unquote(source).strip("/").partition("/")
        if "authorization" not in self.sent:
            self.lake.access.check_sas(dict(parse_qsl(sas)), name, "m")
        if name != self.name:
            raise Refused(400, "InvalidSourceUri")
        self._send_node(201, self._files.rename(path, self.place, self._conditions))

    def _append(self) -> None:
        md5 = self.sent.get("content-md5")
        node = self._files.append(
            self.place, int(self.query["position"]), self.left, self._receive, base64.b64decode(md5) if md5 else None
        )
        if self.query.get("flush") == "true":
            end = max(position + length for position, length in node.appended.items())
            self._files.flush(self.place, end, "", self._conditions)
        self._send(202)

    def _flush(self) -> None:
        md5 = self.sent.get("x-ms-content-md5", "")
        self._send_node(200, self._files.flush(self.place, int(self.query["position"]), md5, self._conditions))

    def _set_metadata(self) -> None:
        prefix = "x-ms-meta-"
        metadata = {name.removeprefix(prefix): value for name, value in self.sent.items() if name.startswith(prefix)}
        self._send_node(200, self._files.set_metadata(self.place, metadata, self._conditions))

    def _delete(self) -> None:
        recursive = {"true": True, "false": False}.get(self.query.get("recursive", ""))
        self._files.delete(self.place, recursive=recursive, conditions=self._conditions)
        self._send(200)

    def _properties(self) -> None:
        node = self._files.node(self.place, self._conditions)
        self._send_node(200, node, {"Content-Length": str(node.length), **_described(node)})

    def _read(self) -> None:
        with self._files.reading(self.place, self._conditions) as (node, content, length):
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.sent.get("x-ms-range", self.sent.get("range", "")))
            start = int(asked[1]) if asked else 0
            end = min(int(asked[2]) if asked and asked[2] else length, length - 1)
            if asked and start >= length:
                raise Refused(416, "InvalidRange")
            headers = {"Content-Length": str(end + 1 - start), **_described(node)}
            if asked:
                headers["Content-Range"] = f"bytes {start}-{end}/{length}"
            self._send_node(206 if asked else 200, node, headers)
            self._send_bytes(content, start, end + 1)

    def _list(self) -> None:
        recursive = self.query["recursive"] == "true"
        found = self._files.below(self.query.get("directory", "").strip("/"), recursive=recursive)
        after = unquote(self.query.get("continuation", "")).split("/")
        if self.query.get("continuation"):
            found = [one for one in found if one[0].split("/") > after]
        most = min(int(self.query.get("maxResults", LARGEST_PAGE)), self.lake.page)
        page = found[:most]
        more = {"x-ms-continuation": quote(page[-1][0])} if len(found) > most else {}
        body = json.dumps({"paths": [_listed(path, node) for path, node in page]}).encode()
        self._send(200, {"Content-Type": "application/json;charset=utf-8", **more}, body)

    def _sign_in(self, path: str) -> None:
        root = f"https://127.0.0.1:{self.lake.port}/{TENANT}"
        if path.endswith("/.well-known/openid-configuration"):
            document: dict[str, Any] = {
                "issuer": root, "authorization_endpoint": f"{root}/oauth2/authorize",
                "token_endpoint": f"{root}/oauth2/token",
            }  # fmt: skip
            self._send(200, {"Content-Type": "application/json"}, json.dumps(document).encode())
            return
        token = self.lake.access.principal.sign_in(dict(parse_qsl(self._receive(self.left).decode())))
        if token is None:
            document = {
                "error": "invalid_client",
                "error_description": "AADSTS7000215: Invalid client secret provided.",
            }
        else:
            document = {"token_type": "Bearer", "expires_in": 3600, "access_token": token}
        self._send(200 if token else 401, {"Content-Type": "application/json"}, json.dumps(document).encode())

    def _refuse(self, refused: Refused, headers: dict[str, str]) -> None:
        code = refused.code
        if not self._is_dfs():
            code = {"PathNotFound": "BlobNotFound"}.get(code, code)
        message = f"{code} as the reference has it.\nRequestId:0\nTime:{time.time()}"
        if self._is_dfs():
            body = json.dumps({"error": {"code": code, "message": message}}).encode()
            kind = "application/json;charset=utf-8"
        else:
            body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'.encode()
            kind = "application/xml"
        self._send(refused.status, {"Content-Type": kind, "x-ms-error-code": code, **headers}, body)

    def _is_dfs(self) -> bool:
        """Whether the request is one of the Data Lake endpoint: the SDK sends the others to the Blob endpoint."""
        dfs = {"action", "resource", "recursive", "paginated"} & self.query.keys()
        return bool(dfs) or self.command in {"PATCH", "DELETE"} or "x-ms-rename-source" in self.sent

    def _send_node(self, status: int, node: Node, headers: dict[str, str] | None = None) -> None:
        modified = format_datetime(node.modified, usegmt=True)
        self._send(status, {"ETag": node.etag, "Last-Modified": modified, **(headers or {})})

    def _send(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self._receive_rest()
        self.done.append(status)  # before the answer is out: whoever gets it may look at once
        if self.then is not None:
            self.then()
        if self.lost:
            return
        self.send_response(status)
        known = {"x-ms-request-id": secrets.token_hex(16), "x-ms-version": self.sent.get("x-ms-version", "")}
        for name, value in {"Content-Length": str(len(body)), **known, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def _send_bytes(self, content: int, start: int, end: int) -> None:
        with open(content, "rb", closefd=False) as file:
            file.seek(start)
            while start < end and not self.lost:
                chunk = file.read(min(READ_CHUNK, end - start))
                self.wfile.write(chunk)
                start += len(chunk)
        self.wfile.flush()

    def _receive(self, size: int) -> bytes:
        chunk = self.rfile.read(min(size, self.left))
        self.left -= len(chunk)
        if self.garbled:
            self.garbled = False
            return bytes([chunk[0] ^ 1]) + chunk[1:]
        return chunk

    def _receive_rest(self) -> None:
        while self.left and self._receive(READ_CHUNK):
            pass


def _described(node: Node) -> dict[str, str]:
    headers = {f"x-ms-meta-{name}": value for name, value in node.metadata.items()}
    headers |= {"x-ms-resource-type": node.kind, "x-ms-creation-time": format_datetime(node.created, usegmt=True)}
    return headers | {"x-ms-blob-type": "BlockBlob", "Content-Type": "application/octet-stream"}


def _listed(path: str, node: Node) -> dict[str, str]:
    shown = {
        "name": path, "contentLength": str(node.length), "etag": node.etag, "owner": "$superuser",
        "lastModified": format_datetime(node.modified, usegmt=True), "permissions": "rw-r-----",
    }  # fmt: skip
    return shown | ({"isDirectory": "true"} if node.kind == "directory" else {})
