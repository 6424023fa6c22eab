"""Error answers in the style of each service, for the proxy to give."""

import json
from collections.abc import Callable

from dataset_export_tests.servers.proxy import Answer

Words = tuple[int, str]
"""HTTP status and the service's error code."""


def xml(code: str) -> tuple[dict[str, str], bytes]:
    body = (
        f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>as the test asked</Message></Error>'
    )
    return {"Content-Type": "application/xml"}, body.encode()


def azure_xml(code: str) -> tuple[dict[str, str], bytes]:
    headers, body = xml(code)
    return headers | {"x-ms-error-code": code}, body


def azure_json(code: str) -> tuple[dict[str, str], bytes]:
    body = json.dumps({"error": {"code": code, "message": "as the test asked"}})
    return {"Content-Type": "application/json", "x-ms-error-code": code}, body.encode()


STYLES: dict[str, Callable[[str], tuple[dict[str, str], bytes]]] = {
    "amazon_s3": xml,
    "google_cloud_storage": xml,
    "azure_blob": azure_xml,
    "data_landing_zone": azure_xml,
    "adls_gen2": azure_json,
}

AZURE = {
    "broken": (500, "InternalError"),
    "busy": (503, "ServerBusy"),
    "throttled": (429, "TooManyRequests"),
    "full": (507, "InsufficientStorage"),
    "expired": (403, "AuthenticationFailed"),
}
WORDS: dict[str, dict[str, Words]] = {
    "amazon_s3": {
        "broken": (500, "InternalError"),
        "busy": (503, "SlowDown"),
        "throttled": (429, "TooManyRequests"),
        "full": (507, "InsufficientStorage"),
        "expired": (400, "ExpiredToken"),
    },
    "google_cloud_storage": {
        "broken": (500, "InternalError"),
        "busy": (503, "ServiceUnavailable"),
        "throttled": (429, "SlowDown"),
        "full": (507, "InsufficientStorage"),
        "expired": (401, "AuthenticationRequired"),
    },
    "azure_blob": AZURE,
    "data_landing_zone": AZURE,
    "adls_gen2": AZURE,
}


def answer(kind: str, what: str, *, retry_after: int | None = None, times: float = 1, anything: bool = False) -> Answer:
    """What the service says when it is `broken`, `busy`, `throttled` or `full`, or when credentials have `expired`; to
    the next requests that change something, or (`anything`) to all."""
    status, code = WORDS[kind][what]
    headers, body = STYLES[kind](code)
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    fault = Answer(status=status, headers=headers, body=body, times=times)
    if anything:
        fault.methods |= {"GET", "HEAD"}
    return fault
