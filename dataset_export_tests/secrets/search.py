"""Find a secret in whatever was written, in every form in which it may have got there."""

import base64
import gzip
import json
import re
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote, quote_plus

SHORTEST = 12
"""Characters of a fragment that count as a leak: what is left of a secret that was cut off or half hidden."""
SQLITE = b"SQLite format 3\x00"
GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Written:
    """Something that was written: where, and its bytes."""

    where: str
    data: bytes


@dataclass(frozen=True)
class Leak:
    """A secret that was found: its name, the form it has, where it is, and what stands around it."""

    mark: str
    form: str
    where: str
    around: str


def forms(mark: str) -> dict[str, bytes]:
    """What to look for: fragments of the mark, from its first to its last character, in each form.

    Raises:
        ValueError: for a mark that is too short to be told from chance.
    """
    if len(mark) < SHORTEST:
        raise ValueError(f"a mark has at least {SHORTEST} characters")
    raw = mark.encode()
    once = json.dumps(mark)[1:-1]
    whole = {
        "plain": mark,
        "url": quote(mark, safe=""),
        "url path": quote(mark),
        "form": quote_plus(mark),
        "lower-case url": re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), quote(mark, safe="")),
        "url twice": quote(quote(mark, safe=""), safe=""),
        "json": once,
        "json twice": json.dumps(once)[1:-1],
        "repr": repr(mark)[1:-1],
        "xml": escape(mark),
        "hex": raw.hex(),
        "upper-case hex": raw.hex().upper(),
        **{f"base64 at {offset}": text for offset, text in enumerate(_base64(raw))},
        **{f"base64url at {offset}": text.translate(_URL_SAFE) for offset, text in enumerate(_base64(raw))},
    }
    return {
        f"{form} from {start}": fragment.encode()
        for form, text in whole.items()
        for start, fragment in _fragments(text, 2 * SHORTEST if "hex" in form else SHORTEST)
    }


_URL_SAFE = str.maketrans("+/", "-_")


def _base64(raw: bytes) -> Iterator[str]:
    """The characters that depend on nothing but `raw`, where it starts at the offsets 0, 1 and 2 of what was encoded."""
    for offset in range(3):
        first = (offset * 8 + 5) // 6
        last = (offset + len(raw)) * 8 // 6
        yield base64.b64encode(b"\0" * offset + raw + b"\0\0").decode()[first:last]


def _fragments(text: str, length: int) -> Iterator[tuple[int, str]]:
    if len(text) < length:
        return
    for start in range(0, len(text) - length + 1, length):
        yield start, text[start : start + length]
    yield len(text) - length, text[-length:]


def leaks(written: Iterable[Written], marks: Iterable[str]) -> list[Leak]:
    """Every secret that stands anywhere in what was written, in names as well as in contents."""
    wanted: dict[bytes, tuple[str, str]] = {}
    for mark in marks:
        for form, needle in forms(mark).items():
            wanted.setdefault(needle, (mark, form))
    layers = [layer for one in written for layer in (Written(one.where, one.where.encode()), *unpacked(one))]
    found: list[Leak] = []
    for layer, needles in _with_any(layers, wanted):
        for needle in sorted(needles):
            mark, form = wanted[needle]
            at = layer.data.find(needle)
            around = layer.data[max(0, at - 160) : at + len(needle) + 80]
            found.append(Leak(mark, form, layer.where, around.decode("utf-8", "replace")))
    return found


def summary(found: Iterable[Leak]) -> list[str]:
    """One line for each place at which something was found."""
    lines = {leak.where: f"{leak.mark[:3]}…, {leak.form}: {leak.around}" for leak in found}
    return [f"{where}: {line}" for where, line in sorted(lines.items())]


def _with_any(layers: list[Written], needles: Iterable[bytes]) -> Iterator[tuple[Written, set[bytes]]]:
    """The layers in which any of the thousands of needles is, with those. All needles are looked for at once."""
    import polars as pl

    patterns = [needle.decode("latin-1") for needle in needles]
    texts = pl.Series([layer.data.decode("latin-1") for layer in layers], dtype=pl.String)
    hits = [layer for layer, hit in zip(layers, texts.str.contains_any(patterns), strict=True) if hit]
    del texts
    for layer in hits:
        (matches,) = pl.Series([layer.data.decode("latin-1")]).str.extract_many(patterns, overlapping=True).to_list()
        yield layer, {match.encode("latin-1") for match in matches}


def unpacked(written: Written) -> Iterator[Written]:
    """What was written as it is, and what is packed in it: compressed streams, cells of databases."""
    yield written
    if written.data.startswith(GZIP):
        yield from unpacked(Written(f"{written.where} (unzipped)", gzip.decompress(written.data)))
    elif written.data[:1] == b"\x78":
        try:
            plain = zlib.decompress(written.data)
        except zlib.error:
            return
        yield from unpacked(Written(f"{written.where} (inflated)", plain))


def files(folder: Path) -> Iterator[Written]:
    """Every file below `folder`, and the cells of those that are databases: Dagster compresses what it keeps in them."""
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            yield Written(f"{path}/", b"")
        elif path.is_file():
            data = path.read_bytes()
            yield Written(str(path), data)
            if data.startswith(SQLITE):
                yield from _cells(path)


def _cells(database: Path) -> Iterator[Written]:
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                for cell in row:
                    if isinstance(cell, (str, bytes)):
                        data = cell.encode() if isinstance(cell, str) else cell
                        yield Written(f"{database}, table {table}", data)
    finally:
        connection.close()
