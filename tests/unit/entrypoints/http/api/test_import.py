"""Imports of files of users: forms of files, outcomes, faults by line, and what a teacher may import."""

import csv
import io
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from pixyproxy.application.accounts import roster_csv
from pixyproxy.domain.user import Role
from tests.fixtures.http_app import HttpApp, basic, http_app

SECRET = "secret of everybody"
PEOPLE: list[tuple[str, str | None, Role]] = [
    ("root", None, Role.ADMIN),
    ("miller", "9a", Role.TEACHER),
    ("ann", "9a", Role.STUDENT),
    ("otto", "9b", Role.STUDENT),
]


@pytest.fixture
async def app() -> AsyncIterator[HttpApp]:
    async with http_app() as opened:
        await opened.add_people(PEOPLE, SECRET)
        yield opened


async def send(
    app: HttpApp, content: str | bytes, user: str = "root", query: str = "", **headers: str
) -> httpx.Response:
    fields = {"Content-Type": "text/csv; charset=utf-8"} | headers
    body = content.encode() if isinstance(content, str) else content
    auth = basic((user, SECRET))
    return await app.client.post(f"/user/import{query}", content=body, headers=fields, auth=auth)


def table(response: httpx.Response) -> list[dict[str, str]]:
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(response.content.decode("utf-8-sig"))))


async def names(app: HttpApp) -> list[str]:
    return [user.username for user in await app.container.user_service().list()]


def faults(response: httpx.Response) -> list[list[Any]]:
    assert response.status_code == 422, response.text
    return [error["loc"] for error in response.json()["errors"]]


@pytest.mark.parametrize(
    "content",
    [
        "user,class_key\ncarol,9c\nZo\u00eb,9c\n",
        "\ufeffuser;class_key\r\ncarol;9c\r\nZo\u00eb;9c\r\n",
        "USER\tClass_Key\n carol \t9c\n\n\t\nZoe\u0308\t9c",
        '"class_key","user"\n"9c","carol"\n"9c","Zo\u00eb"\n',
        "\ufeffuser;class_key\r\ncarol;9c\r\nZo\u00eb;9c\r\n".encode("utf-16-le"),
    ],
)
async def test_files_of_every_spreadsheet_are_read(content: str | bytes, app: HttpApp) -> None:
    rows = table(await send(app, content))
    assert [(row["user"], row["result"], row["class_key"], row["role"]) for row in rows] == [
        ("carol", "added", "9c", "student"),
        ("Zo\u00eb", "added", "9c", "student"),
    ]
    for row in rows:
        me = await app.client.get("/user/me", auth=basic((row["user"], row["password"])))
        assert (me.json()["class_key"], me.json()["password_set_by"]) == ("9c", "root")


async def test_a_second_run_changes_only_what_differs(app: HttpApp) -> None:
    content = "user,password,class_key,role,valid_until\n"
    first = content + "carol,a secret of carol,9c,,\ndora,a secret of dora,9c,Teacher,2027-07-31\n"
    assert [row["result"] for row in table(await send(app, first))] == ["added", "added"]
    assert [row["password"] for row in table(await send(app, first))] == ["", ""]
    assert [row["result"] for row in table(await send(app, first))] == ["unchanged", "unchanged"]
    second = content + "carol,another secret,9d,teacher,2027-01-01\ndora,,,,\neve,,9c,,\n"
    rows = table(await send(app, second))
    assert [row["result"] for row in rows] == [
        "changed: class_key, role, valid_until, password",
        "unchanged",
        "added",
    ]
    me = (await app.client.get("/user/me", auth=basic(("carol", "another secret")))).json()
    assert (me["class_key"], me["role"], me["valid_until"]) == ("9d", "teacher", "2027-01-01T00:00:00.000000Z")


async def test_a_dry_run_changes_nothing(app: HttpApp) -> None:
    before = await app.container.user_service().list()
    rows = table(await send(app, "user,class_key\ncarol,9c\nann,9b\notto,9b\n", query="?dry_run=1&keys=1"))
    assert [row["result"] for row in rows] == ["would be added", "changed: class_key", "unchanged"]
    assert {row["password"] + row["key"] for row in rows} == {""}
    assert await app.container.user_service().list() == before
    assert await app.container.key_service().list() == ()


async def test_keys_are_made_for_those_who_have_none(app: HttpApp) -> None:
    rows = table(await send(app, "user\ncarol\nann\n", query="?keys=1"))
    for row in rows:
        login = {"Authorization": f"Bearer {row['key']}"}
        assert (await app.client.get("/user/me", headers=login)).json()["username"] == row["user"]
    assert [row["key"] for row in table(await send(app, "user\ncarol\nann\n", query="?keys=1"))] == ["", ""]


async def test_all_faults_are_named_by_line_and_nothing_is_imported(app: HttpApp) -> None:
    assert (await app.client.delete("/user/otto", auth=basic(("root", SECRET)))).status_code == 204
    before = await names(app)
    content = (
        "user,password,class_key,role,valid_until\ncarol,,,,\na:b,,,,\ncarol,,,,\nOTTO,,,,\ndora,short,,,\n"
        "eve,,,head,\nfay,,,,in summer\n,,9a,,\ngus,,,,,x\n"
    )
    response = await send(app, content)
    assert sorted(faults(response)) == [
        ["line 10"],
        ["line 3", "user"],
        ["line 4", "user"],
        ["line 7", "role"],
        ["line 8", "valid_until"],
        ["line 9", "user"],
    ]
    fixed = "user,password\ncarol,\nOTTO,\ndora,short\nroot,\n"
    response = await send(app, fixed)
    assert sorted(faults(response)) == [["line 3", "user"], ["line 4", "password"], ["line 5", "user"]]
    assert "removed" in response.text
    assert await names(app) == before


@pytest.mark.parametrize(
    ("content", "loc"),
    [
        ("", ["line 1"]),
        ("user\n", ["file"]),
        ("name\ncarol\n", ["line 1"]),
        ("class_key\n9a\n", ["line 1"]),
        ("user,user\ncarol,carol\n", ["line 1"]),
        (b"user\nZo\xeb\n", ["file"]),
        ('user\n"carol\n', ["line 2"]),
        ('user\n"ca"rol\n', ["line 2"]),
        ("user\n\0\n", ["line 2", "user"]),
    ],
)
async def test_what_is_no_file_of_users_is_refused(content: str | bytes, loc: list[str], app: HttpApp) -> None:
    assert faults(await send(app, content)) == [loc]


async def test_a_file_is_bounded(app: HttpApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roster_csv, "MAX_ROWS", 2)
    assert faults(await send(app, "user\na\nb\nc\n")) == [["file"]]
    assert (await send(app, b"user\n" + b"x" * 1024 * 1024)).status_code == 413
    assert (await send(app, "user\na\n", **{"Content-Type": "application/json"})).status_code == 415
    assert faults(await send(app, "user\na\n", query="?dry_run=yes")) == [["dry_run"]]


async def test_formulas_are_defused_in_the_result(app: HttpApp) -> None:
    rows = table(await send(app, "user,class_key\n=1+1,@SUM(A1)\n"))
    assert (rows[0]["user"], rows[0]["class_key"]) == ("'=1+1", "'@SUM(A1)")
    assert "=1+1" in await names(app)


async def test_a_teacher_imports_students_of_the_own_class(app: HttpApp) -> None:
    rows = table(await send(app, "user,class_key\ncarol,\ndora,9a\nann,9a\n", "miller"))
    assert [(row["result"], row["class_key"]) for row in rows] == [
        ("added", "9a"),
        ("added", "9a"),
        ("unchanged", "9a"),
    ]
    before = await app.container.user_service().list()
    content = "user,class_key,role\neve,9b,\nfay,,teacher\notto,,\nroot,,\nmiller,,\nann,9b,\n"
    assert sorted(faults(await send(app, content, "miller"))) == [[f"line {number}", "user"] for number in range(2, 8)]
    assert await app.container.user_service().list() == before


async def test_others_import_nothing(app: HttpApp) -> None:
    assert (await send(app, "user\ncarol\n", "ann")).status_code == 403
    assert (await app.client.post("/user/import", content=b"user\ncarol\n")).status_code == 401
