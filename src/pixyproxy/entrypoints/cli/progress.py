"""Progress bars on standard error. Commands import this module when they run, because the service needs none."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)


def spinner() -> Progress:
    """Return a display of tasks of unknown length, with the time elapsed."""
    return _progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())


def byte_bar() -> Progress:
    """Return a progress bar that counts bytes."""
    return _progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    )


def count_bar() -> Progress:
    """Return a progress bar that counts items."""
    return _progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())


def _progress(*columns: ProgressColumn) -> Progress:
    return Progress(*columns, console=Console(stderr=True), transient=True)
