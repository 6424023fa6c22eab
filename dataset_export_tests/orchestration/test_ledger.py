"""What is recorded of an export with its materialization is read back as it was."""

from datetime import UTC, datetime

import dagster as dg
import pytest

from dataset_export.export.ledger import Delivered
from dataset_export.export.type_text import Column
from dataset_export.orchestration.ledger import delivered_from, ledger_metadata

TIME = datetime(2026, 11, 1, 8, tzinfo=UTC)


@pytest.mark.parametrize("fingerprint", [None, "eJw="])
def test_a_record_is_read_back(fingerprint: str | None) -> None:
    """The fingerprint too: by it, files of a folder that came late, were changed or removed are found."""
    delivered = Delivered(
        export_time=TIME,
        lower=None,
        upper=1_793_520_000_000_000,
        run_id="run",
        manifest_path="clicks/manifest.json",
        manifest_sha256="00",
        columns=(Column("id", "int64", True),),
        fingerprint=fingerprint,
    )
    event = dg.AssetMaterialization("clicks", metadata=ledger_metadata(delivered))
    assert delivered_from(TIME, event.metadata) == delivered
