"""The page of a user's own spending, as HTML and as the data that it shows."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from pixyproxy.application.money.usage_service import UsageReport
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.money.budgets import Balance, Budget, Per
from pixyproxy.domain.money.charges import Amounts
from pixyproxy.domain.money.daily_sums import Grouping, Tally, UsageRow
from pixyproxy.entrypoints.http.pages.spending import last_of, month_of, present_budget, present_days, present_sum
from tests.fixtures.http_app import ALICE, BOB, HttpApp, basic, http_app

HTML = {"Accept": "text/html,*/*;q=0.8"}
TODAY = date(2026, 11, 21)


@pytest.fixture
async def app() -> AsyncIterator[HttpApp]:
    async with http_app() as app:
        yield app


async def test_it_is_for_users_who_are_logged_in_and_kept_by_no_cache(app: HttpApp) -> None:
    await app.create()
    stranger = await app.client.get("/spending", headers=HTML)
    assert (stranger.status_code, stranger.headers["location"]) == (303, "/login?next=%2Fspending")
    assert (await app.client.get("/spending.csv")).status_code == 401
    for user, pictures in ((ALICE, "1 picture"), (BOB, "0 pictures")):
        page = await app.client.get("/spending", headers=HTML, auth=basic(user))
        assert page.status_code == 200
        assert page.headers["cache-control"] == "private, no-store"
        assert page.text.count(f"<span>{pictures}</span>") == 3
    table = await app.client.get("/spending.csv", auth=basic(ALICE))
    assert (table.headers["content-type"], table.headers["cache-control"]) == (
        "text/csv; charset=utf-8",
        "private, no-store",
    )
    assert len(table.text.splitlines()) == 2


@pytest.mark.parametrize("month", ["2026-13", "2026", "x", "9999-01", "1969-12", "2026-1", "2026-01-01"])
async def test_a_wrong_month_says_what_is_right(app: HttpApp, month: str) -> None:
    for path in ("/spending", "/spending.csv"):
        page = await app.client.get(path, params={"month": month}, headers=HTML, auth=basic(ALICE))
        assert page.status_code == 422
        assert "must be a month such as 2026-11 that has begun" in page.text


async def test_the_first_month_has_none_before_it(app: HttpApp) -> None:
    page = await app.client.get("/spending?month=1970-01", headers=HTML, auth=basic(ALICE))
    assert 'rel="prev"' not in page.text
    assert 'rel="next"' in page.text
    page = await app.client.get("/spending", headers=HTML, auth=basic(ALICE))
    assert 'rel="next"' not in page.text


def test_months() -> None:
    assert month_of("", TODAY) == month_of("2026-11", TODAY) == date(2026, 11, 1)
    assert last_of(date(2028, 2, 1)) == date(2028, 2, 29)
    with pytest.raises(DataValidationError):
        month_of("2026-12", TODAY)


def test_a_sum_names_what_it_leaves_open() -> None:
    total = Tally(2, 1, 1, 1, 0, 0, Decimal("0.5"), Decimal("0.25"), Decimal("0.125"))
    shown = present_sum("Today", total)
    assert (shown["usd"], shown["pictures"]) == ("$0.50", "2 pictures")
    assert shown["notes"] == ["$0.25 reserved", "up to $0.12 possibly billed", "1 unpriced"]
    assert present_sum("Today", Tally(1))["notes"] == []


@pytest.mark.parametrize(
    ("cap", "spent", "reserved", "possibly", "parts"),
    [
        ("4", "1", "1", "0", [("spent", "0.00", "25.00"), ("reserved", "25.00", "25.00")]),
        ("1", "0.5", "0", "2", [("spent", "0.00", "50.00"), ("possibly", "50.00", "50.00")]),
        ("1", "3", "1", "1", [("spent", "0.00", "100.00")]),
        ("0", "1", "1", "1", []),
    ],
)
def test_the_parts_of_a_budget_stay_within_its_gauge(
    cap: str, spent: str, reserved: str, possibly: str, parts: list[tuple[str, str, str]]
) -> None:
    amounts = Amounts(Decimal(spent), Decimal(reserved), Decimal(possibly))
    budget = Budget("class:9a", Per.MONTH, Decimal(cap))
    shown = present_budget(Balance(budget, amounts, datetime(2026, 12, 1, tzinfo=UTC)))
    assert [(part["name"], part["x"], part["width"]) for part in shown["parts"]] == parts
    assert (shown["name"], shown["class_key"], shown["resets"]) == ("Class", "9a", "1 Dec 2026, 00:00 UTC")


@pytest.mark.parametrize(
    ("highest", "axis"),
    [
        ("0.000001", ["$0.01", "$0.005", "$0"]),
        ("0.03", ["$0.05", "$0.025", "$0"]),
        ("0.1", ["$0.1", "$0.05", "$0"]),
        ("7", ["$10", "$5", "$0"]),
        ("1500", ["$2,000", "$1,000", "$0"]),
    ],
)
def test_the_chart_reaches_a_round_amount(highest: str, axis: list[str]) -> None:
    rows = (UsageRow("2026-11-02", Tally(1, spent=Decimal(highest), reserved=Decimal(0))),)
    shown = present_days(UsageReport(date(2026, 11, 1), date(2026, 11, 30), Grouping.DAY, rows))
    chart = shown["chart"]
    assert chart["axis"] == axis
    [bar] = chart["bars"]
    assert bar["x"] == 11
    assert all(0 <= float(part["y"]) <= 100 for part in bar["parts"])


def test_a_month_without_money_has_a_table_and_no_chart() -> None:
    rows = (UsageRow("2026-11-02", Tally(3)),)
    shown = present_days(UsageReport(date(2026, 11, 1), date(2026, 11, 30), Grouping.DAY, rows))
    assert shown["chart"] is None
    assert (shown["total"]["pictures"], shown["total"]["spent"]) == (3, "–")
    assert not any(shown["shows"].values())
