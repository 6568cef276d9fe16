"""A budget as the API shows it."""

from typing import Any

from pixyproxy.domain.money.amounts import format_usd
from pixyproxy.domain.money.budgets import Balance
from pixyproxy.entrypoints.http.representation.image_detail import present_time


def present_balance(balance: Balance) -> dict[str, Any]:
    """Return `BudgetDetail`."""
    detail = {
        "scope": balance.budget.scope,
        "per": balance.budget.per.value,
        "cap_usd": format_usd(balance.budget.cap_usd),
        "spent_usd": format_usd(balance.amounts.spent),
        "reserved_usd": format_usd(balance.amounts.reserved),
        "possibly_usd": format_usd(balance.amounts.possibly),
        "resets_at": None if balance.resets_at is None else present_time(balance.resets_at),
    }
    return detail | {"user": balance.holder} if balance.holder else detail
