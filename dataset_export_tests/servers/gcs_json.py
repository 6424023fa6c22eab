"""The few calls of the JSON API that Google's own client makes at the Google Cloud Storage server: it sees the same objects
as the XML API, so that the server is held against a client that Google wrote."""

import json
import re
from collections.abc import Callable, Mapping
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from dataset_export_tests.servers.gcs_bucket import Blob, Body, Bucket, Refused

PATHS = re.compile(r"/(?:(upload|download)/)?storage/v1/b/([^/]+)/o(?:/([^/]+))?")
REASONS = {
    "NoSuchKey": (404, "notFound"),
    "NoSuchBucket": (404, "notFound"),
    "PreconditionFailed": (412, "conditionNotMet"),
    "AccessDenied": (403, "forbidden"),
    "AuthenticationRequired": (401, "authError"),
}


class Reply(NamedTuple):
    """Status, content type and body."""

    status: int
    kind: str
    body: bytes


def is_json(path: str) -> bool:
    """Whether a path belongs to the JSON API."""
    return PATHS.fullmatch(path) is not None


def refusal(refused: Refused) -> Reply:
    """An error answer."""
    status, reason = REASONS.get(refused.code, (refused.status, "invalid"))
    one = {"message": refused.message, "domain": "global", "reason": reason}
    return _reply({"error": {"code": status, "message": refused.message, "errors": [one]}}, status)


def reply(
    buckets: Mapping[str, Bucket], method: str, target: str, headers: Mapping[str, str], body: bytes, page: int
) -> Reply:
    """The answer to a request. Raises Refused."""
    split = urlsplit(target)
    match = PATHS.fullmatch(split.path)
    assert match is not None
    way, name, key = match[1] or "", unquote(match[2]), unquote(match[3] or "")
    if name not in buckets:
        raise Refused(404, "NoSuchBucket", "The specified bucket does not exist.")
    bucket, query = buckets[name], dict(parse_qsl(split.query, keep_blank_values=True))
    condition = query.get("ifGenerationMatch")
    table: dict[tuple[str, str, bool], Callable[[], Reply]] = {
        ("GET", "", False): lambda: _listing(name, bucket, query, page),
        ("GET", "", True): lambda: _reply(_resource(name, key, bucket.get(key, condition))),
        ("GET", "download", True): lambda: _media(bucket.get(key, condition)),
        ("DELETE", "", True): lambda: _deleted(bucket, key, condition),
        ("POST", "upload", False): lambda: _upload(name, bucket, query, headers, body),
    }
    if (method, way, bool(key)) not in table:
        raise Refused(501, "NotImplemented", f"{method} {target}")
    return table[method, way, bool(key)]()


def _listing(name: str, bucket: Bucket, query: Mapping[str, str], page: int) -> Reply:
    most = min(int(query.get("maxResults", page)), page)
    prefix, after = query.get("prefix", ""), query.get("pageToken", "")
    names = sorted(one for one in list(bucket.objects) if one.startswith(prefix) and one > after)
    listing: dict[str, Any] = {"kind": "storage#objects"}
    listing["items"] = [_resource(name, one, bucket.objects[one]) for one in names[:most]]
    if names[most:]:
        listing["nextPageToken"] = names[most - 1]
    return _reply(listing)


def _media(blob: Blob) -> Reply:
    return Reply(200, blob.content_type, blob.body.file.read_bytes())


def _deleted(bucket: Bucket, key: str, condition: str | None) -> Reply:
    bucket.delete(key, condition)
    return Reply(204, "application/json", b"")


def _upload(name: str, bucket: Bucket, query: Mapping[str, str], headers: Mapping[str, str], body: bytes) -> Reply:
    if query.get("uploadType") != "multipart":
        raise Refused(501, "NotImplemented", "Only uploads in one request are known here.")
    message = BytesParser(policy=HTTP).parsebytes(
        b"Content-Type: " + headers["content-type"].encode() + b"\r\n\r\n" + body
    )
    about, media = message.iter_parts()
    metadata = json.loads(about.get_payload(decode=True))
    stored = Body.written(bucket.folder, [media.get_payload(decode=True)])
    stored.check(
        ",".join(
            f"{kind}={metadata[given]}"
            for kind, given in (("crc32c", "crc32c"), ("md5", "md5Hash"))
            if given in metadata
        )
    )
    kind = metadata.get("contentType", media.get_content_type())
    blob = bucket.put(metadata["name"], stored, {}, kind, match=query.get("ifGenerationMatch"))
    return _reply(_resource(name, metadata["name"], blob))


def _resource(bucket: str, key: str, blob: Blob) -> dict[str, Any]:
    hashes = {"crc32c": blob.body.crc32c} | ({"md5Hash": blob.body.md5} if blob.has_md5 else {})
    moment = blob.modified.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    metadata = {name.removeprefix("x-goog-meta-"): value for name, value in blob.metadata.items()}
    return {
        "kind": "storage#object", "bucket": bucket, "name": key, "generation": str(blob.generation),
        "metageneration": "1", "size": str(blob.body.bytes), "contentType": blob.content_type, "updated": moment,
        "timeCreated": moment, "metadata": metadata, **hashes,
    }  # fmt: skip


def _reply(answer: Mapping[str, Any], status: int = 200) -> Reply:
    return Reply(status, "application/json; charset=UTF-8", json.dumps(answer).encode())
