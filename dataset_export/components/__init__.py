"""What a person writes in YAML: `type: dataset_export.components.Dataflow` and the other three."""

from dataset_export.components.dataflow import Dataflow
from dataset_export.components.dataset import Dataset
from dataset_export.components.destination import Destination
from dataset_export.components.organization import Organization

__all__ = ["Dataflow", "Dataset", "Destination", "Organization"]
