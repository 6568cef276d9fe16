"""Users over HTTP: lists, additions, changes and removals by teachers and administrators."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from pixyproxy.domain.user import Role, User
from tests.fixtures.http_app import HttpApp, basic, http_app, log_lines

SECRET = "secret of everybody"
ROOT, MILLER, ALICE = ("root", SECRET), ("miller", SECRET), ("ann", SECRET)
PEOPLE: list[tuple[str, str | None, Role]] = [
    ("root", None, Role.ADMIN),
    ("miller", "9a", Role.TEACHER),
    ("ann", "9a", Role.STUDENT),
    ("ben", "9a", Role.STUDENT),
    ("otto", "9b", Role.STUDENT),
]


@pytest.fixture
async def app() -> AsyncIterator[HttpApp]:
    async with http_app() as opened:
        await opened.add_people(PEOPLE, SECRET)
        yield opened


async def ask(app: HttpApp, user: tuple[str, str] | None, method: str, path: str, **options: Any) -> httpx.Response:
    return await app.client.request(method, path, auth=basic(user), **options)


async def stored(app: HttpApp, name: str) -> User:
    user: User = await app.container.user_repository().get(name)
    return user


def names(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [user["username"] for user in response.json()]


# --- lists ----------------------------------------------------------------------------------------------------


async def test_a_list_shows_those_whom_the_viewer_may_act_on(app: HttpApp) -> None:
    everybody = ["alice", "ann", "ben", "bob", "miller", "otto", "root"]
    assert names(await ask(app, ROOT, "GET", "/user")) == everybody
    assert names(await ask(app, ROOT, "GET", "/user?class_key=9a")) == ["ann", "ben", "miller"]
    assert names(await ask(app, MILLER, "GET", "/user")) == ["ann", "ben"]
    assert names(await ask(app, MILLER, "GET", "/user/?class_key=9a")) == ["ann", "ben"]


async def test_a_user_is_shown_with_the_spending_of_the_month(app: HttpApp) -> None:
    detail = (await ask(app, MILLER, "GET", "/user?limit=1")).json()
    assert detail == [
        {
            "username": "ann",
            "class_key": "9a",
            "role": "student",
            "valid_until": None,
            "password_set_by": "command line",
            "paused": False,
            "spent_usd": "0.000000",
            "reserved_usd": "0.000000",
            "possibly_usd": "0.000000",
        }
    ]


async def test_pages_lead_through_the_whole_list(app: HttpApp) -> None:
    found: list[str] = []
    url = "http://test.example/user?limit=3"
    while url:
        page = await ask(app, ROOT, "GET", url)
        found += names(page)
        url = page.links.get("next", {}).get("url", "")
        assert not url or url.startswith("http://test.example/user?limit=3&cursor=")
    assert found == ["alice", "ann", "ben", "bob", "miller", "otto", "root"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=YQ", "cursor"),
        ("cursor=_-8=", "cursor"),
        ("cursor=%F0", "query"),
        ("class_key=", "class_key"),
        ("role=student", "role"),
    ],
)
async def test_wrong_parameters_are_named(query: str, field: str, app: HttpApp) -> None:
    response = await ask(app, ROOT, "GET", f"/user?{query}")
    assert response.status_code == 422
    assert [error["loc"] for error in response.json()["errors"]] == [[field]]


# --- additions ------------------------------------------------------------------------------------------------


async def test_a_teacher_adds_a_student_to_the_own_class(app: HttpApp) -> None:
    added = await ask(app, MILLER, "POST", "/user", json={"username": "carol"})
    assert added.status_code == 201, added.text
    detail = added.json()
    assert (detail["class_key"], detail["role"], detail["password_set_by"]) == ("9a", "student", "miller")
    assert added.headers["cache-control"] == "no-store"
    me = (await ask(app, ("carol", detail["password"]), "GET", "/user/me")).json()
    assert me == {
        "username": "carol",
        "class_key": "9a",
        "role": "student",
        "valid_until": None,
        "password_set_by": "miller",
    }
    body = {"username": "dora", "password": "a secret of dora", "class_key": "9a", "valid_until": "2027-07-31"}
    detail = (await ask(app, MILLER, "POST", "/user", json=body)).json()
    assert "password" not in detail
    assert detail["valid_until"] == "2027-07-31T00:00:00.000000Z"
    assert (await ask(app, ("dora", "a secret of dora"), "GET", "/user/me")).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"username": "carol", "class_key": "9b"}, 403, None),
        ({"username": "carol", "role": "teacher"}, 403, None),
        ({"username": "carol", "role": "admin"}, 403, None),
        ({"username": "ann"}, 409, None),
        ({"username": "otto"}, 409, None),
        ({}, 422, "username"),
        ({"username": "a:b"}, 422, "username"),
        ({"username": "me"}, 422, "username"),
        ({"username": "import"}, 422, "username"),
        ({"username": "carol", "password": "short"}, 422, "password"),
        ({"username": "carol", "password": ""}, 422, "password"),
        ({"username": "carol", "role": "head"}, 422, "role"),
        ({"username": "carol", "valid_until": "in summer"}, 422, "valid_until"),
        ({"username": "carol", "paused": True}, 422, "paused"),
    ],
)
async def test_what_a_teacher_may_not_add(body: dict[str, Any], status: int, field: str | None, app: HttpApp) -> None:
    response = await ask(app, MILLER, "POST", "/user", json=body)
    assert response.status_code == status, response.text
    assert [error["loc"] for error in response.json().get("errors", [])] == ([[field]] if field else [])
    assert "carol" not in names(await ask(app, ROOT, "GET", "/user"))


async def test_an_administrator_adds_anybody(app: HttpApp) -> None:
    for number, (class_key, role) in enumerate([("9a", "teacher"), (None, "admin"), ("9c", "student"), (None, None)]):
        body = {"username": f"new{number}", "class_key": class_key, "role": role}
        detail = (await ask(app, ROOT, "POST", "/user", json=body)).json()
        assert (detail["class_key"], detail["role"]) == (class_key, role or "student")


async def test_the_name_of_a_removed_user_is_reserved(app: HttpApp) -> None:
    assert (await ask(app, MILLER, "DELETE", "/user/ann")).status_code == 204
    assert names(await ask(app, MILLER, "GET", "/user")) == ["ben"]
    for name in ("ann", "ANN"):
        response = await ask(app, MILLER, "POST", "/user", json={"username": name})
        assert (response.status_code, response.json()["code"]) == (409, "name-reserved")


# --- changes --------------------------------------------------------------------------------------------------


async def test_a_teacher_pauses_and_limits_a_student(app: HttpApp) -> None:
    assert (await ask(app, MILLER, "PATCH", "/user/ann", json={"paused": True})).json()["paused"] is True
    assert (await ask(app, ALICE, "GET", "/user/me")).json()["code"] == "account-paused"
    assert (await ask(app, MILLER, "PATCH", "/user/ann/", json={"paused": False})).json()["paused"] is False
    assert (await ask(app, ALICE, "GET", "/user/me")).status_code == 200
    ended = await ask(app, MILLER, "PATCH", "/user/ann", json={"valid_until": "2026-01-01T00:00:00Z"})
    assert ended.json()["valid_until"] == "2026-01-01T00:00:00.000000Z"
    assert (await ask(app, ALICE, "GET", "/user/me")).json()["code"] == "account-paused"
    for body in ({}, {"paused": None}):
        unchanged = await ask(app, MILLER, "PATCH", "/user/ann", json=body)
        assert unchanged.json()["valid_until"] == "2026-01-01T00:00:00.000000Z"
    assert (await ask(app, MILLER, "PATCH", "/user/ann", json={"valid_until": None})).json()["valid_until"] is None
    assert (await ask(app, ALICE, "GET", "/user/me")).status_code == 200


async def test_a_password_set_by_somebody_else_ends_sessions_is_logged_and_shown(app: HttpApp) -> None:
    credentials = {"username": "ann", "password": SECRET}
    assert (await app.client.post("/session", json=credentials)).status_code == 200
    assert (await app.client.get("/user/me")).status_code == 200
    cookies = dict(app.client.cookies)
    app.client.cookies.clear()
    with log_lines() as lines:
        changed = await ask(app, MILLER, "PATCH", "/user/ann", json={"password": "a secret of miller"})
    assert changed.json()["password_set_by"] == "miller"
    assert [line for line in lines if "miller changed the user ann: password, password_set_by" in line]
    assert not [line for line in lines if "a secret of miller" in line]
    app.client.cookies.update(cookies)
    assert (await app.client.get("/user/me")).json()["code"] == "session-ended"
    app.client.cookies.clear()
    assert (await ask(app, ALICE, "GET", "/user/me")).status_code == 401
    me = await ask(app, ("ann", "a secret of miller"), "GET", "/user/me")
    assert me.json()["password_set_by"] == "miller"


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"role": "teacher"}, 403, None),
        ({"class_key": "9b"}, 403, None),
        ({"class_key": None}, 403, None),
        ({"password": "short"}, 422, "password"),
        ({"password": "a secret of miller", "current_password": SECRET}, 422, "current_password"),
        ({"paused": "yes"}, 422, "paused"),
        ({"username": "carol"}, 422, "username"),
    ],
)
async def test_what_a_teacher_may_not_change(
    body: dict[str, Any], status: int, field: str | None, app: HttpApp
) -> None:
    before = await stored(app, "ann")
    response = await ask(app, MILLER, "PATCH", "/user/ann", json=body)
    assert response.status_code == status, response.text
    assert [error["loc"] for error in response.json().get("errors", [])] == ([[field]] if field else [])
    assert await stored(app, "ann") == before


async def test_an_administrator_changes_roles_and_classes(app: HttpApp) -> None:
    changed = await ask(app, ROOT, "PATCH", "/user/otto", json={"role": "teacher", "class_key": "9a"})
    assert (changed.json()["role"], changed.json()["class_key"]) == ("teacher", "9a")
    assert names(await ask(app, ("otto", SECRET), "GET", "/user")) == ["ann", "ben"]
    changed = await ask(app, ROOT, "PATCH", "/user/otto", json={"role": None, "class_key": None})
    assert (changed.json()["role"], changed.json()["class_key"]) == ("teacher", None)


async def test_a_name_may_have_slashes_and_any_script(app: HttpApp) -> None:
    for name in ("a/b", "猫 🦆", "Zoë", "me?", "Me", "me/x", "imports"):
        assert (await ask(app, MILLER, "POST", "/user", json={"username": name})).status_code == 201
        path = "/user/" + "".join(f"%{byte:02x}" for byte in name.encode())
        assert (await ask(app, MILLER, "PATCH", path, json={"paused": True})).json()["username"] == name
        assert (await ask(app, MILLER, "DELETE", path)).status_code == 204
    assert (await ask(app, MILLER, "PATCH", "/user/%ff", json={"paused": True})).status_code == 404


# --- the own account ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("user", [ALICE, MILLER, ROOT])
async def test_everybody_changes_the_own_password_by_the_current_one(user: tuple[str, str], app: HttpApp) -> None:
    path, body = f"/user/{user[0]}", {"password": "something quite different"}
    missing = await ask(app, user, "PATCH", path, json=body)
    assert [error["loc"] for error in missing.json()["errors"]] == [["current_password"]]
    wrong = await ask(app, user, "PATCH", path, json=body | {"current_password": "secret of nobody"})
    assert (wrong.status_code, wrong.json()["code"]) == (403, "permission-denied")
    assert (await stored(app, user[0])).password_set_by == "command line"
    right = await ask(app, user, "PATCH", path, json=body | {"current_password": user[1]})
    assert (right.status_code, right.json()["password_set_by"]) == (200, None)
    assert (await ask(app, user, "GET", "/user/me")).status_code == 401
    assert (await ask(app, (user[0], body["password"]), "GET", "/user/me")).status_code == 200


async def test_wrong_current_passwords_are_counted_like_failed_logins(app: HttpApp) -> None:
    token, _ = await app.container.key_service().add("ann")
    statuses = []
    for number in range(12):
        body = {"password": "something quite different", "current_password": f"guess {number}"}
        response = await app.client.patch("/user/ann", json=body, headers={"Authorization": f"Bearer {token}"})
        statuses.append(response.status_code)
    assert statuses == [403] * 10 + [429] * 2


async def test_nobody_changes_more_of_the_own_account(app: HttpApp) -> None:
    for user, bodies in (
        (ALICE, ({"paused": True}, {"valid_until": None}, {"role": "admin"}, {"class_key": "9b"})),
        (MILLER, ({"paused": False}, {"role": "admin"}, {"class_key": "9b"})),
        (ROOT, ({"paused": True}, {"role": "student"}, {"valid_until": "2026-01-01"})),
    ):
        before = await stored(app, user[0])
        for body in bodies:
            assert (await ask(app, user, "PATCH", f"/user/{user[0]}", json=body)).status_code == 403, (user, body)
        assert (await ask(app, user, "PATCH", f"/user/{user[0]}", json={})).status_code == 200
        assert await stored(app, user[0]) == before
    moved = await ask(app, ROOT, "PATCH", "/user/root", json={"class_key": "9a"})
    assert moved.json()["class_key"] == "9a"
    assert (await ask(app, ROOT, "DELETE", "/user/root")).status_code == 403


async def test_changes_take_effect_at_once(app: HttpApp) -> None:
    assert (await ask(app, ROOT, "PATCH", "/user/miller", json={"role": "student"})).status_code == 200
    assert (await ask(app, MILLER, "GET", "/user")).status_code == 403
    assert (
        await ask(app, ROOT, "PATCH", "/user/miller", json={"role": "teacher", "class_key": "9b"})
    ).status_code == 200
    assert names(await ask(app, MILLER, "GET", "/user")) == ["otto"]
    user = await stored(app, "miller")
    assert user.password_set_by == "command line"
    end = datetime(2020, 1, 1, tzinfo=UTC)
    await app.container.user_repository().update("miller", {"valid_until": end})
    assert (await ask(app, MILLER, "GET", "/user")).json()["code"] == "account-paused"
