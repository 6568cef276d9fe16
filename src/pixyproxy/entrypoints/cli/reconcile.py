"""`pixyproxy reconcile`: settle what an interruption left behind."""

import asyncio
from collections import Counter
from typing import Annotated

import typer

from pixyproxy.application.maintenance.findings import Action
from pixyproxy.containers import build_container, opened
from pixyproxy.settings import load_settings


def reconcile(
    apply: Annotated[bool, typer.Option("--apply", help="Do it; without this, only say what would be done.")] = False,
) -> None:
    """Adopt bytes that no row knows, settle interrupted rows, quarantine what has no row; lose no picture."""
    counts = asyncio.run(_reconcile(apply))
    done = "done" if apply else "to be done with --apply"
    summary = ", ".join(f"{action}: {count}" for action, count in sorted(counts.items()))
    typer.echo(f"{summary} ({done})" if counts else "nothing to reconcile")
    if counts[Action.REPORT]:
        raise typer.Exit(1)


async def _reconcile(apply: bool) -> Counter[Action]:
    from pixyproxy.entrypoints.cli import progress as shown

    container = build_container(load_settings())
    counts: Counter[Action] = Counter()
    async with opened(container):
        reconciler = container.reconciler()
        with shown.of_steps() as progress:
            for what, look in (("interrupted rows", reconciler.interrupted), ("all bytes and rows", reconciler.sweep)):
                task = progress.add_task(f"looking through {what}", total=None)
                async for finding in look(apply=apply):
                    counts[finding.action] += 1
                    typer.echo(f"{finding.guid or 'the store':<36}  {finding.action:<18}  {finding.what}")
                progress.remove_task(task)
    return counts
