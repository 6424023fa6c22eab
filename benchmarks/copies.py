"""What it saves that a store copies what it has: `python -m benchmarks.copies`.

One file of random bytes, which lies on the server (SeaweedFS) or in a folder, is staged, confirmed and published there, copied and
sent in turn. It is read in both cases.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import process, report
from dataset_export.destinations.contract import Origin, Store
from dataset_export.destinations.local import LocalStore
from dataset_export.destinations.s3 import S3Store
from dataset_export.lake.location import TableLocation
from dataset_export.lake.objects import ObjectFolder, RangedFile
from dataset_export_tests.servers.weed import ADMIN, REGION, running_weed

MIB = 1 << 20
READ = 4 << 20
FILE = "file.bin"
HEADINGS = ("destination", "way", "seconds: median (min to max)", "processor seconds of ours", "MiB sent")


@dataclass(frozen=True)
class Lake:
    """A folder with the file `FILE`, a store beside it, and the bytes that were sent to it so far."""

    objects: ObjectFolder
    store: Store
    sent: Callable[[], int]


@contextmanager
def amazon_s3(size: int) -> Generator[Lake]:
    """Two buckets of one server."""
    with running_weed() as server:
        client = server.client()
        lake, partner = server.create_bucket(), server.create_bucket()
        client.put_object(Bucket=lake, Key=FILE, Body=os.urandom(size))
        options = {
            "AWS_ENDPOINT_URL": server.endpoint,
            "AWS_ACCESS_KEY_ID": ADMIN.access_key,
            "AWS_SECRET_ACCESS_KEY": ADMIN.secret_key,
            "AWS_REGION": REGION,
            "AWS_ALLOW_HTTP": "true",
        }
        sent = [0]

        def count(request: object, **_: object) -> None:
            headers: dict[str, bytes | str] = getattr(request, "headers", {})
            sent[0] += int(headers.get("Content-Length", 0))

        client.meta.events.register("before-send.s3", count)
        objects = ObjectFolder(TableLocation("delta", f"s3://{lake}", options))
        yield Lake(objects, S3Store(lambda: client, partner), lambda: sent[0])


@contextmanager
def local(size: int) -> Generator[Lake]:
    """Two folders of one filesystem."""
    with tempfile.TemporaryDirectory(prefix="copies-") as folder:
        lake = Path(folder) / "lake"
        lake.mkdir()
        (lake / FILE).write_bytes(os.urandom(size))
        yield Lake(ObjectFolder(TableLocation("delta", str(lake))), LocalStore(Path(folder) / "partner"), lambda: 0)


SERVERS = {"amazon_s3": amazon_s3, "local": local}


@dataclass(frozen=True)
class Delivery:
    """Seconds by the clock, seconds of the processors that this process took, bytes sent."""

    seconds: float
    processor: float
    sent: int


def deliver(lake: Lake, name: str, size: int, origin: Origin | None) -> Delivery:
    """Read, stage, confirm and publish the file; copied where its `origin` is given."""
    before, began, worked = lake.sent(), time.perf_counter(), time.process_time()
    file = RangedFile(lake.objects, FILE, size)
    with lake.store.stage(name, size_hint=size) as upload:
        if origin is not None:
            upload.copies(origin)  # pyright: ignore[reportAttributeAccessIssue] - both kinds of upload have it
        while chunk := file.read(READ):
            upload.write(chunk)
    lake.store.confirm(upload.staged)
    lake.store.publish(upload.staged)
    return Delivery(time.perf_counter() - began, time.process_time() - worked, lake.sent() - before)


def compare(destination: str, size: int, repeat: int) -> list[list[str]]:
    """Rows of the table: copied and sent."""
    found: dict[str, list[Delivery]] = {"copied": [], "sent": []}
    with SERVERS[destination](size) as lake:
        origin = lake.objects.origin(FILE)
        for number in range(repeat):
            for way in ("copied", "sent") if number % 2 else ("sent", "copied"):
                name = f"{way}-{number}.bin"
                found[way].append(deliver(lake, name, size, origin if way == "copied" else None))
                lake.store.delete(name)
    return [
        [
            destination,
            way,
            report.spread([one.seconds for one in runs]),
            report.spread([one.processor for one in runs]),
            f"{statistics.median(one.sent for one in runs) / MIB:.1f}" if destination != "local" else "",
        ]
        for way, runs in found.items()
    ]


def main() -> None:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256, help="MiB of the file")
    parser.add_argument("--repeat", type=int, default=5, help="rounds")
    parser.add_argument("--write", action="store_true", help=f"write {report.RESULTS.name}")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    rows = [row for one in SERVERS for row in compare(one, options.size * MIB, options.repeat)]
    machine = f"{process.machine('boto3', 'obstore')}. Load before: {load:.2f}, after: {os.getloadavg()[0]:.2f}"
    table = Table(*HEADINGS)
    for row in rows:
        table.add_row(*row)
    Console(width=130).print(machine, table)
    if options.write:
        report.write_section(
            "Copies inside a store",
            [
                f"{options.size} MiB, {options.repeat} rounds. {machine}.",
                report.written_by(f"python -m benchmarks.copies --size {options.size} --repeat {options.repeat}"),
                "",
                *report.markdown_table(HEADINGS, rows),
            ],
        )


if __name__ == "__main__":
    main()
