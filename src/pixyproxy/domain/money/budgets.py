"""Budgets: caps on what a service, a class or a user may spend in a day, a month or in all."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from pixyproxy.domain.errors import BudgetExceededError, DataValidationError, UnpricedModelError
from pixyproxy.domain.money.amounts import MAX_USD, format_usd, is_amount
from pixyproxy.domain.money.charges import ZERO, Amounts, Charge

SERVICE = "service"
_KINDS = ("class", "user", "each")


class Per(StrEnum):
    """The time that a cap is for; days and months begin at midnight UTC."""

    DAY = "day"
    MONTH = "month"
    TOTAL = "total"


class Span(NamedTuple):
    """A period of a budget: its name, its beginning and its end; a total has neither."""

    name: str
    begins_at: datetime | None
    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class Budget:
    """A cap in US dollars on a scope: `service`, `class:KEY`, `user:NAME`, or `each:KEY` for each user of a class."""

    scope: str
    per: Per
    cap_usd: Decimal

    def __post_init__(self) -> None:
        kind, _, name = self.scope.partition(":")
        if self.scope != SERVICE and (kind not in _KINDS or not name):
            rule = "must be service, class:KEY, user:NAME or each:KEY"
            raise DataValidationError.at(("scope",), rule)
        if not is_amount(self.cap_usd):
            rule = f"must be an amount from 0 to {MAX_USD} US dollars with at most six decimal places"
            raise DataValidationError.at(("cap_usd",), rule)

    def left_usd(self, amounts: Amounts) -> Decimal:
        """Return what may still be reserved beside these amounts, never less than 0."""
        return max(ZERO, self.cap_usd - amounts.total)

    def exceeded(self, amounts: Amounts, usd: Decimal, at: datetime) -> BudgetExceededError:
        """Return the error for a reservation of `usd`, at this time, beside what has been taken."""
        left = self.left_usd(amounts)
        resets_at = span_of(self.per, at).ends_at
        until = "It does not reset." if resets_at is None else f"It resets at {resets_at:%Y-%m-%dT%H:%M:%SZ}."
        return BudgetExceededError(
            f"The budget {self.scope!r} of {format_usd(self.cap_usd)} USD has {format_usd(left)} USD left, and this "
            f"may cost {format_usd(usd)} USD. {until} Nothing was generated or paid.",
            retry_after_s=None if resets_at is None else max(1.0, (resets_at - at).total_seconds()),
        )


class Account(NamedTuple):
    """A sum that is kept for a budget: `holder` is the user for `each:KEY`, else empty; `period` names the span."""

    scope: str
    holder: str
    period: str


@dataclass(frozen=True, slots=True)
class Balance:
    """A budget with what has been taken of it in the current period; `holder` as in `Account`."""

    budget: Budget
    amounts: Amounts
    resets_at: datetime | None
    holder: str = ""

    @property
    def left_usd(self) -> Decimal:
        """The amount that may still be reserved, never below 0."""
        return self.budget.left_usd(self.amounts)


def span_of(per: Per, at: datetime) -> Span:
    """Return the day, the month or the whole of time in which this time is."""
    if per is Per.TOTAL:
        return Span("", None, None)
    day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if per is Per.DAY:
        return Span(day.strftime("%Y-%m-%d"), day, day + timedelta(days=1))
    first = day.replace(day=1)
    return Span(first.strftime("%Y-%m"), first, (first + timedelta(days=32)).replace(day=1))


def scopes_of(caller: str | None, class_key: str | None) -> dict[str, str]:
    """Return the scopes that apply to a caller (None: an anonymous one), each with the holder of its account."""
    scopes = {SERVICE: ""}
    if class_key is not None:
        scopes[f"class:{class_key}"] = ""
    if caller is not None:
        scopes[f"user:{caller}"] = ""
        if class_key is not None:
            scopes[f"each:{class_key}"] = caller
    return scopes


def reservations_of(charges: Iterable[Charge], budgets: Mapping[str, Budget]) -> dict[Account, Decimal]:
    """Return what charges reserve in the accounts of the budgets, by scope, that apply to them.

    Raises:
        UnpricedModelError: A price is not known, and there is a cap.
    """
    wanted: dict[Account, Decimal] = {}
    for charge in charges:
        for scope, holder in scopes_of(charge.caller, charge.class_key).items():
            if scope in budgets:
                if charge.reserved_usd is None:
                    raise UnpricedModelError.under(scope, charge.model)
                account = Account(scope, holder, span_of(budgets[scope].per, charge.reserved_at).name)
                wanted[account] = wanted.get(account, ZERO) + charge.reserved_usd
    return wanted


def accounts_of(caller: str | None, class_key: str | None, at: datetime) -> list[Account]:
    """Return all accounts in which a charge of this caller at this time is counted, if they exist, in a fixed order."""
    periods = [span_of(per, at).name for per in Per]
    return sorted(
        Account(scope, holder, period) for scope, holder in scopes_of(caller, class_key).items() for period in periods
    )
