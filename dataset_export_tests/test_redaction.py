"""What is hidden in a foreign text, and what is not: the names by which a person finds the mistake."""

import json
import secrets
from base64 import b64encode
from html import escape
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_export.errors import ConfigError
from dataset_export.redaction import HIDDEN, MOST_CHARACTERS, quoted, remember, without_secrets
from dataset_export.secret_refs import SecretRef, revealed

MARK = f'Zq8+/=&"<é\\{secrets.token_hex(12)}'


@pytest.mark.parametrize(
    "form",
    [
        str, repr, json.dumps, quote, quote_plus, escape,
        lambda text: quote(text, safe=""),
        lambda text: json.dumps(json.dumps(text)),
        lambda text: b64encode(text.encode()).decode(),
        lambda text: repr(text.encode()),
    ],
)  # fmt: skip
def test_a_remembered_secret_is_hidden_in_each_form(form) -> None:  # type: ignore[no-untyped-def]
    remember(MARK)
    said = without_secrets(f"before {form(MARK)} after")
    assert HIDDEN in said
    assert MARK[-12:] not in said
    assert form(MARK).strip("\"'") not in said


def test_each_line_of_a_secret_is_hidden() -> None:
    lines = [secrets.token_urlsafe(8) for _ in range(3)]
    remember("\n".join(lines))
    assert without_secrets(f"{lines[1]} and {lines[2]}") == f"{HIDDEN} and {HIDDEN}"


@pytest.mark.parametrize(
    "credential",
    [
        secrets.token_hex(32),  # a signature of version 4
        b64encode(secrets.token_bytes(32)).decode(),  # one of Azure
        f"ya29.{secrets.token_urlsafe(40)}",
        f"eyJ0eXAi.{secrets.token_urlsafe(30)}.{secrets.token_urlsafe(40)}",
        quote(b64encode(secrets.token_bytes(32)).decode(), safe=""),
    ],
    # Not the credentials themselves, which are others in each of the processes that share the tests.
    ids=["hex", "base64", "google", "web token", "quoted base64"],
)
@pytest.mark.parametrize(
    "around", ["Bearer {}", "?sig={}&sp=r", "Signature={}, x", "'{}'", '{{"token":"{}"}}', "a: {}\n"]
)
def test_what_was_derived_or_issued_is_hidden(credential: str, around: str) -> None:
    said = quoted(around.format(credential))
    assert all(part not in said for part in (credential, credential[:12], credential[-12:]))


@pytest.mark.parametrize(
    "said",
    [
        'Could not connect to the endpoint URL: "https://exports-2024.s3.eu-west-1.amazonaws.com/"',
        "The specified container does not exist",
        "Permission denied for user partner on host sftp1.partner-company.example",
        "Object at location lake/orders/part-00000-3f7a2d9e-91c4-4a51-8a5f-0b6a2d9e91c4-c000.snappy.parquet not found",
        "request id 9feedb76-e91a-11f1-afb2-02fc00000001",
        "the clock is 901 seconds ahead of 2026-11-25T21:53:18Z",
    ],
)
def test_names_stay(said: str) -> None:
    assert quoted(said) == said


def test_one_line_of_bounded_length() -> None:
    assert quoted("a\n b\t c") == "a b c"
    assert len(quoted("word " * 1000)) == MOST_CHARACTERS + 1


@given(st.text(st.characters(codec="utf-8"), min_size=8), st.text(), st.text())
def test_no_remembered_secret_survives(secret: str, before: str, after: str) -> None:
    assert remember(secret) == secret
    assert secret not in without_secrets(f"{before} {secret} {after}")


def test_secrets_are_remembered_when_they_are_read(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    by_env, by_file, by_field = (f"short-{secrets.token_hex(3)}" for _ in range(3))
    monkeypatch.setenv("PLANTED", by_env)
    (tmp_path / "file").write_text(f"{by_file}\n")
    assert SecretRef(env="PLANTED").reveal() == by_env
    assert revealed(f"{{file: {tmp_path / 'file'}}}") == by_file
    assert revealed(by_field) == by_field
    assert quoted(f"{by_env} {by_file} {by_field}") == f"{HIDDEN} {HIDDEN} {HIDDEN}"


def test_a_secret_that_is_no_text_is_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "file").write_bytes(b"\xff\xfe\x00secret")
    with pytest.raises(ConfigError, match="no text in UTF-8") as caught:
        SecretRef(file=str(tmp_path / "file")).reveal()
    assert caught.value.__cause__ is None
