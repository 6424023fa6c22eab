"""At the end: every export that was due is there, every row exactly once, and what was left out is said."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from dataset_export.destinations.local import LocalStore
from dataset_export.export.manifest import Manifest
from dataset_export_tests.export.exporter import live_manifests, named_files, rows_of, staged_files, visible_data_files
from dataset_export_tests.soak.declarations import Flow
from dataset_export_tests.soak.facts import Facts
from dataset_export_tests.soak.lake import GrowingTable

SHOWN = 3


def wrong_deliveries(delivery: Path, facts: Facts, lake: Mapping[str, GrowingTable], until: datetime) -> Iterator[str]:
    """What is wrong with the deliveries, in words; nothing when all is right.

    Args:
        delivery: the folders of the destinations.
        facts: what has happened, and the dataflows as they are in the end.
        lake: the tables.
        until: when the simulation ended.
    """
    by_export: dict[tuple[str, str], list[Manifest]] = {}
    stores = {folder.name: LocalStore(folder) for folder in sorted(delivery.iterdir())}
    for name, store in stores.items():
        for manifest in live_manifests(store):
            export = manifest.document["dataflow"], manifest.document["dataset"]["id"]
            by_export.setdefault(export, []).append(manifest)
        if strays := visible_data_files(store) ^ named_files(store):
            yield f"{name}: {len(strays)} file(s) that no manifest names, or that are missing: {sorted(strays)[:SHOWN]}"
        if left := staged_files(store):
            yield f"{name}: {len(left)} staged file(s) are left: {left[:SHOWN]}"
    for flow in facts.declared.values():
        due = set(flow.due(until))
        missing = facts.missing(flow, due)
        for dataset in flow.datasets:
            manifests = by_export.get((flow.name, dataset), [])
            times = Counter(manifest.export_time for manifest in manifests)
            what = f"{flow.name}/{dataset}"
            if lost := [f"{one:%Y-%m-%d %H:%M}" for one in sorted(missing) if dataset in missing[one]]:
                yield f"{what}: {len(lost)} export time(s) are missing: {lost[:SHOWN]}"
            if surplus := [f"{one:%Y-%m-%d %H:%M}" for one in times if one not in due]:
                yield f"{what}: {len(surplus)} export time(s) were never due: {surplus[:SHOWN]}"
            if doubled := [f"{one:%Y-%m-%d %H:%M}" for one, count in times.items() if count > 1]:
                yield f"{what}: {len(doubled)} export time(s) have several manifests: {doubled[:SHOWN]}"
            if set(times) != set(facts.delivered(flow.name, dataset)):
                yield f"{what}: the export times with a manifest are not those that are materialized"
            for wrong in _wrong_rows(
                stores[flow.destination], delivery / flow.destination, flow, manifests, lake[dataset]
            ):
                yield f"{what} at {wrong}"


def _wrong_rows(
    store: LocalStore, folder: Path, flow: Flow, manifests: list[Manifest], table: GrowingTable
) -> Iterator[str]:
    """In the order in which they were delivered: each export has what came since the latest export time so far; one of an
    earlier export time has nothing left to deliver."""
    latest: datetime | None = None
    for manifest in sorted(manifests, key=lambda one: (folder / one.path).stat().st_mtime_ns):
        moment = manifest.export_time
        after = None if flow.full else latest
        commits = table.between(after, moment)
        ids = [one for commit in commits for one in commit.ids]
        expected = Counter(one for one in ids if one not in table.too_old)
        found = rows_of(store, manifest)
        if found != expected:
            yield (
                f"{moment:%Y-%m-%d %H:%M}: {(expected - found).total()} row(s) missing, "
                f"{(found - expected).total()} too many"
            )
        said = sum(item["recordCount"] for item in manifest.document["excludedRecords"])
        if said != len(ids) - expected.total():
            yield f"{moment:%Y-%m-%d %H:%M}: {said} row(s) are said to be left out, of {len(ids) - expected.total()}"
        columns = tuple(column["name"] for column in manifest.document["schema"])
        if columns != table.columns_before(moment) and (latest is None or moment > latest):
            yield f"{moment:%Y-%m-%d %H:%M}: the columns are {columns}, not {table.columns_before(moment)}"
        latest = moment if latest is None else max(latest, moment)
