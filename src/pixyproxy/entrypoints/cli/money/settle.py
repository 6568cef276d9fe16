"""`pixyproxy settle`: record what a person found on the bill."""

from typing import Annotated

import typer

from pixyproxy.entrypoints.cli.runner import run_with_accounts


def settle(
    guid: Annotated[str, typer.Argument(help="The GUID of an image that is unknown.")],
    billed: Annotated[str | None, typer.Option(help="What the provider billed for it, in US dollars.")] = None,
    unbilled: Annotated[bool, typer.Option("--unbilled", help="The provider billed nothing: it failed.")] = False,
) -> None:
    """Settle an image that is unknown: say what was billed for it, or that nothing was."""
    if (billed is None) is not unbilled:
        raise typer.BadParameter("give exactly one of --billed USD and --unbilled")
    amount = "0" if billed is None else billed
    image = run_with_accounts(lambda container: container.budget_service().settle(guid, amount))
    if image is None:
        typer.echo(f"settled the charge of {guid}, whose image was deleted")
    else:
        typer.echo(f"settled {image.guid}: it is {image.status}")
