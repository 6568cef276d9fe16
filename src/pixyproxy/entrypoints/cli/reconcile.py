"""`pixyproxy reconcile`: make rows and stored bytes agree after an interruption."""

from collections import Counter
from typing import Annotated

import typer

from pixyproxy.application.maintenance.findings import Action
from pixyproxy.containers import Container
from pixyproxy.entrypoints.cli.runner import run_with_container


def reconcile(
    apply: Annotated[
        bool, typer.Option("--apply", help="Apply the changes; without this they are only listed.")
    ] = False,
) -> None:
    """Adopt bytes without a row, settle interrupted rows, and quarantine what has no row; no picture is deleted.

    Files and folders get the permissions and the group of new ones.
    """
    counts = run_with_container(lambda container: _reconcile(container, apply))
    done = "done" if apply else "to be done with --apply"
    summary = ", ".join(f"{action}: {count}" for action, count in sorted(counts.items()))
    typer.echo(f"{summary} ({done})" if counts else "nothing to reconcile")
    if counts[Action.REPORT]:
        raise typer.Exit(1)


async def _reconcile(container: Container, apply: bool) -> Counter[Action]:
    from pixyproxy.entrypoints.cli.progress import spinner

    await container.store_binding().verify()
    counts: Counter[Action] = Counter()
    reconciler = container.reconciler()
    with spinner() as progress:
        for name, find in (
            ("interrupted rows", reconciler.interrupted),
            ("all bytes and rows", reconciler.sweep),
            ("permissions of files", reconciler.protect_files),
        ):
            task = progress.add_task(f"looking through {name}", total=None)
            async for finding in find(apply=apply):
                counts[finding.action] += 1
                typer.echo(f"{finding.guid or 'the store':<36}  {finding.action:<18}  {finding.description}")
            progress.remove_task(task)
    return counts
