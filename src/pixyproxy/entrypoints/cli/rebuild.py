"""`pixyproxy rebuild`: fill a database from the sidecars in the blob store."""

import asyncio
from collections import Counter

import typer

from pixyproxy.containers import build_container, opened
from pixyproxy.settings import load_settings


def rebuild() -> None:
    """Make a row for every stored image that has none; rows that exist are left alone."""
    counts = asyncio.run(_rebuild())
    restored, known = counts.pop("restored", 0), counts.pop("known", 0)
    typer.echo(f"{restored} images restored, {known} known already, {counts.total()} not restored")
    if counts:
        raise typer.Exit(1)


async def _rebuild() -> Counter[str]:
    from pixyproxy.entrypoints.cli import progress

    container = build_container(load_settings())
    counts: Counter[str] = Counter()
    async with opened(container):
        rebuilder = container.rebuilder()
        guids = await rebuilder.find()
        bar = progress.counted(len(guids), "restoring")
        async for rebuilt in rebuilder.rebuild(guids):
            next(bar, None)
            counts[rebuilt.outcome] += 1
            if rebuilt.outcome not in {"restored", "known"}:
                typer.echo(f"{rebuilt.guid}  {rebuilt.outcome}", err=True)
        next(bar, None)
    return counts
