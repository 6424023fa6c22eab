"""docs/spec.md names tests that exist."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
SPEC = TESTS.parent / "docs/spec.md"


def test_every_test_that_the_table_of_rules_names_exists() -> None:
    named = re.findall(r"`(test_\w+)`", SPEC.read_text(encoding="utf-8"))
    written = {
        name
        for file in TESTS.rglob("test_*.py")
        for name in re.findall(r"^ *(?:async )?def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert len(named) >= 8
    assert [name for name in named if name not in written] == []
