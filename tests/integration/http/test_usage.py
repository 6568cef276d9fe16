"""`GET /usage`: what a caller sees, as JSON and for a spreadsheet, and what is refused."""

import csv
from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.http_app import ALICE, BOB, HttpApp, http_app

PRICES = '[[prices]]\nmodel = "*"\nusd_per_image = "0.04"\n'
OPENAI = {"PIXYPROXY_GENERATOR": "openai", "OPENAI_API_KEY": "sk-test"}
NOTHING = {
    "pictures": 0,
    "failed": 0,
    "unknown": 0,
    "unpriced": 0,
    "input_tokens": 0,
    "output_tokens": 0,
    "usd": "0.000000",
    "reserved": "0.000000",
    "possibly": "0.000000",
}


@pytest.fixture
async def paid(tmp_path: Path) -> AsyncIterator[HttpApp]:
    """Yield an application where a picture costs 4 cents, two of which belong to alice and one to nobody."""
    path = tmp_path / "prices.toml"
    path.write_text(PRICES)
    async with http_app(**OPENAI, PIXYPROXY_PRICES=path) as app:
        await app.create(model="flat")
        await app.create(model="=2+3")
        await app.create(auth=None)
        yield app


async def usage(app: HttpApp, auth: tuple[str, str] | None = ALICE, **params: str) -> Any:
    response = await app.client.get("/usage", params=params, auth=auth)
    assert response.status_code == 200, response.text
    assert (response.headers["cache-control"], response.headers["vary"]) == ("no-store", "Accept")
    return response.json()


async def test_a_user_sees_the_own_usage(paid: HttpApp) -> None:
    today = (await paid.create())["created_at"][:10]
    (row,) = await usage(paid)
    assert row == {
        **NOTHING,
        "user": "alice",
        "pictures": 3,
        "usd": "0.120000",
        "input_tokens": row["input_tokens"],
        "output_tokens": row["output_tokens"],
    }
    assert await usage(paid, by="user") == await usage(paid, user="alice") == [row]
    assert [row["day"] for row in await usage(paid, by="day")] == [today]
    assert {row["model"] for row in await usage(paid, by="model")} >= {"=2+3"}
    assert [row["class"] for row in await usage(paid, by="class")] == ["cs101"]
    assert await usage(paid, BOB) == []


async def test_anonymous_callers_see_nothing_of_each_other(paid: HttpApp) -> None:
    assert await usage(paid, None) == []
    assert await usage(paid, None, by="day", user="alice") == []


async def test_others_are_refused(paid: HttpApp) -> None:
    for params in ({"user": "alice"}, {"class": "9a"}, {"user": "nobody"}):
        response = await paid.client.get("/usage", params=params, auth=BOB)
        assert (response.status_code, response.json()["code"]) == (403, "permission-denied")


async def test_a_teacher_sees_the_own_class_and_an_admin_everybody(paid: HttpApp) -> None:
    users = paid.container.user_service()
    carol, dora, eve = (("carol", "secret of three"), ("dora", "secret of four"), ("eve", "secret of five"))
    await users.add(*carol, "cs101", role="teacher")
    await users.add(*dora, None, role="teacher")
    await users.add(*eve, None, role="admin")
    for auth in (BOB, carol, dora):
        await paid.create(auth=auth)

    async def seen(auth: tuple[str, str], **params: str) -> list[str | None]:
        return [row["user"] for row in await usage(paid, auth, **params)]

    assert await seen(carol) == await seen(carol, **{"class": "cs101"}) == ["alice", "carol"]
    assert await seen(carol, user="alice") == ["alice"]
    assert await seen(carol, user="bob") == []
    assert await seen(carol, user="carol") == ["carol"]
    assert await seen(dora) == ["dora"]
    assert await seen(eve) == ["alice", "bob", "carol", "dora", None]
    assert await seen(eve, **{"class": "cs101"}) == ["alice", "carol"]
    assert await seen(eve, user="bob") == ["bob"]
    for auth, params in ((carol, {"class": "cs102"}), (dora, {"class": "cs101"}), (dora, {"user": "alice"})):
        response = await paid.client.get("/usage", params=params, auth=auth)
        assert (response.status_code, response.json()["code"]) == (403, "permission-denied")
    await users.change_role("carol", "student")
    assert await seen(carol) == ["carol"]


async def test_a_range_of_days_is_asked_for(paid: HttpApp) -> None:
    today = (await usage(paid, by="day"))[0]["day"]
    before = (date.fromisoformat(today) - timedelta(1)).isoformat()
    assert await usage(paid, **{"from": before, "to": before}) == []
    assert len(await usage(paid, **{"from": before, "to": today})) == 1
    assert len(await usage(paid, **{"from": today})) == 1
    assert len(await usage(paid, to=today)) == 1
    assert await usage(paid, **{"from": "2100-01-01"}) == []


async def test_a_spreadsheet_gets_csv_without_formulas(paid: HttpApp) -> None:
    response = await paid.client.get("/usage?by=model", headers={"Accept": "text/csv"}, auth=ALICE)
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert response.headers["content-disposition"].startswith('attachment; filename="usage-20')
    head, *rows = csv.reader(response.content.decode("utf-8-sig").splitlines())
    assert head == ["model", *NOTHING]
    assert "'=2+3" in [row[0] for row in rows]
    empty = await paid.client.get("/usage", headers={"Accept": "text/csv"}, auth=BOB)
    assert empty.text.strip().endswith(",".join(["user", *NOTHING]))
    both = await paid.client.get("/usage", headers={"Accept": "text/csv, application/json"}, auth=ALICE)
    assert both.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("query", "loc", "words"),
    [
        ("by=hour", "by", "class"),
        ("from=2026-11-31", "from", "must be a day such as 2026-11-21"),
        ("from=20261121", "from", "must be a day such as 2026-11-21"),
        ("from=9999-01-01", "from", "in the years 1970 to 9998"),
        ("from=2026-11-02&to=2026-11-01", "to", "must not be before `from`"),
        ("from=2020-01-01&to=2026-11-01", "from", "must be within 366 days of `to`"),
        ("user=a%3Ab", "user", "without ':'"),
        ("class=", "class", "at least 1 character"),
        ("colour=red", "colour", "is not known here"),
        ("by=day&by=user", "by", "given once only"),
    ],
)
async def test_a_mistake_says_what_is_right(query: str, loc: str, words: str) -> None:
    async with http_app() as app:
        response = await app.client.get(f"/usage?{query}", auth=ALICE)
        assert response.status_code == 422
        (error,) = response.json()["errors"]
        assert error["loc"] == [loc]
        assert words in error["msg"]


@pytest.mark.parametrize(("anonymous", "status"), [("none", 401), ("read", 200), ("write", 200)])
async def test_readers_may_ask(anonymous: str, status: int) -> None:
    async with http_app(PIXYPROXY_ANONYMOUS=anonymous) as app:
        assert (await app.client.get("/usage")).status_code == status
