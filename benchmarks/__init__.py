"""Measurements that carry a number in the documentation. Run with `make bench`."""
