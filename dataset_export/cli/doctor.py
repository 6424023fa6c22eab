"""`doctor` and `policy`: what a destination's credentials allow, and what they have to."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from dataset_export.cli.arguments import json_option
from dataset_export.cli.session import Session
from dataset_export.cli.terminal import print_json, print_table, size
from dataset_export.encoding.ndjson_text import is_built
from dataset_export.errors import ExportError, UsageError

if TYPE_CHECKING:
    from dataset_export.export.doctor import Examination

WITHOUT_COMPILED_WRITER = "arrow-rs, more slowly: the compiled writer is not there, or was built for another machine"


@click.command()
@click.argument("destinations", nargs=-1, metavar="[DESTINATION]...")
@json_option
@click.pass_obj
def doctor(session: Session, destinations: tuple[str, ...], *, as_json: bool) -> None:
    """Try out what the credentials of destinations allow; of all that are declared without a DESTINATION.

    A probe below .dataset_export/probe is staged, published, listed, read back and deleted, as a delivery would be, and
    nothing of it stays. Exits with 1 when an operation does not work. Says, too, whether NDJSON is made by the compiled
    writer here.

    \b
    --json: healthy, has_compiled_writer, destinations [{destination, uri (null: not known), healthy, latency_seconds,
    bytes_per_second, files_expire_after_seconds (null: never), rows [{operation, outcome, answer, permissions,
    seconds}], left [text]}].
    """
    from dataset_export.export.doctor import examine

    names = list(dict.fromkeys(destinations)) or sorted(session.catalog.destinations)
    if not names:
        raise UsageError("no destination is declared, so there is nothing to examine")
    policies = {name: session.catalog.io_manager(name).policy() for name in names}
    documents: list[dict[str, Any]] = []
    for name in names:
        found = examine(lambda one=name: session.catalog.store(one), policies[name])
        documents.append(_document(session, name, found))
        if not as_json:
            _print(documents[-1])
    sick = [document for document in documents if not document["healthy"]]
    if as_json:
        print_json({"healthy": not sick, "has_compiled_writer": is_built(), "destinations": documents})
    else:
        click.echo(f"NDJSON is written by {'the compiled writer' if is_built() else WITHOUT_COMPILED_WRITER}")
    if sick:
        raise ExportError(_reason(sick, len(documents)))


@click.command()
@click.argument("destination")
@json_option
@click.pass_obj
def policy(session: Session, destination: str, *, as_json: bool) -> None:
    """Print the least that the credentials of a destination need: a document to paste or run, and what it is for.

    \b
    --json: destination, document, notes [text], permissions {operation: [permission]}.
    """
    found = session.catalog.io_manager(destination).policy()
    permissions = {str(operation): list(names) for operation, names in found.permissions.items()}
    if as_json:
        print_json(
            {
                "destination": destination,
                "document": found.document,
                "notes": list(found.notes),
                "permissions": permissions,
            }
        )
        return
    click.echo(found.document)
    click.echo()
    for text in found.notes:
        click.echo(text)
    click.echo()
    print_table(["operation", "needs"], [[operation, ", ".join(names)] for operation, names in permissions.items()])


def _document(session: Session, name: str, found: "Examination") -> dict[str, Any]:
    expire = session.catalog.io_manager(name).files_expire_after
    return {
        "destination": name,
        "uri": _uri(session, name),
        "healthy": found.healthy,
        "latency_seconds": found.latency_seconds,
        "bytes_per_second": round(found.bytes_per_second) if found.bytes_per_second is not None else None,
        "files_expire_after_seconds": int(expire.total_seconds()) if expire is not None else None,
        "rows": [
            {
                "operation": str(row.operation),
                "outcome": str(row.outcome),
                "answer": row.answer,
                "permissions": list(row.permissions),
                "seconds": row.seconds,
            }
            for row in found.rows
        ],
        "left": list(found.left),
    }


def _uri(session: Session, name: str) -> str | None:
    try:
        return session.catalog.store(name).uri("")
    except ExportError:
        return None  # the first row says why


def _print(document: dict[str, Any]) -> None:
    click.echo(f"{document['destination']} {document['uri'] or ''}".rstrip())
    print_table(
        ["", "operation", "seconds", "answer", "needs"],
        [
            [
                row["outcome"],
                row["operation"],
                "-" if row["seconds"] is None else f"{row['seconds']:.3f}",
                row["answer"],
                ", ".join(row["permissions"]),
            ]
            for row in document["rows"]
        ],
        right=["seconds"],
    )
    if document["bytes_per_second"] is not None:
        click.echo(
            f"first answer after {document['latency_seconds']:.3f} s, {size(document['bytes_per_second'])}/s sent"
        )
    if document["files_expire_after_seconds"] is not None:
        click.echo(
            f"files are deleted {timedelta(seconds=document['files_expire_after_seconds'])} after their delivery"
        )
    for text in document["left"]:
        click.echo(f"could not be removed: {text}")
    click.echo()


def _reason(sick: list[dict[str, Any]], examined: int) -> str:
    first = sick[0]
    failed = [row for row in first["rows"] if row["outcome"] == "failed"]
    said = f"'{failed[0]['operation']}' failed: {failed[0]['answer']}" if failed else f"left behind: {first['left'][0]}"
    return f"{len(sick)} of {examined} destinations are not ready, first {first['destination']}: {said}"
