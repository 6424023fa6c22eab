"""What people are told about exports, without Dagster: which alerts are due, what they say, to whom, and how they are sent."""
