"""Paths of columns: what people write, and what is read from it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_export.encoding.column_path import parse_path, path_text
from dataset_export.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("id", ("id",)),
        ("home.street", ("home", "street")),
        ("items.element.price", ("items", "element", "price")),
        ("`net.price`.amount", ("net.price", "amount")),
        ("a.`b.c`", ("a", "b.c")),
        ("`a``b`", ("a`b",)),
        ("größe in m", ("größe in m",)),
    ],
)
def test_read(text: str, path: tuple[str, ...]) -> None:
    assert parse_path(text) == path
    assert path_text(path) == text


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", "`a", "a`b", "``", "`a`b", "a.`b`c"])
def test_what_is_no_path(text: str) -> None:
    with pytest.raises(ConfigError, match="is no path of a column"):
        parse_path(text)


@given(st.lists(st.text(min_size=1), min_size=1).map(tuple))
def test_every_path_reads_back(path: tuple[str, ...]) -> None:
    assert parse_path(path_text(path)) == path
