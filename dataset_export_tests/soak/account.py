"""At the end: every export that was due is there, and every row exactly once."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from pathlib import Path

from dataset_export.destinations.local import LocalStore
from dataset_export.export.manifest import Manifest
from dataset_export_tests.export.exporter import live_manifests, named_files, rows_of, staged_files, visible_data_files
from dataset_export_tests.soak.declarations import Flow
from dataset_export_tests.soak.lake import GrowingTable


def complaints(
    delivery: Path,
    declared: Iterable[Flow],
    lake: Mapping[str, GrowingTable],
    until: datetime,
    interrupted: Collection[str] = (),
) -> list[str]:
    """What is wrong with the deliveries, in words; empty when all is right.

    Args:
        delivery: the folders of the destinations.
        declared: the dataflows as they are in the end.
        lake: the tables.
        until: when the simulation ended.
        interrupted: dataflows that lost a dataset for a while: what passed meanwhile comes with a later export.
    """
    found: list[str] = []
    by_export: dict[tuple[str, str], list[Manifest]] = {}
    stores = {folder.name: LocalStore(folder) for folder in sorted(delivery.iterdir())}
    for name, store in stores.items():
        for manifest in live_manifests(store):
            by_export.setdefault((manifest.document["dataflow"], manifest.document["dataset"]["id"]), []).append(
                manifest
            )
        if visible_data_files(store) != named_files(store):
            strays = visible_data_files(store) ^ named_files(store)
            found.append(
                f"{name}: {len(strays)} file(s) that no manifest names, or that are missing: {sorted(strays)[:3]}"
            )
        if left := staged_files(store):
            found.append(f"{name}: {len(left)} staged file(s) are left")
    for flow in declared:
        for dataset in flow.datasets:
            manifests = by_export.get((flow.name, dataset), [])
            found += _of_one(
                stores[flow.destination], flow, dataset, manifests, lake[dataset], until, flow.name in interrupted
            )
    return found


def _of_one(
    store: LocalStore,
    flow: Flow,
    dataset: str,
    manifests: list[Manifest],
    table: GrowingTable,
    until: datetime,
    interrupted: bool,
) -> list[str]:
    what = f"{flow.name}/{dataset}"
    times = [manifest.export_time for manifest in manifests]
    due = list(flow.due(until))
    whole = set(times) <= set(due) and times[-1:] == due[-1:] and len(set(times)) == len(times)
    if not (whole if interrupted else times == due):
        missing, surplus = sorted(set(due) - set(times)), sorted(set(times) - set(due))
        doubled = [time for time, count in Counter(times).items() if count > 1]
        return [
            f"{what}: {len(missing)} missing {missing[:3]}, {len(surplus)} surplus {surplus[:3]}, doubled {doubled[:3]}"
        ]
    if flow.full:
        return [
            f"{what} at {manifest.export_time}: not the whole table"
            for manifest in manifests
            if rows_of(store, manifest) != Counter(table.ids_before(manifest.export_time))
        ]
    seen: Counter[int] = Counter()
    for manifest in manifests:
        seen += rows_of(store, manifest)
        expected = Counter(table.ids_before(manifest.export_time))
        if seen != expected:
            return [
                f"{what} up to {manifest.export_time}: {(expected - seen).total()} row(s) missing, "
                f"{(seen - expected).total()} too many"
            ]
    return []
