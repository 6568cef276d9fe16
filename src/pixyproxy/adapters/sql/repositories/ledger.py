"""The ledger in an SQL database."""

from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import partial

from pixyproxy.adapters.sql.database import SQLDatabase
from pixyproxy.adapters.sql.mapping import to_time
from pixyproxy.adapters.sql.money import charges as entries
from pixyproxy.adapters.sql.money import daily_sums
from pixyproxy.adapters.sql.money.highest_costs import find_highest_cost
from pixyproxy.adapters.sql.money.sums import account_of, sum_charges, sum_charges_by_caller, sum_month
from pixyproxy.adapters.sql.repositories import image_transactions
from pixyproxy.adapters.sql.repositories.sql_repository import SQLRepository
from pixyproxy.adapters.sql.session import Row, Session
from pixyproxy.domain.image import Image, Status
from pixyproxy.domain.money.amounts import from_micro, to_micro
from pixyproxy.domain.money.budgets import Account, Balance, Budget, scopes_of, span_of
from pixyproxy.domain.money.charges import Amounts, Charge, ChargeState
from pixyproxy.domain.money.daily_sums import FIRST_DAY, UsageQuery, UsageRow
from pixyproxy.domain.money.highest_costs import Choice
from pixyproxy.ports.money.ledger import HELD_LIMIT, Discrepancy, Held, Ledger

_LIST = "SELECT scope, per, cap FROM budgets"
_DELETE = "DELETE FROM budgets WHERE scope = :scope"
_INSERT = "INSERT INTO budgets (scope, per, cap) VALUES (:scope, :per, :cap)"
_CLOSE_ACCOUNTS = "DELETE FROM budget_accounts WHERE scope = :scope"
_OPEN_ACCOUNT = """INSERT INTO budget_accounts (scope, holder, period, spent, reserved, possibly)
    VALUES (:scope, :holder, :period, :spent, :reserved, :possibly)"""
_ALL_ACCOUNTS = "SELECT scope, holder, period FROM budget_accounts"
_HELD = """SELECT COUNT(*), COALESCE(SUM(reserved), 0)
    FROM (SELECT reserved FROM charges WHERE state = :state LIMIT :most) AS some_charges"""
_ORPHANS = """SELECT charges.guid FROM charges LEFT JOIN images ON images.guid = charges.guid
    WHERE charges.state = 'reserved' AND charges.reserved_at < :before AND images.guid IS NULL LIMIT 500"""


class SQLLedger(SQLRepository, Ledger):
    """Keeps charges and budgets in an SQL database."""

    async def budgets(self) -> tuple[Budget, ...]:
        return await self._database.read(_find_all)

    async def set_budget(self, budget: Budget, now: datetime) -> None:
        """Replace the budget; its accounts are opened by the next reservation."""
        values = {"scope": budget.scope, "per": budget.per.value, "cap": to_micro(budget.cap_usd)}

        def set_budget(session: Session) -> bool:
            entries.lock_ledger(session, alone=True)
            session.change_later(_CLOSE_ACCOUNTS, values)
            session.change_later(_DELETE, values)
            session.change(_INSERT, values)
            return True

        await self._database.write(set_budget, reread=lambda session: budget in _find_all(session) or None)

    async def remove_budget(self, scope: str) -> bool:
        def remove(session: Session) -> bool:
            entries.lock_ledger(session, alone=True)
            session.change_later(_CLOSE_ACCOUNTS, {"scope": scope})
            return session.change(_DELETE, {"scope": scope}) > 0

        return await self._database.write(remove)

    async def balances(self, caller: str | None, now: datetime) -> tuple[Balance, ...]:
        return await self._database.read(partial(_balances, caller=caller, now=now))

    async def all_balances(self, now: datetime) -> tuple[Balance, ...]:
        return await self._database.read(partial(_all_balances, now=now))

    async def spending(self, callers: Sequence[str], now: datetime) -> dict[str, Amounts]:
        if not callers:
            return {}
        return await self._database.read(partial(sum_month, callers=callers, at=now))

    async def charges(self, guids: Sequence[str]) -> dict[str, Charge]:
        if not guids:
            return {}
        return await self._database.read(partial(entries.find_charges, guids=guids))

    async def held(self, state: ChargeState) -> Held:
        values = {"state": state.value, "most": HELD_LIMIT}
        [(charges, micro)] = await self._database.read(lambda session: session.fetch(_HELD, values))
        return Held(int(charges), from_micro(int(micro)))

    async def settle(self, guid: str, billed_usd: Decimal, now: datetime) -> Image | None:
        return await self._database.write(partial(image_transactions.settle, guid=guid, billed_usd=billed_usd, now=now))

    async def hold_orphans(self, reserved_before: datetime) -> int:
        def hold(session: Session) -> int:
            guids = [guid for (guid,) in session.fetch(_ORPHANS, {"before": to_time(reserved_before)})]
            changes = {guid: lambda charge: charge.failed(Status.UNKNOWN) for guid in guids}
            return len(entries.change_charges(session, changes)) if guids else 0

        return await self._database.write(hold)

    async def end_overlooked(self) -> int:
        return await self._database.write(image_transactions.end_overlooked)

    async def discrepancies(self) -> tuple[Discrepancy, ...]:
        """Compare while nobody changes charges."""

        def compare(session: Session) -> tuple[Discrepancy, ...]:
            entries.lock_ledger(session, alone=True)
            accounts = [Account(*row) for row in session.fetch(_ALL_ACCOUNTS, {})]
            found = [
                Discrepancy(account, entries.find_amounts(session, account) or Amounts(), sum_charges(session, account))
                for account in sorted(accounts)
            ]
            return tuple(one for one in found if one.kept != one.charged)

        return await self._database.write(compare)

    async def highest_cost(self, choice: Choice) -> Decimal | None:
        return await self._database.read(partial(find_highest_cost, choice=choice))

    async def usage(self, query: UsageQuery) -> tuple[UsageRow, ...]:
        return await self._database.read(partial(daily_sums.find_usage, query=query))

    async def rebuild_usage(self) -> AsyncIterator[date]:
        """Rebuild each day while nobody changes charges."""
        async for day in self._days():
            await self._database.write(partial(_rebuild_day, day=day), reread=lambda _: True)
            yield day

    async def differing_days(self) -> tuple[date, ...]:
        """Compare each day while nobody changes charges."""
        return tuple([day async for day in self._days() if await self._database.write(partial(_differs, day=day))])

    async def _days(self) -> AsyncIterator[date]:
        """Yield the days that have charges or sums."""
        day = FIRST_DAY
        while (next_one := await self._database.read(partial(daily_sums.next_day, after=day))) is not None:
            yield (day := next_one)


async def open_accounts(database: SQLDatabase, accounts: Sequence[Account]) -> None:
    """Open those of these accounts that are not open, with the sums of their charges."""

    def open_all(session: Session) -> bool:
        entries.lock_ledger(session, alone=True)
        for account in sorted(accounts):
            if entries.find_amounts(session, account) is None:
                amounts = sum_charges(session, account)
                session.change_later(_OPEN_ACCOUNT, account._asdict() | entries.amounts_values(amounts))
        return True

    def are_open(session: Session) -> bool | None:
        return all(entries.find_amounts(session, account) is not None for account in accounts) or None

    await database.write(open_all, reread=are_open)


def _rebuild_day(session: Session, day: date) -> bool:
    entries.lock_ledger(session, alone=True)
    daily_sums.rebuild_day(session, day)
    return True


def _differs(session: Session, day: date) -> bool:
    entries.lock_ledger(session, alone=True)
    return daily_sums.differs(session, day)


def _find_all(session: Session) -> tuple[Budget, ...]:
    rows: Sequence[Row] = session.fetch(_LIST, {})
    return tuple(sorted(map(entries.to_budget, rows), key=lambda budget: budget.scope))


def _balances(session: Session, caller: str | None, now: datetime) -> tuple[Balance, ...]:
    scopes = scopes_of(caller, entries.find_class_keys(session, [caller]).get(caller))
    return tuple(
        _balance(session, budget, scopes[budget.scope], now) for budget in entries.find_budgets(session, scopes)
    )


def _all_balances(session: Session, now: datetime) -> tuple[Balance, ...]:
    balances: list[Balance] = []
    for budget in _find_all(session):
        if not budget.scope.startswith("each:"):
            balances.append(_balance(session, budget, "", now))
            continue
        span = span_of(budget.per, now)
        sums = sum_charges_by_caller(session, account_of(budget, "", now))
        balances += [Balance(budget, amounts, span.ends_at, caller) for caller, amounts in sorted(sums.items())]
        if not sums:
            balances.append(Balance(budget, Amounts(), span.ends_at))
    return tuple(balances)


def _balance(session: Session, budget: Budget, holder: str, now: datetime) -> Balance:
    account = account_of(budget, holder, now)
    amounts = entries.find_amounts(session, account)
    return Balance(
        budget,
        sum_charges(session, account) if amounts is None else amounts,
        span_of(budget.per, now).ends_at,
        holder,
    )
