"""`pixyproxy copy-database`: copy users, keys, images, charges and budgets to the other database."""

import asyncio
from contextlib import AsyncExitStack
from enum import StrEnum
from typing import Annotated

import typer

from pixyproxy.application.maintenance.database_copy import DatabaseCopy
from pixyproxy.containers import Container, build_container
from pixyproxy.domain.errors import PixyProxyException
from pixyproxy.entrypoints.cli.running_service import is_running
from pixyproxy.environment import load_settings
from pixyproxy.ports.row_copier import ComparedTable
from pixyproxy.settings import SettingsError


class DatabaseName(StrEnum):
    """The databases that can be copied to; the other one is the source."""

    MYSQL = "mysql"
    SQLITE = "sqlite"


def copy_database(
    to: Annotated[DatabaseName, typer.Option("--to", help="The database to copy to, from the other one.")],
) -> None:
    """Copy all records to the other database and compare both; run it again if it was interrupted.

    Stop the service first. The database to copy to must be migrated and empty. Nothing in the one that is copied from
    is changed. Pictures stay where they are; set PIXYPROXY_REPOSITORY afterwards.
    """
    settings = load_settings()
    for name, value in (("DB_HOST", settings.db_host), ("DB_USER", settings.db_user)):
        if not value:
            raise SettingsError(f"{name}: is missing; pixyproxy copy-database copies to or from that server")
    if is_running(settings):
        typer.echo(
            f"pixyproxy: a service is running at {settings.host} port {settings.port}: stop it first, because what it "
            "records meanwhile would be missing in the copy",
            err=True,
        )
        raise typer.Exit(1)
    tables = asyncio.run(_copy(build_container(settings), to))
    for table in tables:
        note = f", {table.different} of both databases differ" if table.different else ""
        typer.echo(f"{table.name:<20} {table.rows} rows{note}")
    if any(table.different for table in tables):
        typer.echo("pixyproxy: the copy is not complete: run the command again while nothing else writes", err=True)
        raise typer.Exit(1)
    typer.echo(f"all rows are the same; set PIXYPROXY_REPOSITORY={to.value} and start the service")


async def _copy(container: Container, to: DatabaseName) -> tuple[ComparedTable, ...]:
    from pixyproxy.entrypoints.cli.progress import count_bar

    source = DatabaseName.SQLITE if to is DatabaseName.MYSQL else DatabaseName.MYSQL
    repositories = container.repositories.providers
    rows = container.row_copiers(to.value)
    own, other = repositories[source]().maintenance, repositories[to]().maintenance
    async with AsyncExitStack() as stack:
        for name, part in ((source, own), (to, other), (to, rows)):
            stack.push_async_callback(part.close)
            try:
                await part.open()
            except PixyProxyException as error:
                where = (
                    "PIXYPROXY_DATA_DIR" if name is DatabaseName.SQLITE else "DB_HOST, DB_USER, DB_PASSWORD, DB_NAME"
                )
                hint = " (with PIXYPROXY_REPOSITORY=mysql)" if name is DatabaseName.MYSQL else ""
                raise SettingsError(f"{where}: {error.message}{hint}") from error
        copy = DatabaseCopy(own, other, rows)
        if await copy.begin():
            typer.echo("going on with a copy that was begun before", err=True)
        with count_bar() as progress:
            task = progress.add_task("copying", total=None)

            def show(table: str, done: int, of: int) -> None:
                progress.update(task, description=table, completed=done, total=of)

            await copy.copy(show)
            return await copy.finish(lambda table, done, of: show(f"comparing {table}", done, of))
