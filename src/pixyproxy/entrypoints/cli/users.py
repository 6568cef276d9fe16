"""`pixyproxy user`: manage user accounts."""

import io
import sys
from typing import Annotated

import typer

from pixyproxy.entrypoints.cli.runner import run_with_accounts
from pixyproxy.entrypoints.cli.running_service import warn_of_other_accounts
from pixyproxy.environment import load_settings

app = typer.Typer(help="Manage user accounts.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The username.")]


@app.command("add")
def add(
    name: Name,
    class_key: Annotated[str | None, typer.Option(help="A group that the user belongs to.")] = None,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Take the name of a removed user, with the pictures.")
    ] = False,
) -> None:
    """Add a user; asks for the password, or reads a line from standard input."""
    password = _read_password()
    run_with_accounts(lambda container: container.user_service().add(name, password, class_key, take_over=take_over))
    typer.echo(f"added {name}")
    warn_of_other_accounts(load_settings(), name, password)


@app.command("list")
def list_() -> None:
    """List all users with their class keys."""
    for user in run_with_accounts(lambda container: container.user_service().list()):
        typer.echo(user.username if user.class_key is None else f"{user.username}\t{user.class_key}")


@app.command("passwd")
def passwd(name: Name) -> None:
    """Set a new password; asks for it, or reads a line from standard input."""
    password = _read_password()
    run_with_accounts(lambda container: container.user_service().change_password(name, password))
    typer.echo(f"changed the password of {name}")
    warn_of_other_accounts(load_settings(), name, password)


@app.command("remove")
def remove(name: Name) -> None:
    """Remove a user with all API keys; the user's images stay, and the name is reserved."""
    run_with_accounts(lambda container: container.user_service().remove(name))
    typer.echo(f"removed {name}")


def _read_password() -> str:
    """Read the password, which is never an argument because arguments show in the list of processes."""
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    # In some locales Python decodes strictly; bytes that are no text are refused with a reason later.
    typed = io.TextIOWrapper(sys.stdin.buffer, sys.stdin.encoding, errors="surrogateescape")
    return typed.readline().rstrip("\r\n")
