"""Calls to a server that is busy, answers nonsense, or no longer takes the credentials."""

import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest

from dataset_export.destinations import retry
from dataset_export.destinations.retry import TRIES
from dataset_export.destinations.s3 import S3Destination, S3Store
from dataset_export.errors import AccessDenied, TransientError
from dataset_export_tests.servers.proxy import ALL, Answer, Proxy, running_proxy
from dataset_export_tests.servers.weed import ADMIN, REGION, Weed

MIB = 1 << 20


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_WAIT_SECONDS", 0.01)


@pytest.fixture
def proxy(weed: Weed) -> Iterator[Proxy]:
    with running_proxy(int(weed.endpoint.rpartition(":")[2])) as running:
        yield running


def through(proxy: Proxy, bucket: str, **fields: Any) -> S3Destination:
    return S3Destination(
        bucket=bucket,
        region_name=REGION,
        endpoint_url=f"http://127.0.0.1:{proxy.port}",
        aws_access_key_id=ADMIN.access_key,
        aws_secret_access_key=ADMIN.secret_key,
        allow_insecure=True,
        **fields,
    )


def error_body(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>so it is</Message></Error>".encode()


class TestServerAnswers:
    def test_busy_server_is_given_the_time_it_asks_for(self, proxy: Proxy, bucket: str) -> None:
        store = through(proxy, bucket).store()
        store.check()
        busy = proxy.arm(
            Answer(methods=ALL, times=2, status=503, headers={"Retry-After": "1"}, body=error_body("SlowDown"))
        )
        began = time.monotonic()
        store.put("m.json", b"{}")
        assert time.monotonic() - began >= 2
        assert len(busy.struck) == 2

    @pytest.mark.usefixtures("short_waits")
    def test_each_page_is_asked_for_again(self, weed: Weed, proxy: Proxy, bucket: str) -> None:
        destination = through(proxy, bucket)
        client = destination._client()
        client.meta.events.register("provide-client-params.s3.ListObjectsV2", small_pages)
        for number in range(7):
            weed.client().put_object(Bucket=bucket, Key=f"f{number}", Body=b"")
        proxy.arm(Answer(methods=ALL, skip=1, times=2, status=500, body=error_body("InternalError")))
        listed = [one.path for one in S3Store(lambda: client, bucket).list("")]
        assert listed == [f"f{number}" for number in range(7)]
        assert len([one for one in proxy.requests if "list-type" in one.target]) == 4 + 2

    @pytest.mark.usefixtures("short_waits")
    def test_an_answer_that_is_not_of_aws(self, proxy: Proxy, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://127.0.0.1:{proxy.port}")
        proxy.arm(Answer(methods=ALL, times=TRIES, status=502, body=b"<!doctype html><title>Bad Gateway"))
        with pytest.raises(TransientError, match=f"{bucket} is not one of AWS"):
            through(proxy, bucket, role_arn="arn:aws:iam::123456789012:role/exports").store().check()

    def test_p6_token_that_expires_during_an_export(
        self, proxy: Proxy, bucket: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, "dataset_export")
        client = through(proxy, bucket)._client()
        store = S3Store(lambda: client, bucket, part_size=8 * MIB)
        expired = proxy.arm(
            Answer(target="partNumber=2", times=float("inf"), status=400, body=error_body("ExpiredToken"))
        )

        def export() -> None:
            with store.stage("file") as upload:
                upload.write(bytes(20 * MIB))

        with pytest.raises(AccessDenied, match=r"expired.*role_arn"):
            export()
        assert len(expired.struck) == 1
        assert list(store.leftovers()) == []
        assert ADMIN.secret_key not in caplog.text


def small_pages(params: dict[str, Any], **_: Any) -> None:
    params["MaxKeys"] = 2
