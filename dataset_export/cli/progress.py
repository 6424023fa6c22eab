"""The progress of a run: a bar for each dataset on a terminal, a line for each step elsewhere. All on stderr."""

import logging
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dataset_export.cli.terminal import progress_console, size

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

LOGGER = "dataset_export.progress"
"""The log that export assets report to: `dataset`, `step`, `files` and `bytes` (delivered ones) of each record."""


@contextmanager
def shown_progress(title: str, datasets: Sequence[str]) -> Generator[None]:
    """Show the progress of the runs inside the block.

    Args:
        title: what is exported.
        datasets: ids, in the order of their bars.
    """
    console = progress_console()
    logger = logging.getLogger(LOGGER)
    handler = _Bars(console, title, datasets) if console.is_terminal else _Lines(console, title)
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
        handler.end()


class _Lines(logging.Handler):
    def __init__(self, console: "Console", title: str) -> None:
        super().__init__()
        self._console, self._title = console, title

    def end(self) -> None:
        """Nothing is kept open."""

    def emit(self, record: logging.LogRecord) -> None:
        step, files, count = record.__dict__["step"], record.__dict__["files"], record.__dict__["bytes"]
        if step == "staged":
            return
        detail = f"{files} file{'' if files == 1 else 's'}" + (f", {size(count)} to read" if count else "")
        self._console.print(f"{self._title} {record.__dict__['dataset']}: {step} {detail}", soft_wrap=True)


class _Bars(logging.Handler):
    def __init__(self, console: "Console", title: str, datasets: Sequence[str]) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        super().__init__()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("files  {task.fields[sent]}  {task.fields[step]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {
            dataset: self._progress.add_task(f"{title} {dataset}", total=None, start=False, sent="", step="waiting")
            for dataset in datasets
        }
        self._bytes = dict.fromkeys(datasets, 0)
        self._progress.start()

    def emit(self, record: logging.LogRecord) -> None:
        dataset, step, files = record.__dict__["dataset"], record.__dict__["step"], record.__dict__["files"]
        task = self._tasks.get(dataset)
        if task is None:
            return
        if step == "planned":
            self._progress.start_task(task)
            self._progress.update(task, total=max(files, 1), step=step)
        elif step == "staged":
            self._bytes[dataset] += record.__dict__["bytes"]
            self._progress.update(task, advance=files, sent=size(self._bytes[dataset]), step=step)
        else:
            # An export with nothing new has no file to advance by.
            self._progress.update(task, completed=self._progress.tasks[task].total, step=step)
            self._progress.stop_task(task)

    def end(self) -> None:
        # Not `close`: Dagster configures Python's logging as a run begins, which closes every handler there is.
        self._progress.stop()
