"""`pixyproxy user`: manage user accounts."""

import io
import sys
from pathlib import Path
from typing import Annotated

import typer

from pixyproxy.application.accounts.roster_import import RESULT
from pixyproxy.domain.user import Role, User
from pixyproxy.entrypoints.cli.runner import run_with_accounts
from pixyproxy.entrypoints.cli.running_service import warn_of_other_accounts
from pixyproxy.entrypoints.logs import escaped
from pixyproxy.entrypoints.spreadsheet import to_csv
from pixyproxy.environment import load_settings

app = typer.Typer(help="Manage user accounts.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The username.")]


@app.command("add")
def add(
    name: Name,
    class_key: Annotated[str | None, typer.Option(help="A group that the user belongs to.")] = None,
    role: Annotated[Role, typer.Option(help="The user's rights over other users.")] = Role.STUDENT,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Take the name of a removed user, with the pictures.")
    ] = False,
) -> None:
    """Add a user; asks for the password, or reads a line from standard input."""
    password = _read_password()
    run_with_accounts(
        lambda container: container.user_service().add(name, password, class_key, role=role, take_over=take_over)
    )
    typer.echo(f"added {name}")
    warn_of_other_accounts(load_settings(), name, password)


@app.command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="CSV with the columns user and optionally password, class_key, role and valid_until.",
        ),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    keys: Annotated[bool, typer.Option("--keys", help="Make an API key for each user who has none.")] = False,
) -> None:
    """Add the users of a file and change what differs, all or nothing; print the result as CSV.

    Passwords that are missing are made; they and the keys are printed only this once.
    """
    from pixyproxy.entrypoints.cli.progress import count_bar

    with count_bar() as bar:
        task = bar.add_task("users", total=None)
        results = run_with_accounts(
            lambda container: container.roster_import().run(
                None,
                file.read_bytes(),
                dry_run=dry_run,
                with_keys=keys,
                on_progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
        )
    typer.echo(to_csv(RESULT, [result.row() for result in results]), nl=False)


@app.command("list")
def list_() -> None:
    """List all users, a line each: name, class key, role, and whether the account is paused or when it ends."""
    for user in run_with_accounts(lambda container: container.user_service().list()):
        typer.echo("\t".join(escaped(column) for column in _columns(user)))


@app.command("passwd")
def passwd(name: Name) -> None:
    """Set a new password; asks for it, or reads a line from standard input."""
    password = _read_password()
    run_with_accounts(lambda container: container.user_service().change_password(name, password))
    typer.echo(f"changed the password of {name}")
    warn_of_other_accounts(load_settings(), name, password)


@app.command("role")
def role(name: Name, role: Annotated[Role, typer.Argument(help="The new role.")]) -> None:
    """Give a user another role: teachers act on the students of their class, administrators on everybody."""
    run_with_accounts(lambda container: container.user_service().change_role(name, role))
    typer.echo(f"{name} is {role} now")


@app.command("pause")
def pause(name: Name) -> None:
    """Pause an account: every login is refused, with a password, a key or a session, until it is resumed."""
    run_with_accounts(lambda container: container.user_service().pause(name))
    typer.echo(f"paused {name}")


@app.command("resume")
def resume(name: Name) -> None:
    """Resume an account that was paused; its user logs in anew."""
    run_with_accounts(lambda container: container.user_service().resume(name))
    typer.echo(f"resumed {name}")


@app.command("remove")
def remove(name: Name) -> None:
    """Remove a user with all API keys; the user's images stay, and the name is reserved."""
    run_with_accounts(lambda container: container.user_service().remove(name))
    typer.echo(f"removed {name}")


def _columns(user: User) -> list[str]:
    state = ["paused"] if user.paused else []
    if user.valid_until is not None:
        state.append(f"until {user.valid_until:%Y-%m-%dT%H:%M:%SZ}")
    return [user.username, user.class_key or "-", user.role.value, *state]


def _read_password() -> str:
    """Read the password, which is never an argument because arguments show in the list of processes."""
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    # In some locales Python decodes strictly; bytes that are no text are refused with a reason later.
    typed = io.TextIOWrapper(sys.stdin.buffer, sys.stdin.encoding, errors="surrogateescape")
    return typed.readline().rstrip("\r\n")
