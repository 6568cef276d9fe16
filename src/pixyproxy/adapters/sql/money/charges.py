"""Charges and the accounts of budgets, within the transactions that change images.

Whoever changes charges shares a lock, and whoever opens accounts has it alone: the sums of a new account hold every
charge, and each later change finds the account.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from pixyproxy.adapters.sql.mapping import from_time, guid_key, to_time
from pixyproxy.adapters.sql.money.daily_sums import count_in_days
from pixyproxy.adapters.sql.session import Parameters, Row, Session, in_list
from pixyproxy.domain.generation import ImageDraft
from pixyproxy.domain.money.amounts import from_micro, to_micro
from pixyproxy.domain.money.budgets import Account, Budget, Per, accounts_of, reservations_of, scopes_of
from pixyproxy.domain.money.charges import Amounts, Charge, ChargeState
from pixyproxy.domain.money.costs import Cost, CostState
from pixyproxy.domain.money.daily_sums import differences

_COLUMNS = (
    *("guid", "caller", "class_key", "model", "reserved_at", "reserved"),
    *("cost", "state", "source", "prices_of", "tokens_in", "tokens_out"),
)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM charges"
_INSERT = f"INSERT INTO charges ({', '.join(_COLUMNS)}) VALUES ({', '.join(f':{column}' for column in _COLUMNS)})"
_UPDATE = """UPDATE charges SET cost = :cost, state = :state, source = :source, prices_of = :prices_of,
    model = :model, tokens_in = :tokens_in, tokens_out = :tokens_out WHERE guid = :guid"""
_CLASSES = "SELECT `user`, class_key FROM roster WHERE class_key IS NOT NULL AND `user` IN "
_BUDGETS = "SELECT scope, per, cap FROM budgets WHERE scope IN "
_LOCK = "SELECT id FROM ledger_lock WHERE id = 1"
_OF_ACCOUNT = "WHERE scope = :scope AND holder = :holder AND period = :period"
_RESERVE = f"""UPDATE budget_accounts SET reserved = reserved + :usd {_OF_ACCOUNT}
    AND spent + reserved + possibly + :usd <= :cap"""
_ADD = f"""UPDATE budget_accounts SET spent = spent + :spent, reserved = reserved + :reserved,
    possibly = possibly + :possibly {_OF_ACCOUNT}"""
_AMOUNTS = f"SELECT spent, reserved, possibly FROM budget_accounts {_OF_ACCOUNT}"
_ACCOUNTS = "SELECT scope, holder, period FROM budget_accounts WHERE scope IN "

Change = Callable[[Charge], Charge]


class AccountsMissingError(Exception):
    """Accounts that have to be opened before anything can be reserved in them."""

    def __init__(self, accounts: Sequence[Account]) -> None:
        super().__init__(accounts)
        self.accounts = accounts


def lock_ledger(session: Session, *, alone: bool = False) -> None:
    """Keep others from opening accounts until the transaction ends; `alone` also from changing charges."""
    session.fetch(_LOCK + (session.row_lock if alone else session.shared_lock), {})


def reserve(session: Session, drafts: Sequence[ImageDraft]) -> None:
    """Add the charges of new images, and reserve them in every budget that applies.

    Raises:
        BudgetExceededError: A cap does not allow it.
        UnpricedModelError: A price is not known, and there is a cap.
        AccountsMissingError: An account of the period has to be opened first.
    """
    charges = _charges_of(session, [draft for draft in drafts if draft.reservation is not None])
    if not charges:
        return
    session.insert_many(_INSERT, map(_values, charges))
    lock_ledger(session)
    budgets = _budgets_of(session, charges)
    wanted = reservations_of(charges, budgets)
    for account, usd in sorted(wanted.items()):
        if usd > 0:
            _reserve(session, account, usd, budgets[account.scope], charges[0], list(wanted))


def find_charges(session: Session, guids: Sequence[str], lock: str = "") -> dict[str, Charge]:
    """Return the charges that exist of these images, at least one, by GUID."""
    values, parameters = in_list([guid_key(guid) for guid in guids])
    return {
        charge.guid: charge
        for charge in map(to_charge, session.fetch(f"{_SELECT} WHERE guid IN {values}{lock}", parameters))
    }


def change_charges(session: Session, changes: Mapping[str, Change]) -> dict[str, Charge]:
    """Change the charges that exist of these images and the sums that they count in; return the new ones."""
    lock_ledger(session)
    before = find_charges(session, sorted(changes), session.row_lock)
    after = {guid: changes[guid](charge) for guid, charge in before.items()}
    changed = [guid for guid, charge in after.items() if charge != before[guid]]
    if changed:
        session.change_each(_UPDATE, [_values(after[guid]) for guid in changed])
        count_in_accounts(session, [(after[guid], after[guid].amounts.minus(before[guid].amounts)) for guid in changed])
        count_in_days(session, differences((before[guid], after[guid]) for guid in changed))
    return after


def add_charges(session: Session, charges: Sequence[Charge]) -> None:
    """Add charges, at least one, of images that have none, whatever a cap says."""
    known = find_charges(session, [charge.guid for charge in charges])
    new = [charge for charge in charges if charge.guid not in known]
    if new:
        session.insert_many(_INSERT, map(_values, new))
        lock_ledger(session)
        count_in_accounts(session, [(charge, charge.amounts) for charge in new])
        count_in_days(session, differences((None, charge) for charge in new))


def count_in_accounts(session: Session, differences: Sequence[tuple[Charge, Amounts]]) -> None:
    """Add differences to the accounts that exist for their charges; the ledger is locked."""
    sums: dict[Account, Amounts] = {}
    for charge, difference in differences:
        if difference != Amounts():
            for account in accounts_of(charge.caller, charge.class_key, charge.reserved_at):
                sums[account] = sums.get(account, Amounts()).plus(difference)
    if not sums:
        return
    scopes, parameters = in_list(sorted({account.scope for account in sums}))
    existing = {Account(*row) for row in session.fetch(_ACCOUNTS + scopes, parameters)}
    for account in sorted(sums.keys() & existing):
        session.change_later(_ADD, account._asdict() | amounts_values(sums[account]))


def find_amounts(session: Session, account: Account) -> Amounts | None:
    """Return the sums of an account, or None if it is not open."""
    rows = session.fetch(_AMOUNTS, account._asdict())
    return Amounts(*map(from_micro, map(int, rows[0]))) if rows else None


def amounts_values(amounts: Amounts) -> dict[str, int]:
    """Return the sums in micro-dollars, by the names of their columns."""
    spent, reserved, possibly = map(to_micro, (amounts.spent, amounts.reserved, amounts.possibly))
    return {"spent": spent, "reserved": reserved, "possibly": possibly}


def find_class_keys(session: Session, callers: Iterable[str | None]) -> dict[str | None, str]:
    """Return the class of each of these callers who is on the roster and in one."""
    names = sorted({caller for caller in callers if caller is not None})
    if not names:
        return {}
    values, parameters = in_list(names)
    return dict(session.fetch(_CLASSES + values, parameters))  # type: ignore[arg-type]


def to_budget(row: Row) -> Budget:
    """Return the budget of a row of scope, per and cap."""
    scope, per, cap = row
    return Budget(scope, Per(per), from_micro(int(cap)))


def to_charge(row: Row) -> Charge:
    """Return the charge of a row of all columns."""
    guid, caller, class_key, model, reserved_at, reserved, cost, state, source, prices_of, tokens_in, tokens_out = row
    has_cost = state not in {ChargeState.RESERVED, ChargeState.RELEASED}
    usd = None if cost is None else from_micro(int(cost))
    day = None if prices_of is None else date.fromisoformat(prices_of)
    return Charge(
        guid=guid,
        caller=caller,
        class_key=class_key,
        model=model,
        reserved_at=from_time(reserved_at),
        reserved_usd=None if reserved is None else from_micro(int(reserved)),
        source=source,
        state=ChargeState(state),
        cost=Cost(usd, CostState.UNPRICED if usd is None else CostState(state), source, day) if has_cost else None,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
    )


def _reserve(
    session: Session, account: Account, usd: Decimal, budget: Budget, charge: Charge, wanted: Sequence[Account]
) -> None:
    values: dict[str, Any] = {**account._asdict(), "usd": to_micro(usd), "cap": to_micro(budget.cap_usd)}
    if session.change(_RESERVE, values):
        return
    amounts = find_amounts(session, account)
    if amounts is None:
        raise AccountsMissingError(wanted)
    raise budget.exceeded(amounts, usd, charge.reserved_at)


def _charges_of(session: Session, drafts: Sequence[ImageDraft]) -> list[Charge]:
    class_keys = find_class_keys(session, (draft.request.author for draft in drafts))
    charges = [draft.charge(class_keys.get(draft.request.author)) for draft in drafts]
    return [charge for charge in charges if charge is not None]


def _budgets_of(session: Session, charges: Sequence[Charge]) -> dict[str, Budget]:
    """Return the budgets that apply to any of these charges, by scope."""
    scopes = {scope for charge in charges for scope in scopes_of(charge.caller, charge.class_key)}
    return {budget.scope: budget for budget in find_budgets(session, scopes)}


def find_budgets(session: Session, scopes: Iterable[str]) -> list[Budget]:
    """Return the budgets of these scopes, at least one, in the order of their scopes."""
    values, parameters = in_list(sorted(scopes))
    return sorted(map(to_budget, session.fetch(_BUDGETS + values, parameters)), key=lambda budget: budget.scope)


def _values(charge: Charge) -> Parameters:
    cost = charge.cost
    return {
        "guid": charge.guid,
        "caller": charge.caller,
        "class_key": charge.class_key,
        "model": charge.model,
        "reserved_at": to_time(charge.reserved_at),
        "reserved": None if charge.reserved_usd is None else to_micro(charge.reserved_usd),
        "cost": None if cost is None or cost.usd is None else to_micro(cost.usd),
        "state": charge.state.value,
        "source": charge.source if cost is None else cost.source,
        "prices_of": None if cost is None or cost.prices_of is None else cost.prices_of.isoformat(),
        "tokens_in": charge.tokens_in,
        "tokens_out": charge.tokens_out,
    }
