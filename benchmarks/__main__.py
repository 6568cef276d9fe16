"""`python -m benchmarks`: measure the service and print ratios."""

import argparse
import sys
import tempfile
from pathlib import Path
from types import ModuleType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from benchmarks import content, details, gateway, generations, protocols, workers
from benchmarks.compare import Report
from benchmarks.load import LoadError
from benchmarks.plan import FULL, QUICK, Bench
from benchmarks.report import table
from benchmarks.services import upstream

PARTS: dict[str, ModuleType] = {
    "details": details,
    "content": content,
    "generations": generations,
    "workers": workers,
}
OPTIONAL_PARTS: dict[str, ModuleType] = {"gateway": gateway, "protocols": protocols}
"""Parts that are measured only when they are named."""


def main() -> None:
    """Measure and print. The exit status does not depend on the aims, which are for the reader to judge."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure PixyProxy and print ratios.")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: faster and rougher")
    parser.add_argument("parts", nargs="*", metavar="part", help=f"only these of {', '.join(PARTS | OPTIONAL_PARTS)}")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS | OPTIONAL_PARTS):
        parser.error(f"unknown part: {', '.join(sorted(unknown))}")
    chosen = [part for name, part in (PARTS | OPTIONAL_PARTS).items() if name in (arguments.parts or PARTS)]
    # Without a terminal there is no width to keep to.
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
