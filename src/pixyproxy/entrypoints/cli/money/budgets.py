"""`pixyproxy budget`: set, list and remove caps on spending."""

from typing import Annotated

import typer

from pixyproxy.domain.money.amounts import format_usd
from pixyproxy.domain.money.budgets import Balance, Per
from pixyproxy.entrypoints.cli.runner import run_with_accounts
from pixyproxy.entrypoints.logs import escaped

app = typer.Typer(help="Set, list and remove caps on spending.", no_args_is_help=True)
Scope = Annotated[str, typer.Argument(help="service, class:KEY, user:NAME, or each:KEY for every user of that class.")]


@app.command("list")
def list_() -> None:
    """List all budgets with what was taken of each in its current period."""
    balances = run_with_accounts(lambda container: container.budget_service().all_balances())
    if not balances:
        typer.echo("no budgets: nothing is capped")
        return
    typer.echo(_line("scope", "per", "cap", "spent", "reserved", "possibly", "left"))
    for balance in balances:
        typer.echo(_line(*_cells(balance)))


@app.command("set")
def set_(
    scope: Scope,
    usd: Annotated[str, typer.Argument(help="The cap in US dollars, such as 25 or 0.50.")],
    per: Annotated[Per, typer.Option(help="What the cap is for; days and months are those of UTC.")] = Per.MONTH,
) -> None:
    """Set the budget of a scope, in place of the one that it had; it counts what was charged in its period."""
    budget = run_with_accounts(lambda container: container.budget_service().set(scope, usd, per))
    typer.echo(f"{escaped(budget.scope)}: {format_usd(budget.cap_usd)} USD per {budget.per}")


@app.command("remove")
def remove(scope: Scope) -> None:
    """Remove the budget of a scope; its charges stay in the ledger."""
    run_with_accounts(lambda container: container.budget_service().remove(scope))
    typer.echo(f"removed the budget {escaped(scope)}")


def _cells(balance: Balance) -> tuple[str, ...]:
    budget, amounts = balance.budget, balance.amounts
    scope = f"{budget.scope} {balance.holder}".rstrip()
    sums = (budget.cap_usd, amounts.spent, amounts.reserved, amounts.possibly, balance.left_usd)
    return (escaped(scope), budget.per.value, *(f"{usd:.6f}" for usd in sums))


def _line(scope: str, per: str, *sums: str) -> str:
    return f"{scope:<28} {per:<6}" + "".join(f"{text:>14}" for text in sums)
