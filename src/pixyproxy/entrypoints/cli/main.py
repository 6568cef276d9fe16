"""The command `pixyproxy` with its subcommands and exit status."""

import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from pixyproxy.domain.errors import PixyProxyException
from pixyproxy.entrypoints import logs
from pixyproxy.entrypoints.cli import check, generate, keys, migrate, rebuild, reconcile, serve, users
from pixyproxy.entrypoints.cli.money import budgets, price, settle, usage
from pixyproxy.entrypoints.cli.storage import copy_database, copy_images
from pixyproxy.entrypoints.logs import escaped
from pixyproxy.settings import SettingsError

app = typer.Typer(
    name="pixyproxy",
    help="The image gateway for pictures that cost money. Settings come from the environment or a .env file.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


_LAST_STREAM = 2


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pixyproxy {version('pixyproxy')}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


app.command("serve")(serve.serve)
app.command("migrate")(migrate.migrate)
app.command("generate")(generate.generate)
app.command("price")(price.price)
app.command("usage")(usage.usage)
app.command("settle")(settle.settle)
app.command("check")(check.check)
app.command("reconcile")(reconcile.reconcile)
app.command("rebuild")(rebuild.rebuild)
app.command("copy-images")(copy_images.copy_images)
app.command("copy-database")(copy_database.copy_database)
app.add_typer(users.app, name="user")
app.add_typer(keys.app, name="key")
app.add_typer(budgets.app, name="budget")


def run() -> None:
    """Run the command line; exit with status 2 for a wrong setting or wrong usage, 1 for any other failure."""
    _open_standard_streams()
    logs.configure("WARNING")
    try:
        app()
    except SettingsError as error:
        _fail(error, 2)
    except PixyProxyException as error:
        _fail(error, 1)


def _open_standard_streams() -> None:
    """Open the descriptors 0 to 2 if a parent has closed them.

    A database or a connection that got one would take what is written to it, and libuv aborts when it closes one.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _LAST_STREAM:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def _fail(error: PixyProxyException, status: int) -> None:
    typer.echo(f"pixyproxy: {escaped(error.message)}", err=True)
    for field in getattr(error, "errors", ()):
        typer.echo(f"  {'.'.join(map(str, field.loc))}: {escaped(field.msg)}", err=True)
    sys.exit(status)
