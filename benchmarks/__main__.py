"""`python -m benchmarks`: measures the service and prints what it finds as ratios."""

import argparse
import sys
import tempfile
from pathlib import Path
from types import ModuleType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from benchmarks import content, details, gateway, generations
from benchmarks.compare import Report
from benchmarks.load import LoadError
from benchmarks.plan import FULL, QUICK, Bench
from benchmarks.report import table
from benchmarks.services import upstream

PARTS: dict[str, ModuleType] = {"details": details, "content": content, "generations": generations}
ASKED_FOR: dict[str, ModuleType] = {"gateway": gateway}
"""Parts that are measured only where they are named."""


def main() -> None:
    """Measure and print; whether the aims are met is for the reader to judge, and no exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures PixyProxy, as ratios.")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: half a minute, rougher")
    parser.add_argument("parts", nargs="*", metavar="part", help=f"only these of {', '.join(PARTS | ASKED_FOR)}")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS | ASKED_FOR):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    chosen = [part for name, part in (PARTS | ASKED_FOR).items() if name in (arguments.parts or PARTS)]
    # Where no terminal says how wide it is, the tables take what they need.
    console = Console() if sys.stdout.isatty() else Console(width=120)
    reports: list[Report] = []
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with (
        tempfile.TemporaryDirectory(prefix="pixyproxy-bench-") as name,
        Progress(*columns, console=console) as progress,
    ):
        task = progress.add_task("starting", total=None)
        bench = Bench(
            QUICK if arguments.quick else FULL,
            Path(name),
            on_step=lambda: progress.advance(task),
            tell=lambda what: progress.update(task, description=what),
            note=lambda what: console.print(what),
        )
        progress.update(task, total=sum(part.steps(bench) for part in chosen))
        with upstream(bench.folder, "fast") as upstream_url:
            for part in chosen:
                try:
                    reports.extend(part.measure(bench, upstream_url))
                except LoadError as error:
                    console.print(f"[red]not measured:[/red] {error}")
    for report in reports:
        console.print(table(report))


if __name__ == "__main__":
    main()
