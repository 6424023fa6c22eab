"""docs/testing.md names files, classes and tests that exist, and how many cases there are."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

from dataset_export_tests.conftest import KINDS

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs/testing.md").read_text(encoding="utf-8")


def test_everything_that_the_page_names_exists() -> None:
    written = "\n".join(file.read_text(encoding="utf-8") for file in TESTS.rglob("*.py"))
    tests = set(re.findall(r"`((?:test_|Test)\w+)`", PAGE))
    assert len(tests) > 10
    assert [name for name in sorted(tests) if not re.search(rf"^ *(def|class) {name}\b", written, re.MULTILINE)] == []
    files = set(re.findall(r"`([\w/]+\.(?:py|js))`", PAGE))
    assert len(files) > 10
    assert [file for file in sorted(files) if not list(TESTS.rglob(file))] == []


def test_the_page_says_how_many_cases_each_destination_has() -> None:
    (said,) = re.findall(r"That is (\d+) cases for each destination", PAGE)
    cases = collected("destinations/test_conformance.py", "destinations/test_deliveries.py")
    assert dict(cases) == dict.fromkeys(KINDS, int(said))
    assert int(said) >= 40


def collected(*files: str) -> Counter[str]:
    """How many cases each kind of destination has in these files, slow ones among them."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-m",
        "slow or not slow",
        "-p",
        "no:cacheprovider",
    ]
    listed = subprocess.run(
        [*command, *(str(TESTS / file) for file in files)], capture_output=True, text=True, check=True, cwd=TESTS.parent
    ).stdout
    parameters = [re.split(r"[\[\]-]", line.rpartition("::")[2]) for line in listed.splitlines()]
    return Counter(kind for found in parameters for kind in KINDS if kind in found)
