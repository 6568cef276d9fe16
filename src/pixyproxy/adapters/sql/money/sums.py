"""Sums of charges: what an account has to hold."""

from collections.abc import Sequence
from datetime import UTC, datetime

from pixyproxy.adapters.sql.mapping import to_time
from pixyproxy.adapters.sql.session import Row, Session, in_list
from pixyproxy.domain.money.amounts import from_micro
from pixyproxy.domain.money.budgets import Account, Budget, Per, span_of
from pixyproxy.domain.money.charges import Amounts, ChargeState

_EVER = (datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC))
# MySQL's binary collation ignores trailing spaces in comparisons; the lengths distinguish them.
OF_CALLER = "caller = :caller AND LENGTH(caller) = LENGTH(:caller)"
OF_CLASS = "class_key = :class_key AND LENGTH(class_key) = LENGTH(:class_key)"
_IN_PERIOD = "reserved_at >= :begins_at AND reserved_at < :ends_at"
_SUM = "SELECT {key}, state, SUM(reserved), SUM(cost) FROM charges WHERE {condition} GROUP BY {group}"


def account_of(budget: Budget, holder: str, at: datetime) -> Account:
    """Return the account of a budget, and for `each:KEY` of this user, at this time."""
    return Account(budget.scope, holder, span_of(budget.per, at).name)


def sum_charges(session: Session, account: Account) -> Amounts:
    """Return the sums of the charges that count in an account."""
    kind, _, name = account.scope.partition(":")
    conditions = {"service": [], "user": [OF_CALLER], "class": [OF_CLASS], "each": [OF_CALLER, OF_CLASS]}[kind]
    caller = name if kind == "user" else account.holder
    values = {**_times(account), "caller": caller, "class_key": name}
    condition = " AND ".join([*conditions, _IN_PERIOD])
    return _sum(session.fetch(_SUM.format(key="''", condition=condition, group="state"), values))


def sum_charges_by_caller(session: Session, account: Account) -> dict[str, Amounts]:
    """Return the sums of each user's charges in the class of an account of `each:KEY`."""
    values = {**_times(account), "class_key": account.scope.partition(":")[2]}
    condition = f"caller IS NOT NULL AND {OF_CLASS} AND {_IN_PERIOD}"
    rows = session.fetch(_SUM.format(key="caller", condition=condition, group="caller, state"), values)
    return {caller: _sum([row for row in rows if row[0] == caller]) for caller in {row[0] for row in rows}}


def sum_month(session: Session, callers: Sequence[str], at: datetime) -> dict[str, Amounts]:
    """Return the sums of the charges of callers in the month of a time; those without charges are left out."""
    values, parameters = in_list(callers)
    condition = f"caller IN {values} AND {_IN_PERIOD}"
    # The lengths keep apart names that differ in trailing spaces only.
    sql = _SUM.format(key="caller", condition=condition, group="caller, LENGTH(caller), state")
    month = Account("", "", span_of(Per.MONTH, at).name)
    rows = session.fetch(sql, {**parameters, **_times(month)})
    return {caller: _sum([row for row in rows if row[0] == caller]) for caller in {row[0] for row in rows} & {*callers}}


def _times(account: Account) -> dict[str, str]:
    begins_at, ends_at = _EVER
    if account.period:
        begins_at, ends_at = _span(account.period)
    return {"begins_at": to_time(begins_at), "ends_at": to_time(ends_at)}


def _span(period: str) -> tuple[datetime, datetime]:
    """Return the beginning and the end of a day or a month, given by its name."""
    is_month = len(period) == len("2026-11")
    first = datetime.fromisoformat(f"{period}-01" if is_month else period).replace(tzinfo=UTC)
    span = span_of(Per.MONTH if is_month else Per.DAY, first)
    return (first, span.ends_at or first)


def _sum(rows: Sequence[Row]) -> Amounts:
    total = Amounts()
    for _, state, reserved, cost in rows:
        held, spent = from_micro(int(reserved or 0)), from_micro(int(cost or 0))
        if state == ChargeState.RESERVED:
            total = total.plus(Amounts(reserved=held))
        elif state == ChargeState.POSSIBLY_BILLED:
            total = total.plus(Amounts(possibly=held))
        elif state != ChargeState.RELEASED:
            total = total.plus(Amounts(spent=spent))
    return total
