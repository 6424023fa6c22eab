"""`datasets`: what is in the catalog, what of it may be exported, and what is."""

from typing import TYPE_CHECKING, Any

import click

from dataset_export.cli.arguments import json_option
from dataset_export.cli.session import Session
from dataset_export.cli.terminal import print_json, print_table

if TYPE_CHECKING:
    from dataset_export.export.dataflow import Dataset


@click.command()
@json_option
@click.pass_obj
def datasets(session: Session, as_json: bool) -> None:
    """List the declared datasets: whether each may be exported, or why not, and the dataflows that export it.

    \b
    --json: a list of objects with id, name, behavior, kind (null: not declared), origin (null: not declared),
    profile_enabled, exportable, reason (null: exportable), dataflows [name].
    """
    listed = [_described(session, dataset) for _, dataset in sorted(session.catalog.datasets.items())]
    if as_json:
        print_json(listed)
        return
    print_table(
        ["dataset", "name", "behavior", "kind", "exportable", "dataflows"],
        [
            [
                one["id"],
                one["name"],
                one["behavior"],
                one["kind"] or "-",
                "yes" if one["exportable"] else f"no: {one['reason']}",
                ", ".join(one["dataflows"]) or "-",
            ]
            for one in listed
        ],
    )


def _described(session: Session, dataset: "Dataset") -> dict[str, Any]:
    from dataset_export.governance.eligibility import why_not

    reason = why_not(dataset, session.catalog.licenses)
    flows = session.catalog.dataflows
    return {
        "id": dataset.id,
        "name": dataset.name,
        "behavior": str(dataset.behavior),
        "kind": dataset.kind,
        "origin": dataset.origin,
        "profile_enabled": dataset.profile_enabled,
        "exportable": reason is None,
        "reason": reason,
        "dataflows": sorted(name for name, flow in flows.items() if dataset.id in {one.id for one in flow.datasets}),
    }
