"""Prints what was measured."""

from collections.abc import Sequence
from typing import Protocol

from rich.table import Table

from benchmarks.compare import Report, Row


def table(report: Report) -> Table:
    """The rows with ratio, aim and whether it is met."""
    result = Table(title=f"{report.title} ({report.unit})", title_justify="left")
    result.add_column("")
    for heading in ("measured", report.against, "ratio", "aim"):
        result.add_column(heading, justify="right")
    result.add_column("")
    for row in report.rows:
        result.add_row(row.what, _number(row.value), _number(row.base), f"{row.ratio:.2f}", *_aim(row))
    return result


def _number(value: float) -> str:
    return f"{value:,.2f}" if value < 100 else f"{value:,.0f}"


def _aim(row: Row) -> tuple[str, str]:
    if row.met is None:
        return "", ""
    aim = f"≥ {row.at_least:.3g}" if row.at_least is not None else f"≤ {row.at_most:.3g}"
    return aim, "[green]met[/green]" if row.met else "[red]not met[/red]"


class Scaled(Protocol):
    """What was measured of one kind of query."""

    shape: str

    def median(self, size: int) -> float:
        """The time of half of the pages, in ms."""

    def p99(self, size: int) -> float:
        """The time of all but one of a hundred pages."""

    def found(self, size: int) -> str:
        """What the page holds."""

    @property
    def growth(self) -> float:
        """The largest by the smallest."""

    @property
    def is_flat(self) -> bool:
        """Whether the aim is met."""


def scale_table(database: str, sizes: Sequence[int], measured: Sequence[Scaled]) -> Table:
    """Median and 99th percentile of each kind of query at each size, what a page held, and the growth."""
    result = Table(title=f"{database}: a page of 50, median / p99 in ms, and how many it held", title_justify="left")
    result.add_column("")
    for size in sizes:
        result.add_column(f"{size:,}", justify="right")
        result.add_column("", justify="right")
    result.add_column("growth", justify="right")
    result.add_column("≤ 2 or < 5 ms")
    for row in measured:
        cells = []
        for size in sizes:
            cells += [f"{row.median(size):.2f} / {row.p99(size):.2f}", row.found(size)]
        aim = "[green]met[/green]" if row.is_flat else "[red]not met[/red]"
        result.add_row(row.shape, *cells, f"{row.growth:.2f}", aim)
    return result
