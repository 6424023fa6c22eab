"""Folder templates (spec S6), and that no macro's value can leave the destination's folder (design: Security)."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_export.destinations.contract import check_path
from dataset_export.errors import ConfigError
from dataset_export.export.folder import MACROS, FolderTemplate, format_datetime

TIME = datetime(2026, 3, 9, 4, 5, tzinfo=UTC)
VALUES = {name: f"<{name}>" for name in MACROS if name not in {"DATETIME", "EXPORT_TIME"}}


def test_the_default_is_dataset_id_and_export_time() -> None:
    assert FolderTemplate().render(VALUES, TIME) == "<DATASET_ID>/exportTime=202603090405"


@pytest.mark.parametrize("macro", sorted(VALUES))
def test_every_macro_renders_its_value(macro: str) -> None:
    assert FolderTemplate(f"a_%{macro}%/b").render(VALUES, TIME) == f"a_<{macro}>/b"


def test_free_text_and_macros_mix() -> None:
    template = FolderTemplate("%DESTINATION%_%DATASET_ID%_%DATETIME(YYYYMMdd_HHmmss)%")
    assert template.render(VALUES, TIME) == "<DESTINATION>_<DATASET_ID>_20260309_040500"


def test_a_slash_alone_is_the_destinations_folder() -> None:
    assert FolderTemplate("/").render(VALUES, TIME) == ""


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("YYYYMMdd_HHmmss", "20260309_040500"),
        ("yyyy-MM-dd", "2026-03-09"),
        ("yy.D", "26.68"),
        ("'at' HH:mm", "at 04:05"),
        ("M/d", "3/9"),
        ("SSS", "000"),
    ],
)
def test_datetime_patterns(pattern: str, expected: str) -> None:
    assert format_datetime(pattern, TIME) == expected


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("../x", "'..'"),
        ("a/../b", "'..'"),
        ("a//b", "empty"),
        ("/a", "empty"),
        ("", "empty"),
        ("a\\b", "backslash"),
        ("a\nb", "control character"),
        ("%NOPE%/x", "no macro %NOPE%"),
        ("100%", "belongs to no macro"),
        ("%DATETIME%", "DATETIME(pattern)"),
        ("%DATASET_ID(x)%", "no other macro"),
        ("%DATETIME(QQ)%", "letter Q"),
        ("%DATETIME()%", "empty pattern"),
        (".dataset_export/x", "kept for our own records"),
    ],
)
def test_templates_that_are_refused_at_load(template: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        FolderTemplate(template)
    assert message in str(refused.value)


@given(st.text(max_size=12))
def test_no_value_leaves_the_folder(value: str) -> None:
    try:
        path = FolderTemplate("a/%DATASET_NAME%/%EXPORT_TIME%").render({**VALUES, "DATASET_NAME": value}, TIME)
    except ConfigError:
        return
    assert check_path(path).split("/") == ["a", value, "exportTime=202603090405"]
