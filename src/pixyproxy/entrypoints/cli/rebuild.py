"""`pixyproxy rebuild`: fill a database from the sidecars in the blob store."""

from collections import Counter

import typer

from pixyproxy.containers import Container
from pixyproxy.entrypoints.cli.runner import run_with_container


def rebuild() -> None:
    """Insert a row for every stored image that has none; existing rows stay as they are."""
    counts = run_with_container(_rebuild)
    restored, known = counts.pop("restored", 0), counts.pop("known", 0)
    typer.echo(f"{restored} images restored, {known} known already, {counts.total()} not restored")
    if counts:
        raise typer.Exit(1)


async def _rebuild(container: Container) -> Counter[str]:
    from pixyproxy.entrypoints.cli.progress import count_bar

    counts: Counter[str] = Counter()
    rebuilder = container.rebuilder()
    guids = await rebuilder.find()
    async with container.store_binding().rebuilding():
        with count_bar() as progress:
            task = progress.add_task("restoring", total=len(guids))
            async for rebuilt in rebuilder.rebuild(guids):
                progress.advance(task)
                counts[rebuilt.outcome] += 1
                if rebuilt.outcome not in {"restored", "known"}:
                    typer.echo(f"{rebuilt.guid}  {rebuilt.outcome}", err=True)
    return counts
