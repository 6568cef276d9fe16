"""`pixyproxy key`: manage the API keys with which programs act for users."""

from datetime import datetime, timedelta
from typing import Annotated

import typer

from pixyproxy.application.accounts.account_commands import NewKey
from pixyproxy.application.accounts.key_service import ID_LENGTH, PREFIX
from pixyproxy.application.commands import validate
from pixyproxy.containers import Container
from pixyproxy.domain.accounts.api_key import ApiKey
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.entrypoints.cli.runner import run_with_accounts
from pixyproxy.entrypoints.logs import escaped

app = typer.Typer(help="Manage the API keys with which programs act for users.", no_args_is_help=True)


@app.command("add")
def add(
    user: Annotated[str, typer.Argument(help="The user who owns the key.")],
    name: Annotated[str | None, typer.Option(help="The purpose of the key, at most 64 characters.")] = None,
    expires: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN",
            help="The end of the key: a duration such as 12h, 30d or 8w, or a time in ISO 8601 such as 2027-01-31 "
            "or 2027-01-31T18:00+01:00 (UTC without a zone; a date is its first moment). Default: never.",
        ),
    ] = None,
) -> None:
    """Create a key for a user and print it, only this once."""
    end = None if expires is None else _parse_end(expires)
    secret, key = run_with_accounts(lambda container: container.key_service().add(user, name=name, expires=end))
    typer.echo(secret)
    typer.echo(f"The key is not shown again. It is revoked with: pixyproxy key revoke {PREFIX}{key.key_id}", err=True)


@app.command("list")
def list_(
    user: Annotated[str | None, typer.Argument(help="The user whose keys to list; all users if left out.")] = None,
) -> None:
    """List keys, a line each: id, user, name, creation time, end, and whether it has expired."""

    async def find(container: Container) -> tuple[tuple[ApiKey, ...], datetime]:
        return await container.key_service().list(user), container.clock().now()

    keys, now = run_with_accounts(find)
    for key in keys:
        typer.echo("\t".join(escaped(column) for column in _columns(key, now)))


@app.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(help="The id of the key, such as pxy_AbCdEfGh; never the whole key.")],
) -> None:
    """Revoke a key with immediate effect."""
    bare_id = _bare_id(key_id)
    run_with_accounts(lambda container: container.key_service().revoke(bare_id))
    typer.echo(f"revoked {PREFIX}{bare_id}")


def _parse_end(text: str) -> timedelta | datetime | None:
    try:
        return validate(NewKey, {"expires": text}).expires
    except DataValidationError as error:
        raise typer.BadParameter(error.errors[0].msg, param_hint="--expires") from None


def _columns(key: ApiKey, now: datetime) -> list[str]:
    columns = [f"{PREFIX}{key.key_id}…", key.username, key.name or "-", _format_time(key.created_at)]
    columns.append("never" if key.expires_at is None else _format_time(key.expires_at))
    return [*columns, "expired"] if key.has_expired(now) else columns


def _format_time(time: datetime) -> str:
    return time.isoformat(timespec="seconds").replace("+00:00", "Z")


def _bare_id(text: str) -> str:
    """Return the id without prefix and ellipsis; refuse a whole key, which the list of processes would show."""
    bare_id = text.strip().removeprefix(PREFIX).rstrip("….")
    if len(bare_id) > ID_LENGTH:
        raise typer.BadParameter(
            "a whole key must not be an argument, for arguments show in the list of processes; "
            f"its id is enough: pixyproxy key revoke {PREFIX}{escaped(bare_id[:ID_LENGTH])}",
            param_hint="KEY_ID",
        )
    return bare_id
