"""`pixyproxy user`: who may log in."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer

from pixyproxy.application.accounts.user_service import UserService
from pixyproxy.containers import build_container, opened
from pixyproxy.settings import load_settings

app = typer.Typer(help="Manage who may log in.", no_args_is_help=True)
T = TypeVar("T")
Name = Annotated[str, typer.Argument(help="The username.")]


@app.command("add")
def add(
    name: Name,
    class_key: Annotated[str | None, typer.Option(help="A group that the user belongs to.")] = None,
) -> None:
    """Add a user; asks for the password, or reads a line from standard input."""
    password = _password()
    _with_users(lambda users: users.add(name, password, class_key))
    typer.echo(f"added {name}")


@app.command("list")
def list_() -> None:
    """List all users with their class keys."""
    for user in _with_users(lambda users: users.list()):
        typer.echo(user.username if user.class_key is None else f"{user.username}\t{user.class_key}")


@app.command("passwd")
def passwd(name: Name) -> None:
    """Set a new password; asks for it, or reads a line from standard input."""
    password = _password()
    _with_users(lambda users: users.change_password(name, password))
    typer.echo(f"changed the password of {name}")


@app.command("remove")
def remove(name: Name) -> None:
    """Remove a user, with all API keys; the images stay."""
    _with_users(lambda users: users.remove(name))
    typer.echo(f"removed {name}")


def _password() -> str:
    """The password, never from an argument: arguments show in the list of processes."""
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\r\n")


def _with_users(action: Callable[[UserService], Awaitable[T]]) -> T:
    async def run() -> T:
        container = build_container(load_settings())
        async with opened(container):
            return await action(container.user_service())

    return asyncio.run(run())
