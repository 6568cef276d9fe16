"""`pixyproxy copy-images`: copy all pictures from one blob store to the other."""

from collections import Counter
from enum import StrEnum
from typing import Annotated

import typer

from pixyproxy.application.maintenance.store_copier import Outcome, Store, StoreCopier
from pixyproxy.containers import Container
from pixyproxy.entrypoints.cli.runner import run_with_container
from pixyproxy.environment import load_settings
from pixyproxy.opening import opened_storage
from pixyproxy.plugins import BlobStorage
from pixyproxy.settings import SettingsError


class Target(StrEnum):
    """The blob stores that pictures can be copied to; the other one is the source."""

    S3 = "s3"
    FILESYSTEM = "filesystem"


def copy_images(
    to: Annotated[Target, typer.Option("--to", help="The store to copy to, from the other one.")],
) -> None:
    """Copy bytes and sidecars to the other store and verify them there; run it again to copy what is new.

    The service may run meanwhile. Nothing in the store that is copied from is changed.
    """
    if load_settings().s3_bucket is None:
        raise SettingsError("S3_BUCKET: is missing; pixyproxy copy-images copies to or from that bucket")
    counts, waiting = run_with_container(lambda container: _copy(container, to))
    typer.echo(", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())) or "nothing to copy")
    if waiting:
        typer.echo(
            f"{waiting} rescued pictures or responses wait beside the store that was copied from: let "
            "`pixyproxy reconcile --apply` adopt them there, and copy again",
            err=True,
        )
    if counts[Outcome.FAILED] or waiting:
        raise typer.Exit(1)


async def _copy(container: Container, to: Target) -> tuple[Counter[Outcome], int]:
    from pixyproxy.entrypoints.cli.progress import byte_bar

    counts: Counter[Outcome] = Counter()
    other = Target.FILESYSTEM if to is Target.S3 else Target.S3
    async with opened_storage(container, other) as source, opened_storage(container, to) as target:
        maintenance = container.maintenance_repository()
        copier = StoreCopier(container.image_repository(), maintenance, _store(source), _store(target))
        identity = await copier.identity()
        with byte_bar() as progress:
            task = progress.add_task("copying", total=(await maintenance.totals()).size_bytes)
            async for picture in copier.copy_all():
                progress.advance(task, picture.size_bytes)
                counts[picture.outcome] += 1
                if picture.problem is not None:
                    typer.echo(f"{picture.guid}  {picture.problem}", err=True)
        if not counts[Outcome.FAILED]:
            # Last of all: with its identity the target can take the place of the source.
            await target.blobs.set_identity(identity)
        return counts, await copier.waiting()


def _store(storage: BlobStorage) -> Store:
    return Store(storage.blobs, storage.maintenance)
