"""`pixyproxy usage`: sum up pictures, tokens and money, and make the daily sums anew."""

from typing import Annotated

import typer

from pixyproxy.application.money.usage_service import UsageReport
from pixyproxy.containers import Container
from pixyproxy.domain.money.daily_sums import Grouping
from pixyproxy.entrypoints.cli.runner import run_with_accounts
from pixyproxy.entrypoints.logs import escaped
from pixyproxy.entrypoints.usage_table import present_usage, usage_as_csv

_NOBODY = {
    Grouping.USER: "(anonymous)",
    Grouping.CLASS: "(no class)",
    Grouping.MODEL: "(default model)",
    Grouping.DAY: "",
}


def usage(
    by: Annotated[Grouping, typer.Option(help="What a row is for.")] = Grouping.USER,
    first: Annotated[
        str | None, typer.Option("--from", metavar="DAY", help="First day (UTC), such as 2026-11-01.")
    ] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="DAY", help="Last day; default: today.")] = None,
    user: Annotated[str | None, typer.Option(help="Only what this user caused.")] = None,
    class_key: Annotated[str | None, typer.Option("--class", help="Only what users of this class caused.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV for a spreadsheet.")] = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make the daily sums anew from the charges.")] = False,
) -> None:
    """Sum up pictures, tokens and money, by default of the current month."""
    if rebuild:
        days = run_with_accounts(_rebuild)
        typer.echo(f"made the sums of {days} days anew")
        return
    given = {"by": by.value, "from": first, "to": last, "user": user, "class": class_key}
    asked = {name: value for name, value in given.items() if value is not None}
    report = run_with_accounts(lambda container: container.usage_service().all_usage(asked))
    typer.echo(usage_as_csv(report) if as_csv else _table(report), nl=False)


async def _rebuild(container: Container) -> int:
    from pixyproxy.entrypoints.cli.progress import spinner

    days = 0
    with spinner() as progress:
        task = progress.add_task("summing up")
        async for day in container.usage_service().rebuild():
            days += 1
            progress.update(task, description=f"summed up {day}")
    return days


def _table(report: UsageReport) -> str:
    lines = [f"{report.first} to {report.last} (UTC)"]
    rows = [{**row, report.by.value: row[report.by.value] or _NOBODY[report.by]} for row in present_usage(report)]
    if not rows:
        return f"{lines[0]}: nothing was generated\n"
    lines += [_line(list(rows[0])), *(_line([escaped(str(value)) for value in row.values()]) for row in rows)]
    return "\n".join(lines) + "\n"


def _line(cells: list[str]) -> str:
    return f"{cells[0]:<24}" + "".join(f"{cell:>10}" for cell in cells[1:5]) + "".join(f"{c:>15}" for c in cells[5:])
