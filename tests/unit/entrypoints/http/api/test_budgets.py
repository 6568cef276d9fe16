"""Budgets over HTTP: who sees them, and who sets and removes them."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from pixyproxy.domain.money.budgets import Per
from pixyproxy.domain.user import Role, compose
from tests.fixtures.http_app import HttpApp, basic, http_app, log_lines

SECRET = "secret of everybody"
PEOPLE: list[tuple[str, str | None, Role]] = [
    ("root", None, Role.ADMIN),
    ("miller", "9a", Role.TEACHER),
    ("lost", None, Role.TEACHER),
    ("ann", "9a", Role.STUDENT),
    ("otto", "9b", Role.STUDENT),
]
SCOPES = ("class:9a", "class:9b", "each:9a", "each:9b", "service", "user:ann", "user:miller", "user:otto", "user:root")


@pytest.fixture
async def app() -> AsyncIterator[HttpApp]:
    async with http_app() as opened:
        await opened.add_people(PEOPLE, SECRET)
        yield opened


async def ask(app: HttpApp, user: str | None, method: str, path: str, **options: Any) -> httpx.Response:
    return await app.client.request(method, path, auth=user and basic((user, SECRET)), **options)


async def scopes(app: HttpApp, user: str | None) -> list[str]:
    response = await ask(app, user, "GET", "/budget")
    assert response.status_code == 200
    return [budget["scope"] for budget in response.json()]


async def test_everybody_sees_the_budgets_that_they_may_see(app: HttpApp) -> None:
    for scope in SCOPES:
        await app.container.budget_service().set(scope, "5", Per.MONTH)
    assert await scopes(app, "root") == list(SCOPES)
    assert await scopes(app, "miller") == ["class:9a", "each:9a", "service", "user:ann", "user:miller"]
    assert await scopes(app, "lost") == ["service"]
    assert await scopes(app, "ann") == ["class:9a", "each:9a", "service", "user:ann"]
    assert await scopes(app, "otto") == ["class:9b", "each:9b", "service", "user:otto"]
    assert await scopes(app, None) == ["service"]


async def test_the_budget_of_each_user_of_a_class_is_listed_by_user(app: HttpApp) -> None:
    await app.container.budget_service().set("each:9a", "5", Per.MONTH)
    for user in ("ann", "otto"):
        assert (await ask(app, user, "POST", "/image", json={"prompt": "a duck"})).status_code == 200
    for viewer in ("root", "miller", "ann"):
        [budget] = [one for one in (await ask(app, viewer, "GET", "/budget")).json() if one.get("user") == "ann"]
        assert (budget["scope"], budget["cap_usd"]) == ("each:9a", "5.000000")


async def test_an_administrator_sets_and_removes_any_budget(app: HttpApp) -> None:
    for scope in SCOPES:
        made = await ask(app, "root", "PUT", f"/budget/{scope}", json={"cap_usd": "25.50", "per": "day"})
        assert made.status_code == 200, made.text
        detail = made.json()
        assert detail.pop("resets_at").startswith("2026-11-22T00:00:00")
        assert detail == {
            "scope": scope,
            "per": "day",
            "cap_usd": "25.500000",
            "spent_usd": "0.000000",
            "reserved_usd": "0.000000",
            "possibly_usd": "0.000000",
        }
    again = await ask(app, "root", "PUT", "/budget/service", json={"cap_usd": "3"})
    assert (again.json()["cap_usd"], again.json()["per"]) == ("3.000000", "month")
    for scope in SCOPES:
        assert (await ask(app, "root", "DELETE", f"/budget/{scope}")).status_code == 204
        assert (await ask(app, "root", "DELETE", f"/budget/{scope}")).status_code == 404
    assert await scopes(app, "root") == []


async def test_the_log_says_who_sets_and_removes_a_budget(app: HttpApp) -> None:
    with log_lines() as lines:
        assert (await ask(app, "miller", "PUT", "/budget/user:ann", json={"cap_usd": "2"})).status_code == 200
        assert (await ask(app, "miller", "PUT", "/budget/user:otto", json={"cap_usd": "2"})).status_code == 404
        assert (await ask(app, "root", "DELETE", "/budget/user:ann")).status_code == 204
    audit = [line.partition("] ")[2].partition("] ")[2] for line in lines if "the budget" in line]
    assert audit == ["miller set the budget user:ann: 2.000000 USD per month", "root removed the budget user:ann"]


async def test_a_scope_may_have_slashes_and_any_script(app: HttpApp) -> None:
    made = await ask(app, "root", "PUT", "/budget/class%3A9%2Fa%20%E7%8C%AB", json={"cap_usd": "3"})
    assert made.json()["scope"] == "class:9/a 猫"
    assert (await ask(app, "root", "DELETE", "/budget/class:9/a%20%E7%8C%AB")).status_code == 204


@pytest.mark.parametrize(
    ("scope", "body", "field"),
    [
        ("service:x", {"cap_usd": "1"}, "scope"),
        ("group:9a", {"cap_usd": "1"}, "scope"),
        ("user:", {"cap_usd": "1"}, "scope"),
        ("service", {}, "cap_usd"),
        ("service", {"cap_usd": 1}, "cap_usd"),
        ("service", {"cap_usd": "-1"}, "cap_usd"),
        ("service", {"cap_usd": "0.0000001"}, "cap_usd"),
        ("service", {"cap_usd": "NaN"}, "cap_usd"),
        ("service", {"cap_usd": "1", "per": "week"}, "per"),
        ("service", {"cap_usd": "1", "scope": "x"}, "scope"),
    ],
)
async def test_wrong_fields_are_named(scope: str, body: dict[str, Any], field: str, app: HttpApp) -> None:
    response = await ask(app, "root", "PUT", f"/budget/{scope}", json=body)
    assert response.status_code == 422
    assert {error["loc"][0] for error in response.json()["errors"]} == {field}
    assert await scopes(app, "root") == []


async def test_a_teacher_sets_the_budgets_of_students_up_to_the_cap_of_the_class(app: HttpApp) -> None:
    assert (await ask(app, "miller", "PUT", "/budget/user:ann", json={"cap_usd": "9"})).status_code == 200
    await app.container.budget_service().set("class:9a", "5", Per.TOTAL)
    await app.container.budget_service().set("class:9b", "500", Per.TOTAL)
    above = await ask(app, "miller", "PUT", "/budget/user:ann", json={"cap_usd": "5.000001"})
    assert (above.status_code, above.json()["errors"][0]["loc"]) == (422, ["cap_usd"])
    assert "5.000000, the cap of the class" in above.text
    assert (await ask(app, "miller", "PUT", "/budget/user:ann", json={"cap_usd": "5"})).status_code == 200
    assert (await ask(app, "miller", "DELETE", "/budget/user:ann")).status_code == 204
    assert (await ask(app, "miller", "DELETE", "/budget/user:ann")).status_code == 404
    wrong = await ask(app, "miller", "PUT", "/budget/user:ann", json={"cap_usd": "much"})
    assert wrong.status_code == 422


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_a_teacher_sets_no_other_budgets(method: str, app: HttpApp) -> None:
    for scope in SCOPES:
        await app.container.budget_service().set(scope, "500", Per.MONTH)
    for scope, status in (
        *(("service", 403), ("class:9a", 403), ("each:9a", 403), ("class:9b", 403), ("nonsense", 403)),
        *(("user:otto", 404), ("user:miller", 404), ("user:root", 404), ("user:nobody", 404)),
    ):
        response = await ask(app, "miller", method, f"/budget/{scope}", json={"cap_usd": "1"})
        assert response.status_code == status, scope
    for user in ("ann", "lost"):
        assert (await ask(app, user, method, "/budget/user:ann", json={"cap_usd": "1"})).status_code == 403
    assert (await ask(app, None, method, "/budget/user:ann", json={"cap_usd": "1"})).status_code == 401
    assert await scopes(app, "root") == list(SCOPES)
    assert {budget["cap_usd"] for budget in (await ask(app, "root", "GET", "/budget")).json()} == {"500.000000"}


@pytest.mark.parametrize("scope", ["user:zoe\u0308", "class:9a\u0308", "each:9a\u0308"])
async def test_names_and_classes_mean_the_same_in_either_form_of_unicode(app: HttpApp, scope: str) -> None:
    composed, decomposed = ("zo\u00eb", "9\u00e4"), ("zoe\u0308", "9a\u0308")
    await app.add_people([(composed[0], decomposed[1], Role.STUDENT), ("ott", composed[1], Role.TEACHER)], SECRET)
    made = await ask(app, composed[0], "POST", "/image", json={"prompt": "p"})
    assert made.status_code == 200
    for author in (composed[0], decomposed[0]):
        assert len((await ask(app, None, "GET", "/image", params={"author": author})).json()) == 1
        usage = await ask(app, "root", "GET", "/usage", params={"by": "class", "user": author})
        assert [row["class"] for row in usage.json()] == [composed[1]]
    for class_key in (composed[1], decomposed[1]):
        assert len((await ask(app, "root", "GET", "/user", params={"class_key": class_key})).json()) == 2
    assert (await ask(app, "root", "PUT", f"/budget/{scope}", json={"cap_usd": "5"})).status_code == 200
    for user in (composed[0], "ott"):
        assert set(await scopes(app, user)) == {compose(scope)}
    assert (await ask(app, "root", "DELETE", f"/budget/{scope}")).status_code == 204
