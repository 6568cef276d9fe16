"""Progress shown on standard error; imported by commands only while they run, since the service shows none."""

from collections.abc import Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
    track,
)


def of_steps() -> Progress:
    """Shows that something goes on, for how long it does."""
    return _shown(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())


def of_bytes() -> Progress:
    """Shows how many of some bytes are done with."""
    return _shown(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    )


def counted(total: int, description: str) -> Iterator[int]:
    """Counts up to a total, showing how far it has got."""
    return iter(track(range(total), description, console=Console(stderr=True), transient=True))


def _shown(*columns: ProgressColumn) -> Progress:
    return Progress(*columns, console=Console(stderr=True), transient=True)
