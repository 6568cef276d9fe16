"""Tables of measurements."""

from rich.table import Table

from benchmarks.compare import Report, Row


def table(report: Report) -> Table:
    """Return a table of the rows with ratio, aim and its outcome."""
    title = f"{report.title} ({report.unit})" if report.unit else report.title
    result = Table(title=title, title_justify="left")
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
