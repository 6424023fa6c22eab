"""The table that exports under faults deliver."""

import pytest

from dataset_export_tests.faults.delivery import make_lake


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> str:
    """URI of a table with the rows `delivery.ROWS` in three files, one of them larger than the others."""
    return make_lake(tmp_path_factory.mktemp("faults") / "lake")
