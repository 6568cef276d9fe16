"""`pixyproxy key`: the API keys with which programs act for users."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Annotated, TypeVar

import typer

from pixyproxy.application.accounts.key_service import ID_LENGTH, PREFIX
from pixyproxy.containers import Container, build_container, opened
from pixyproxy.domain.api_key import ApiKey
from pixyproxy.entrypoints.logs import escaped
from pixyproxy.settings import load_settings

app = typer.Typer(help="Manage the API keys with which programs act for users.", no_args_is_help=True)
T = TypeVar("T")

_SPAN = re.compile(r"([0-9]{1,4})([hdw])")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


@app.command("add")
def add(
    user: Annotated[str, typer.Argument(help="The username of whom the key is for.")],
    name: Annotated[str | None, typer.Option(help="What the key is for, at most 64 characters.")] = None,
    expires: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN",
            help="When the key ends: after a span such as 12h, 30d or 8w, or at a time in ISO 8601 such as 2027-01-31 "
            "or 2027-01-31T18:00+01:00 (UTC without a zone; a date is its first moment). Default: never.",
        ),
    ] = None,
) -> None:
    """Make a key for a user and print it, this once: nobody can see it again."""
    end = None if expires is None else _end(expires)

    async def make(container: Container) -> tuple[str, ApiKey]:
        keys = container.key_service()
        if isinstance(end, timedelta):
            return await keys.add(user, name=name, expires_in=end)
        return await keys.add(user, name=name, expires_at=end)

    secret, key = _with_container(make)
    typer.echo(secret)
    typer.echo(f"The key is not shown again. It is revoked with: pixyproxy key revoke {PREFIX}{key.key_id}", err=True)


@app.command("list")
def list_(
    user: Annotated[str | None, typer.Argument(help="The username whose keys to list; all if left out.")] = None,
) -> None:
    """List keys, a line each: id, user, name, when it was made, when it ends, and whether it has ended."""

    async def find(container: Container) -> tuple[tuple[ApiKey, ...], datetime]:
        return await container.key_service().list(user), container.clock().now()

    keys, now = _with_container(find)
    for key in keys:
        typer.echo("\t".join(escaped(column) for column in _columns(key, now)))


@app.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(help="The id of the key, such as pxy_AbCdEfGh; never the whole key.")],
) -> None:
    """Revoke a key: at once it opens nothing any more."""
    found = _id_of(key_id)
    _with_container(lambda container: container.key_service().revoke(found))
    typer.echo(f"revoked {PREFIX}{found}")


def _end(text: str) -> timedelta | datetime:
    if span := _SPAN.fullmatch(text):
        return int(span[1]) * _UNITS[span[2]]
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        message = "must be a span such as 12h, 30d or 8w, or a time in ISO 8601 such as 2027-01-31T18:00"
        raise typer.BadParameter(message, param_hint="--expires") from None


def _columns(key: ApiKey, now: datetime) -> list[str]:
    columns = [f"{PREFIX}{key.key_id}…", key.username, key.name or "-", _time(key.created_at)]
    columns.append("never" if key.expires_at is None else _time(key.expires_at))
    return [*columns, "expired"] if key.has_expired(now) else columns


def _time(time: datetime) -> str:
    return time.isoformat(timespec="seconds").replace("+00:00", "Z")


def _id_of(text: str) -> str:
    """The id of a key, as a list shows it or bare; a whole key is refused: arguments show in the list of processes."""
    found = text.strip().removeprefix(PREFIX).rstrip("….")
    if len(found) > ID_LENGTH:
        raise typer.BadParameter(
            "a whole key must not be an argument, for arguments show in the list of processes; "
            f"its id is enough: pixyproxy key revoke {PREFIX}{escaped(found[:ID_LENGTH])}",
            param_hint="KEY_ID",
        )
    return found


def _with_container(action: Callable[[Container], Awaitable[T]]) -> T:
    async def run() -> T:
        async with opened(build_container(load_settings())) as container:
            return await action(container)

    return asyncio.run(run())
