"""Budgets: scopes, periods and amounts."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from pixyproxy.application.money.budget_service import parse_usd
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.money.budgets import Account, Budget, Per, accounts_of, scopes_of, span_of
from pixyproxy.domain.money.charges import Amounts

AT = datetime(2026, 11, 30, 23, 30, tzinfo=UTC)


@pytest.mark.parametrize("scope", ["", "Service", "class", "class:", "user:", "each:", "all:9a", "service:x"])
def test_a_wrong_scope_names_the_right_ones(scope: str) -> None:
    with pytest.raises(DataValidationError, match="scope must be service, class:KEY, user:NAME or each:KEY"):
        Budget(scope, Per.DAY, Decimal(1))


@pytest.mark.parametrize("text", ["", "ten", "-1", "NaN", "Infinity", "1000000.000001", "0.0000001", "1,50", "1e99"])
def test_a_wrong_amount_says_what_is_right(text: str) -> None:
    with pytest.raises(DataValidationError, match="cap_usd must be an amount from 0 to 1000000 US dollars"):
        parse_usd(text, "cap_usd")


@pytest.mark.parametrize("text", ["0", "25", "0.50", "1000000", "0.000001", "1e2"])
def test_an_amount_is_decimal_text(text: str) -> None:
    assert parse_usd(text, "cap_usd") == Decimal(text)


def test_periods_are_those_of_utc() -> None:
    at = AT.astimezone(timezone(timedelta(hours=3)))
    assert span_of(Per.TOTAL, at) == ("", None, None)
    assert span_of(Per.DAY, at)[0] == "2026-11-30"
    assert span_of(Per.MONTH, at) == ("2026-11", datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
    assert span_of(Per.MONTH, datetime(2026, 12, 31, tzinfo=UTC)).ends_at == datetime(2027, 1, 1, tzinfo=UTC)


def test_a_caller_is_in_the_scopes_of_the_class() -> None:
    assert scopes_of(None, None) == {"service": ""}
    assert scopes_of("alice", None) == {"service": "", "user:alice": ""}
    assert scopes_of("alice", "9a") == {"service": "", "class:9a": "", "user:alice": "", "each:9a": "alice"}
    accounts = accounts_of("alice", "9a", AT)
    assert len(accounts) == 12
    assert Account("each:9a", "alice", "2026-11-30") in accounts
    assert accounts == sorted(accounts)


def test_a_refusal_says_when_the_budget_resets() -> None:
    budget = Budget("class:9a", Per.DAY, Decimal(1))
    error = budget.exceeded(Amounts(Decimal("0.75")), Decimal("0.3"), AT)
    assert error.message == (
        "The budget 'class:9a' of 1.000000 USD has 0.250000 USD left, and this may cost 0.300000 USD. It resets at "
        "2026-12-01T00:00:00Z. Nothing was generated or paid."
    )
    assert error.retry_after_s == 1800
