"""Money over HTTP while time and budgets change: ends of months, clocks that jump, and calls that are under way."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from pixyproxy.domain.generation import GeneratedImage
from pixyproxy.domain.money.budgets import Per
from tests.fixtures.core import PNG, SteppingClock
from tests.fixtures.http_app import ALICE, HttpApp, http_app

OPENAI = {"PIXYPROXY_GENERATOR": "openai", "OPENAI_API_KEY": "sk-test"}
PRICES = '[[prices]]\nmodel = "flat"\nusd_per_image = "0.10"\n'
NEW_YEAR = datetime(2027, 1, 1, tzinfo=UTC)


@pytest.fixture
async def paid(tmp_path: Path) -> AsyncIterator[HttpApp]:
    """Yield an application where a picture costs 10 cents."""
    path = tmp_path / "prices.toml"
    path.write_text(PRICES)
    async with http_app(**OPENAI, PIXYPROXY_PRICES=path) as app:
        yield app


def set_clock(app: HttpApp, at: datetime) -> None:
    clock: SteppingClock = app.container.clock()
    clock.step = timedelta(0)
    clock.advance(at - clock.now())


def create(app: HttpApp, prompt: str) -> Awaitable[httpx.Response]:
    return app.client.post("/image", json={"prompt": prompt, "model": "flat"}, auth=ALICE)


async def begin(app: HttpApp, prompt: str) -> "asyncio.Task[httpx.Response]":
    """Begin a call that lasts until the gate opens."""
    app.generator.gate = app.generator.gate or asyncio.Event()
    calls = len(app.generator.requests)
    task = asyncio.ensure_future(create(app, prompt))
    while len(app.generator.requests) == calls:
        await asyncio.sleep(0)
    return task


async def balance(app: HttpApp) -> dict[str, Any]:
    (found,) = (await app.client.get("/budget", auth=ALICE)).json()
    return {name: found[name] for name in ("cap_usd", "spent_usd", "reserved_usd", "resets_at")}


async def test_a_call_over_the_end_of_a_month_belongs_to_the_month_of_its_beginning(paid: HttpApp) -> None:
    budgets = paid.container.budget_service()
    set_clock(paid, NEW_YEAR - timedelta(microseconds=1))
    await budgets.set("user:alice", "0.10", Per.MONTH)
    call = await begin(paid, "fireworks")
    assert (await create(paid, "more fireworks")).status_code == 402
    set_clock(paid, NEW_YEAR)
    assert (await balance(paid))["reserved_usd"] == "0.000000"
    second = await begin(paid, "a new year")
    assert paid.generator.gate is not None
    paid.generator.gate.set()
    assert [(await task).status_code for task in (call, second)] == [200, 200]
    assert await balance(paid) == {
        "cap_usd": "0.100000",
        "spent_usd": "0.100000",
        "reserved_usd": "0.000000",
        "resets_at": "2027-02-01T00:00:00.000000Z",
    }
    rows = (await paid.client.get("/usage?by=day&from=2026-12-31", auth=ALICE)).json()
    assert [(row["day"], row["usd"]) for row in rows] == [("2026-12-31", "0.100000"), ("2027-01-01", "0.100000")]


async def test_a_clock_that_jumps_back_finds_the_old_month_spent(paid: HttpApp) -> None:
    set_clock(paid, NEW_YEAR)
    await paid.container.budget_service().set("user:alice", "0.10", Per.MONTH)
    assert (await create(paid, "a duck")).status_code == 200
    set_clock(paid, NEW_YEAR - timedelta(seconds=5))
    assert (await create(paid, "a duck before")).status_code == 200
    assert (await create(paid, "another duck before")).status_code == 402
    set_clock(paid, NEW_YEAR + timedelta(days=1))
    assert (await create(paid, "a duck after")).status_code == 402
    set_clock(paid, NEW_YEAR + timedelta(days=31))
    assert (await create(paid, "a duck in February")).status_code == 200


async def test_a_budget_that_changes_counts_the_calls_that_are_under_way(paid: HttpApp) -> None:
    budgets = paid.container.budget_service()
    call = await begin(paid, "a duck")
    await budgets.set("user:alice", "0.15", Per.MONTH)
    assert (await balance(paid))["reserved_usd"] == "0.100000"
    assert (await create(paid, "a second duck")).status_code == 402
    await budgets.set("user:alice", "0.20", Per.DAY)
    second = await begin(paid, "a second duck")
    await budgets.remove("user:alice")
    third = await begin(paid, "a third duck")
    await budgets.set("user:alice", "0", Per.TOTAL)
    assert paid.generator.gate is not None
    paid.generator.gate.set()
    assert [(await task).status_code for task in (call, second, third)] == [200, 200, 200]
    found = await balance(paid)
    assert (found["cap_usd"], found["spent_usd"], found["resets_at"]) == ("0.000000", "0.300000", None)
    assert (await create(paid, "a fourth duck")).status_code == 402
    assert await budgets.discrepancies() == ()


async def test_a_published_usage_record_costs_what_the_provider_bills() -> None:
    async with http_app(**OPENAI) as app:
        set_clock(app, datetime(2026, 11, 21, 12, tzinfo=UTC))
        usage = {"input_tokens": 0, "output_tokens": 13_342, "total_tokens": 13_342}
        app.generator.outcome = GeneratedImage(PNG, model="gpt-image-2", usage=usage)
        body = {"prompt": "a duck", "model": "gpt-image-2", "size": "3840x2160", "quality": "high"}
        response = await app.client.post("/image", json=body, auth=ALICE)
        assert response.headers["x-pixyproxy-cost-usd"] == "0.400260"
        assert (response.json()["cost"]["usd"], response.json()["cost"]["state"]) == ("0.400260", "priced")
        (row,) = (await app.client.get("/usage?by=model", auth=ALICE)).json()
        assert (row["model"], row["output_tokens"], row["usd"]) == ("gpt-image-2", 13_342, "0.400260")
        charges = await app.container.ledger().charges([response.json()["guid"]])
        assert [charge.cost and charge.cost.usd for charge in charges.values()] == [Decimal("0.40026")]
