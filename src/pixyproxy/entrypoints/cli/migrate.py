"""`pixyproxy migrate`: bring the tables up to date."""

import asyncio

import typer

from pixyproxy.containers import build_container
from pixyproxy.environment import load_settings


def migrate() -> None:
    """Apply the SQL scripts that the database does not have yet."""
    settings = load_settings()
    applied = asyncio.run(
        build_container(settings).migrate(
            on_script=lambda name: typer.echo(f"applying {name}"), on_progress=lambda line: typer.echo(f"  {line}")
        )
    )
    typer.echo(f"{len(applied)} scripts applied; the {settings.repository} database is up to date")
