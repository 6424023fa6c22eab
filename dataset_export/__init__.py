"""Deliver whole datasets from a data lake to other people's storage, on schedule, with a manifest that proves it."""

__version__ = "0.1.0"
