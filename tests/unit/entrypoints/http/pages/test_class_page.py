"""The page of a class and of the service: who sees it, what it shows, and its forms."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest

from pixyproxy.domain.errors import GeneratorConnectionLostError
from pixyproxy.domain.money.budgets import Per
from pixyproxy.domain.user import Role
from tests.fixtures.http_app import ALICE, BOB, HttpApp, basic, http_app

HTML = {"Accept": "text/html,*/*;q=0.8"}
PASSWORD = "a good long password"
TINA, OTTO, ROOT = ("tina", PASSWORD), ("otto", PASSWORD), ("root", PASSWORD)
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
async def app() -> AsyncIterator[HttpApp]:
    async with http_app() as app:
        people = [("tina", "cs101", Role.TEACHER), ("otto", None, Role.TEACHER), ("root", None, Role.ADMIN)]
        await app.add_people(people, PASSWORD)
        yield app


async def show(app: HttpApp, user: tuple[str, str], path: str = "/class", status: int = 200) -> str:
    page = await app.client.get(path, headers=HTML, auth=basic(user))
    assert page.status_code == status, page.text
    assert page.headers["cache-control"] == "private, no-store"
    return page.text


async def send(app: HttpApp, login: tuple[str, str] | None, path: str = "/class", /, **fields: str) -> httpx.Response:
    return await app.client.post(path, data=fields, headers=HTML, auth=basic(login))


def names(page: str) -> list[str]:
    return re.findall(r'class="name"><bdi>([^<]+)</bdi>', page)


async def test_it_is_for_the_staff(app: HttpApp) -> None:
    stranger = await app.client.get("/class?class=cs101", headers=HTML)
    assert (stranger.status_code, stranger.headers["location"]) == (303, "/login?next=%2Fclass%3Fclass%3Dcs101")
    assert "Only a teacher or an administrator" in await show(app, ALICE, status=403)
    assert "an administrator can give you one" in await show(app, OTTO, status=403)
    assert "A teacher acts on the own class only" in await show(app, TINA, "/class?class=cs102", status=403)
    for user in (None, ALICE, OTTO):
        for path, do in (("/class", "pause"), ("/class/import", "import")):
            refused = await send(app, user, path, do=do, user="alice", table="user\nzoe\n")
            assert refused.status_code == (401 if user is None else 403)


async def test_a_teacher_sees_the_students_of_the_class_and_what_they_made(app: HttpApp) -> None:
    public, private = await app.create(prompt=SCRIPT), await app.create(visibility="private", prompt="a secret")
    await app.create(auth=BOB, prompt="of another class")
    page = await show(app, TINA)
    assert names(page) == ["alice"]
    assert public["guid"] in page
    assert private["guid"] not in page
    assert "of another class" not in page
    assert SCRIPT not in page
    assert "Parts" not in page


async def test_a_page_of_another_user_changes_nothing(app: HttpApp) -> None:
    await app.create()
    for path in ("/class", "/class?class=cs101"):
        page = await show(app, ROOT, path)
        # All but "Log out".
        assert page.count('name="login" value="root"') == page.count('method="post"') - 1
    for path, fields in (("/class", {"do": "pause", "user": "alice"}), ("/class/import", {"table": "user\nzoe\n"})):
        refused = await send(app, ROOT, path, login="tina", **fields)
        assert refused.status_code == 409
        assert "Somebody else has logged in since this page was opened. Nothing was done." in refused.text
    assert "paused" not in await show(app, ROOT)


async def test_an_administrator_sees_the_service_and_any_class(app: HttpApp) -> None:
    await app.create()
    page = await show(app, ROOT)
    assert names(page) == ["alice", "bob", "otto", "root", "tina"]
    assert page.count("<b>works</b>") == 3
    assert 'href="/class?class=cs101"' in page
    assert names(await show(app, ROOT, "/class?class=cs101")) == ["alice", "tina"]
    assert 'href="/class" aria-current="page">Service' in page
    assert 'href="/class" aria-current="page">Class' in await show(app, TINA)
    assert "/class" not in (await app.client.get("/", headers=HTML, auth=basic(ALICE))).text


async def test_an_administrator_sees_which_pictures_are_uncertain(app: HttpApp) -> None:
    assert "Uncertain pictures" not in await show(app, ROOT)
    app.generator.outcome = GeneratorConnectionLostError("It broke.")
    lost = await app.client.post("/image", json={"prompt": "a secret", "visibility": "private"}, auth=basic(ALICE))
    guid = lost.json()["guid"]
    page = await show(app, ROOT)
    assert f"<code>{guid}</code>" in page
    assert "<td><bdi>alice</bdi></td>" in page
    assert "a secret" not in page
    assert guid not in await show(app, TINA)


async def test_users_have_pages_with_addresses(app: HttpApp) -> None:
    await app.add_people([(f"student {number:02}", "big", Role.STUDENT) for number in range(60)], PASSWORD)
    first = await show(app, ROOT, "/class?class=big")
    (address,) = re.findall(r'rel="next" href="([^"]+)"', first)
    second = await show(app, ROOT, address.replace("&amp;", "&"))
    assert names(first) + names(second) == [f"student {number:02}" for number in range(60)]
    assert "From the first name" in second
    await show(app, ROOT, "/class?cursor=none", status=422)


async def test_spending_stands_against_the_cap(app: HttpApp) -> None:
    assert "no cap" in await show(app, TINA)
    await app.container.budget_service().set("each:cs101", "2", Per.MONTH)
    assert "of $2.00 a month" in await show(app, TINA)
    await app.container.budget_service().set("each:cs101", "2", Per.DAY)
    assert "at most $2.00 a day" in await show(app, TINA)
    await app.container.budget_service().set("class:cs101", "30", Per.MONTH)
    page = await show(app, TINA)
    assert "<b>$30.00 left</b>" in page.replace('<b class="problem">', "<b>")
    assert "$2.00 a day" in page
    done = await send(
        app, TINA, **{"class": "cs101"}, user="alice", do="budget", cap_usd="1.5", per="total", at="user-1"
    )
    assert (done.status_code, done.headers["location"]) == (303, "/class?class=cs101#user-1")
    assert "$1.50 left of $1.50 in all" in await show(app, TINA)
    refused = await send(app, TINA, user="alice", do="budget", cap_usd="31", per="month")
    assert refused.status_code == 422
    assert "must be at most 30" in refused.text
    assert (await send(app, TINA, user="alice", do="no-budget")).status_code == 303
    assert "$1.50" not in await show(app, TINA)


@pytest.mark.parametrize(
    ("path", "scope", "title"),
    [
        ("/class", "service", "Everybody"),
        ("/class?class=cs101", "class:cs101", "The whole class"),
        ("/class?class=cs101", "each:cs101", "Every user of the class"),
    ],
)
async def test_an_administrator_sets_the_budgets_of_classes_and_of_the_service(
    app: HttpApp, path: str, scope: str, title: str
) -> None:
    page = await show(app, ROOT, path)
    assert f'name="scope" value="{scope}"' in page
    assert title in page
    assert "Take away" not in page
    key = path.partition("=")[2]
    fields = {"class": key, "scope": scope, "at": "budgets"}
    done = await send(app, ROOT, do="budget", cap_usd="12.5", per="day", **fields)
    assert (done.status_code, done.headers["location"]) == (303, f"{path}#budgets")
    assert "$12.50 a day" in await show(app, ROOT, path) or "of $12.50 today" in await show(app, ROOT, path)
    if key:
        teachers = await show(app, TINA)
        assert title in teachers
        assert 'name="scope"' not in teachers
    assert (await send(app, TINA, do="budget", cap_usd="99", per="day", **fields)).status_code == 403
    assert (await send(app, TINA, do="no-budget", **fields)).status_code == 403
    assert (await send(app, ROOT, do="no-budget", **fields)).status_code == 303
    assert "$12.50" not in await show(app, ROOT, path)


async def test_a_user_is_paused_and_resumed(app: HttpApp) -> None:
    assert (await send(app, TINA, user="alice", do="pause")).headers["location"] == "/class"
    assert '<span class="tag">paused</span>' in await show(app, TINA)
    assert (await app.client.get("/user/me", auth=basic(ALICE))).status_code == 403
    assert (await send(app, TINA, user="alice", do="resume")).status_code == 303
    assert (await app.client.get("/user/me", auth=basic(ALICE))).status_code == 200


async def test_passwords_that_are_made_are_shown_once(app: HttpApp) -> None:
    for fields in ({"do": "add", "user": "zoe"}, {"do": "password", "user": "alice"}):
        made = await send(app, TINA, **fields)
        assert (made.status_code, made.headers["cache-control"]) == (200, "private, no-store")
        (password,) = re.findall(r'class="secret">([^<]+)<', made.text)
        assert (await app.client.get("/user/me", auth=basic((fields["user"], password)))).status_code == 200
        assert password not in await show(app, TINA)
    assert names(await show(app, TINA)) == ["alice", "zoe"]


async def test_a_refusal_is_said_on_the_page_and_keeps_what_was_typed(app: HttpApp) -> None:
    for fields, status, said in (
        ({"do": "add", "user": "alice"}, 409, "alice"),
        ({"do": "add", "user": SCRIPT + "x" * 64}, 422, "at most 64 characters"),
        ({"do": "pause", "user": "bob"}, 404, "no such user"),
        ({"do": "dance", "user": "alice"}, 422, "must be an action of the page"),
        ({"do": "no-budget", "user": "alice"}, 404, "budget"),
        ({"do": "hide", "guid": "none"}, 404, "no such image"),
    ):
        refused = await send(app, TINA, **fields)
        assert refused.status_code == status, refused.text
        assert said in refused.text
        assert 'role="alert"' in refused.text
        assert SCRIPT not in refused.text
    assert 'value="alice" maxlength' in (await send(app, TINA, do="add", user="alice")).text


async def test_a_picture_is_hidden_and_shown_again(app: HttpApp) -> None:
    guid = (await app.create())["guid"]
    assert (await send(app, TINA, do="hide", guid=guid, at=guid)).headers["location"] == f"/class#{guid}"
    assert (await app.client.get(f"/image/{guid}")).status_code == 404
    assert "Show again" in await show(app, TINA)
    assert (await send(app, TINA, do="show", guid=guid)).status_code == 303
    assert (await app.client.get(f"/image/{guid}")).status_code == 200


async def test_a_table_is_previewed_and_imported(app: HttpApp) -> None:
    table = f"user,class_key\nzoe,cs101\n{ALICE[0]},cs101\n"
    preview = await send(app, TINA, "/class/import", do="preview", table=table, keys="1")
    assert preview.status_code == 200
    assert "This would change" in preview.text
    assert "<bdi>would be added</bdi>" in preview.text
    assert 'name="keys" value="1" checked' in preview.text
    assert names(await show(app, TINA)) == ["alice"]
    done = await send(app, TINA, "/class/import", do="import", table=table, keys="1")
    assert (done.status_code, done.headers["cache-control"]) == (200, "private, no-store")
    row = re.findall(r"<bdi>([^<]*)</bdi>", done.text[done.text.index("<bdi>zoe") :])
    assert row[:4] == ["zoe", "added", "cs101", "student"]
    assert (await app.client.get("/user/me", auth=basic(("zoe", row[4])))).status_code == 200
    assert row[5].startswith("pxy_")
    assert names(await show(app, TINA)) == ["alice", "zoe"]


async def test_a_table_with_faults_changes_nothing_and_is_shown_again(app: HttpApp) -> None:
    refused = await send(
        app, TINA, "/class/import", do="import", table=f"user,class_key\nzoe,cs102\n{SCRIPT},cs101\nyves,cs101\n"
    )
    assert refused.status_code == 422
    assert "Nothing was added" in refused.text
    assert "line 2" in refused.text
    assert "yves,cs101" in refused.text
    assert SCRIPT not in refused.text
    assert names(await show(app, TINA)) == ["alice"]
    assert (await send(app, TINA, "/class/import", do="import", table="")).status_code == 422


@pytest.mark.parametrize("path", ["/class", "/class/import"])
async def test_a_page_of_another_origin_may_not_send_its_forms(app: HttpApp, path: str) -> None:
    response = await app.client.post(
        path, data={"do": "pause", "user": "alice"}, headers={"Origin": "https://other.example"}, auth=basic(TINA)
    )
    assert response.status_code == 403
    assert "paused</span>" not in await show(app, TINA)
