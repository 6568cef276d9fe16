"""`python -m tests.faults --rounds N --database sqlite|mysql`: crashes at random moments, with a progress display."""

import argparse
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tests.faults.databases import NAMES
from tests.faults.harness import Disagreement
from tests.faults.rounds import Figures, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--database", choices=NAMES, default="sqlite")
    parser.add_argument("--store-rounds", type=int, default=100, help="after so many rounds begin with an empty store")
    parser.add_argument("--seed", type=int, default=None, help="of the random moments and answers; printed at the end")
    arguments = parser.parse_args()
    # On SIGTERM it drops its database and ends its services.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    seed = random.SystemRandom().getrandbits(32) if arguments.seed is None else arguments.seed
    folder = Path(tempfile.mkdtemp(prefix=f"pixyproxy-faults-{arguments.database}-"))
    columns = (
        TextColumn("breaking {task.fields[database]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[charges]} charges"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=arguments.rounds, database=arguments.database, charges=0)

        whole = Figures()

        def on_round(figures: Figures) -> None:
            progress.update(task, completed=whole.rounds + figures.rounds, charges=whole.charges + figures.charges)

        # Rounds get slower as data accumulates, and a fresh store serves the next crash as well.
        for part, first in enumerate(range(0, arguments.rounds, arguments.store_rounds)):
            rounds = min(arguments.store_rounds, arguments.rounds - first)
            try:
                figures = run(folder / "run", arguments.database, rounds, seed + part, on_round)
            except Disagreement as error:
                done = progress.tasks[0].completed
                print(
                    f"FAILED after {done:.0f} rounds on {arguments.database}, seed {seed + part}: {error}", flush=True
                )
                return 1
            except (pytest.skip.Exception, pytest.fail.Exception) as error:
                print(f"{arguments.database}: {error}", flush=True)
                return 3
            whole += figures
            print(f"{arguments.database}, seed {seed + part}: {figures}", flush=True)
            shutil.rmtree(folder / "run")
    shutil.rmtree(folder)
    print(f"{arguments.database}, in all: {whole}", flush=True)
    print("Ledger, client record, rows and files agree.", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
