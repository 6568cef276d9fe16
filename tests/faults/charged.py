"""The ledger of the service, read without it: charges agree with rows, accounts and days with charges."""

from collections.abc import Callable, Sequence
from typing import Any

CAP = "INSERT INTO budgets (scope, per, cap) VALUES ('service', 'total', 1000000000)"
"""A cap that is never reached, so that every generation reserves."""

_STATES = {
    "ready": {"priced", "estimated"},
    "failed": {"released"},
    "unknown": {"possibly-billed"},
    "generating": {"reserved"},
    "queued": {"reserved"},
}
_CHARGES = """SELECT images.guid, images.status, charges.state FROM images
    LEFT JOIN charges ON charges.guid = images.guid"""
_SUMS = """SELECT COALESCE(SUM(CASE WHEN state IN ('priced', 'estimated') THEN cost ELSE 0 END), 0),
    COALESCE(SUM(CASE WHEN state = 'reserved' THEN reserved ELSE 0 END), 0),
    COALESCE(SUM(CASE WHEN state = 'possibly-billed' THEN reserved ELSE 0 END), 0) FROM charges"""
_DAYS = "SELECT COALESCE(SUM(spent), 0), COALESCE(SUM(possibly), 0), COALESCE(SUM(pictures), 0) FROM daily_sums"
_MADE = "SELECT COUNT(*) FROM charges WHERE state IN ('priced', 'estimated', 'unpriced')"
_ACCOUNTS = "SELECT spent, reserved, possibly FROM budget_accounts WHERE scope = 'service'"


def disagreements(query: Callable[[str], Sequence[Sequence[Any]]], *, all_charged: bool = True) -> list[str]:
    """Return where the ledger does not agree with the rows, which all have charges, or with itself."""
    wrong = [
        f"{guid} is {status} and its charge {state}"
        for guid, status, state in query(_CHARGES)
        if state not in _STATES[status] and (all_charged or state is not None)
    ]
    ((spent, reserved, possibly),) = query(_SUMS)
    sums = [int(spent), int(reserved), int(possibly)]
    wrong += [
        f"the account holds {account} where the charges are {sums}"
        for account in query(_ACCOUNTS)
        if [int(amount) for amount in account] != sums
    ]
    (days,), (made,) = query(_DAYS), query(_MADE)
    expected = [sums[0], sums[2], int(made[0])]
    if [int(number) for number in days] != expected:
        wrong.append(f"the days hold {days} where the charges are {expected}")
    return wrong
