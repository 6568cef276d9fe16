"""`pixyproxy check`: test every configured part."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

import typer

from pixyproxy.containers import Container, build_container
from pixyproxy.domain.errors import PixyProxyException
from pixyproxy.entrypoints.cli.runner import run_with_container
from pixyproxy.entrypoints.logs import escaped
from pixyproxy.environment import ENVIRONMENT_FILE, load_settings
from pixyproxy.ports.resource import Resource


def check(
    deep: Annotated[bool, typer.Option("--deep", help="Also read every stored byte, and sum up the ledger.")] = False,
) -> None:
    """Check settings, database, folder, generator and secret, a line each; exit status 1 if one fails."""
    try:
        settings = load_settings()
        container = build_container(settings)
    except PixyProxyException as error:
        _report("settings", False, error.message)
        raise typer.Exit(1) from None
    _report("settings", True, f"{settings.repository}, {settings.generator}, {settings.blob_store}")
    if not asyncio.run(_check_parts(container)) or (deep and not run_with_container(_check_deep)):
        raise typer.Exit(1)


async def _check_parts(container: Container) -> bool:
    images, blobs, generator = container.image_repository(), container.blob_store(), container.generator()
    stores = [
        await _check_part("database", images, images.ping, "answers, and its tables are up to date"),
        await _check_part("blob store", blobs, blobs.check_writable, "writable, with room"),
    ]
    return all(
        [
            *stores,
            # Two that cannot be opened cannot be compared.
            all(stores) and await _check_binding(container),
            await _check_part("generator", generator, generator.check),
            await _check_secret(container),
            _check_privacy(container),
        ]
    )


async def _check_binding(container: Container) -> bool:
    async with AsyncExitStack() as stack:
        for part in (container.maintenance_repository(), container.blob_store()):
            stack.push_async_callback(part.close)
            await part.open()
        stored = container.blob_maintenance()
        is_bound = await _check_part("identity", stored, container.store_binding().verify)
        await stored.open()
        stack.push_async_callback(stored.close)
        if wrong := (await stored.inspect_access(deep=False)).wrong:
            _report(
                "files", False, f"{wrong} folders have other permissions than new ones: pixyproxy reconcile --apply"
            )
        return is_bound and not wrong


async def _check_part(name: str, part: Resource, check: Callable[[], Awaitable[str | None]], success: str = "") -> bool:
    try:
        await part.open()
        _report(name, True, await check() or success)
    except PixyProxyException as error:
        _report(name, False, error.message)
        return False
    finally:
        await part.close()
    return True


async def _check_secret(container: Container) -> bool:
    given, path = container.config.secret_key(), container.config.secret_path()
    try:
        await asyncio.to_thread(container.secret)
    except PixyProxyException as error:
        _report("secret", False, error.message)
        return False
    if path is not None and _is_exposed(path, own=True):
        _report("secret", False, f"other users may read {path}: chmod 600 {path}")
        return False
    kept = "made anew at each start" if path is None else f"kept in {path}"
    _report("secret", True, "set by PIXYPROXY_SECRET_KEY" if given else kept)
    return True


def _check_privacy(container: Container) -> bool:
    """Report files with secrets that other users may read; one that is as it should be takes no line."""
    database: Path = container.config.data_dir() / "pixyproxy.sqlite3"
    exposed = [str(path) for path in (database, ENVIRONMENT_FILE) if _is_exposed(path)]
    if exposed:
        _report("files", False, f"{', '.join(exposed)}: other users may read this; chmod o= FILE mends it")
    return not exposed


def _is_exposed(path: Path, *, own: bool = False) -> bool:
    """Return true for a file that others may read; with `own` that the group may, if it is this user's."""
    try:
        status = path.stat()
    except OSError:
        return False
    return bool(status.st_mode & (0o077 if own and status.st_uid == os.geteuid() else 0o007))


async def _check_deep(container: Container) -> bool:
    bytes_agree = await _check_bytes(container)
    return all([bytes_agree, await _check_ledger(container), await _check_usage(container)])


async def _check_ledger(container: Container) -> bool:
    """Compare the account of every budget with the charges that count in it."""
    discrepancies = await container.budget_service().discrepancies()
    for account, kept, charged in discrepancies:
        typer.echo(
            f"{escaped(f'{account.scope} {account.holder} {account.period}')}: kept {kept.total} USD, charged "
            f"{charged.total} USD"
        )
    text = f"{len(discrepancies)} accounts differ from their charges" if discrepancies else "agrees with its charges"
    _report("ledger", not discrepancies, text)
    return not discrepancies


async def _check_usage(container: Container) -> bool:
    """Compare the sums of every day with its charges."""
    days = await container.usage_service().differing_days()
    text = f"differs from the charges on {', '.join(map(str, days))}; `pixyproxy usage --rebuild` mends it"
    _report("usage", not days, text if days else "agrees with the charges")
    return not days


async def _check_bytes(container: Container) -> bool:
    from pixyproxy.entrypoints.cli.progress import byte_bar

    count = damaged = 0
    verifier = container.verifier()
    totals = await verifier.totals()
    with byte_bar() as progress:
        task = progress.add_task("verifying", total=totals.size_bytes)
        async for verified in verifier.verify_all():
            count += 1
            progress.update(task, advance=verified.size_bytes)
            if verified.problem is not None:
                damaged += 1
                typer.echo(f"{verified.guid}  {verified.problem}")
        seconds = max(progress.tasks[0].elapsed or 0, 1e-9)
    rate = totals.size_bytes / seconds / 1e6
    _report("bytes", damaged == 0, f"{count} images read at {rate:.0f} MB/s, {damaged} damaged or missing")
    return damaged == 0


def _report(name: str, good: bool, text: str) -> None:
    typer.echo(f"{name:<12}{'ok' if good else 'FAILED':<8}{escaped(text)}")
