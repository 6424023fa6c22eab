"""The search itself: a secret that was planted is found, in each form and at each place, so that the proof can fail."""

import base64
import gzip
import json
import pickle
import re
import sqlite3
import zlib
from collections.abc import Callable
from html import escape
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from dataset_export_tests.secrets.search import Written, files, forms, leaks

MARK = 'planted+/=&"<é\\mark-Zq81'
FORMS: dict[str, Callable[[str], str | bytes]] = {
    "plain": lambda text: text,
    "url": lambda text: quote(text, safe=""),
    "url, as a path": quote,
    "url, as a form": quote_plus,
    "url, lower case": lambda text: re.sub("%..", lambda found: found[0].lower(), quote(text, safe="")),
    "url, twice": lambda text: quote(quote(text, safe=""), safe=""),
    "json": json.dumps,
    "json in json": lambda text: json.dumps({"inner": json.dumps({"secret": text})}),
    "repr": repr,
    "xml": escape,
    "hex": lambda text: text.encode().hex(),
    "upper-case hex": lambda text: text.encode().hex().upper(),
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64 after one byte": lambda text: base64.b64encode(b"x" + text.encode()),
    "base64 after two bytes": lambda text: base64.b64encode(b"xy" + text.encode() + b"z"),
    "base64url": lambda text: base64.urlsafe_b64encode(b":" + text.encode()),
    "its first twelve characters": lambda text: text[:12] + "…",
    "its last twelve characters": lambda text: "…" + text[-12:],
    "twenty-three characters inside of it": lambda text: "…" + text[1:24],
    "pickle": lambda text: pickle.dumps({"key": text}),
    "gzip": lambda text: gzip.compress(text.encode()),
    "zlib": lambda text: zlib.compress(text.encode()),
    "zlib in gzip": lambda text: gzip.compress(zlib.compress(text.encode())),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_found_in_each_form(form: str) -> None:
    leaked = FORMS[form](MARK)
    data = leaked if isinstance(leaked, bytes) else leaked.encode()
    packed = form in {"gzip", "zlib", "zlib in gzip"}
    assert leaks([Written("log", data if packed else b"before " + data + b" after")], [MARK])
    assert leaks([Written("log", data)], [MARK])


def test_what_is_no_secret_is_not_found() -> None:
    harmless = [
        Written("log", b"planted mark " * 50),
        Written("other", gzip.compress(b"x" * 1000)),
        Written("x", b"x\x9c"),
    ]
    assert leaks(harmless, [MARK]) == []
    assert leaks([Written("log", MARK[:11].encode())], [MARK]) == []


def test_a_leak_says_what_where_and_in_which_form() -> None:
    (leak, *_) = leaks([Written("stderr", f"error: the key {MARK} is wrong".encode())], ["another-mark-000", MARK])
    assert (leak.mark, leak.where) == (MARK, "stderr")
    assert leak.form.startswith("plain")
    assert "error: the key" in leak.around


def test_a_mark_is_long_enough() -> None:
    with pytest.raises(ValueError, match="at least 12"):
        forms("short")


def test_files_are_searched_with_their_names_and_the_cells_of_databases(tmp_path: Path) -> None:
    def found() -> set[str]:
        return {leak.where for leak in leaks(files(tmp_path), [MARK])}

    assert found() == set()
    (tmp_path / "storage").mkdir()
    (tmp_path / "storage" / "receipts").write_bytes(pickle.dumps([MARK]))
    name = MARK.replace("/", "")
    (tmp_path / f"{name}-upload").write_bytes(b"")
    database = sqlite3.connect(tmp_path / "runs.db")
    database.execute("CREATE TABLE snapshots (body BLOB, told TEXT)")
    database.execute("INSERT INTO snapshots VALUES (?, ?)", (zlib.compress(MARK.encode()), "nothing"))
    database.execute("INSERT INTO snapshots VALUES (?, ?)", (b"", MARK))
    database.commit()
    database.close()
    assert found() == {
        f"{tmp_path}/storage/receipts",
        f"{tmp_path}/{name}-upload",
        f"{tmp_path}/runs.db",
        f"{tmp_path}/runs.db, table snapshots",
        f"{tmp_path}/runs.db, table snapshots (inflated)",
    }
