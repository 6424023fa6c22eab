"""What a person writes in YAML: `type: dataset_export.components.Dataflow` and the others."""

from dataset_export.components.alert_channel import AlertChannel
from dataset_export.components.dataflow import Dataflow
from dataset_export.components.dataset import Dataset
from dataset_export.components.destination import Destination
from dataset_export.components.organization import Organization

__all__ = ["AlertChannel", "Dataflow", "Dataset", "Destination", "Organization"]
