"""Whether a dataflow may export what it names: refusals that show only when declarations meet."""

from collections.abc import Sequence

from dataset_export.components.organization import Organization
from dataset_export.components.source import Source
from dataset_export.errors import ConfigError
from dataset_export.export.dataflow import Dataset
from dataset_export.governance.eligibility import why_not


def require_eligible(source: Source, datasets: Sequence[Dataset], organization: Organization | None) -> None:
    """Refuse datasets that the organization's licences do not cover (spec S1).

    Args:
        source: of the dataflow.
        datasets: in the order in which it names them.
        organization: None restricts nothing.

    Raises:
        ConfigError: with file and line, a line for each dataset.
    """
    if organization is None:
        return
    refused = [
        f"{source.at('datasets', i)}: dataset {dataset.id!r} may not be exported: {reason} (the licences are at "
        f"{organization.source.at('licenses')})"
        for i, dataset in enumerate(datasets)
        if (reason := why_not(dataset, organization.licenses)) is not None
    ]
    if refused:
        raise ConfigError("\n".join(refused))
