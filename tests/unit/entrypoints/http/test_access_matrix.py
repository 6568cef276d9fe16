"""The access matrix: the routes, by role and by class, on the own, other, private, hidden and missing."""

import json
from typing import Any

import httpx
import pytest

from pixyproxy.domain.access import Staff
from pixyproxy.domain.user import Role
from tests.fixtures.http_app import MISSING, HttpApp, basic, http_app

SECRET = "secret of everybody"
PEOPLE: list[tuple[str, str | None, Role]] = [
    ("ann", "9a", Role.STUDENT),
    ("ben", "9a", Role.STUDENT),
    ("otto", "9b", Role.STUDENT),
    ("miller", "9a", Role.TEACHER),
    ("smith", "9b", Role.TEACHER),
    ("lost", None, Role.TEACHER),
    ("root", None, Role.ADMIN),
    ("colleague", "9a", Role.TEACHER),
]
VIEWERS = (None, "ann", "ben", "otto", "miller", "smith", "lost", "root")
PAUSE, CAP = {"paused": False}, {"cap_usd": "1"}
HIDE, SHOW, TAG = {"hidden": True}, {"hidden": False}, {"tags": ["x"]}
DUCK, FORM = {"prompt": "a duck"}, "prompt=a+duck"
# The statuses are in the order of VIEWERS. {public}, {private} and {hidden} are images of ann, {anonymous} of nobody.
MATRIX: list[tuple[str, str, Any, str]] = [
    ("GET", "/image/{public}", None, "200 200 200 200 200 200 200 200"),
    ("GET", "/image/{public}/content", None, "200 200 200 200 200 200 200 200"),
    ("PATCH", "/image/{public}", {"tags": ["x"]}, "401 200 403 403 403 403 403 403"),
    ("DELETE", "/image/{public}", None, "401 204 403 403 403 403 403 403"),
    ("GET", "/image/{private}", None, "404 200 404 404 404 404 404 404"),
    ("GET", "/image/{private}/content", None, "404 200 404 404 404 404 404 404"),
    # The scripted picture is too small to be decoded.
    ("GET", "/image/{private}/thumbnail?size=128", None, "404 422 404 404 404 404 404 404"),
    ("PATCH", "/image/{private}", {"tags": ["x"]}, "401 200 404 404 404 404 404 404"),
    ("DELETE", "/image/{private}", None, "401 204 404 404 404 404 404 404"),
    ("GET", "/image/{hidden}", None, "404 200 404 404 200 404 404 200"),
    ("GET", "/image/{hidden}/content", None, "404 200 404 404 200 404 404 200"),
    ("GET", "/image/{hidden}/content/duck.png", None, "404 200 404 404 200 404 404 200"),
    ("GET", "/image/{hidden}/thumbnail?size=128", None, "404 422 404 404 422 404 404 422"),
    ("PATCH", "/image/{hidden}", TAG, "401 200 404 404 403 404 404 403"),
    ("PATCH", "/image/{hidden}", SHOW, "401 403 404 404 200 404 404 200"),
    ("PATCH", "/image/{hidden}", SHOW | TAG, "401 403 404 404 403 404 404 403"),
    ("DELETE", "/image/{hidden}", None, "401 204 404 404 403 404 404 403"),
    ("PATCH", "/image/{public}", HIDE, "401 403 403 403 200 403 403 200"),
    ("PATCH", "/image/{private}", HIDE, "401 403 404 404 404 404 404 404"),
    ("PATCH", "/image/{anonymous}", TAG, "401 403 403 403 403 403 403 403"),
    ("PATCH", "/image/{anonymous}", HIDE, "401 403 403 403 403 403 403 200"),
    ("DELETE", "/image/{anonymous}", None, "401 403 403 403 403 403 403 204"),
    ("DELETE", "/image/{public}?status=queued", None, "401 409 403 403 403 403 403 403"),
    ("DELETE", "/image/{hidden}?status=queued", None, "401 409 404 404 403 404 404 403"),
    ("DELETE", "/image/{private}?status=queued", None, "401 409 404 404 404 404 404 404"),
    ("DELETE", "/image/{anonymous}?status=queued", None, "401 403 403 403 403 403 403 409"),
    ("GET", f"/image/{MISSING}", None, "404 404 404 404 404 404 404 404"),
    ("PATCH", f"/image/{MISSING}", {"tags": ["x"]}, "401 404 404 404 404 404 404 404"),
    ("PATCH", f"/image/{MISSING}", HIDE, "401 404 404 404 404 404 404 404"),
    ("DELETE", f"/image/{MISSING}", None, "401 404 404 404 404 404 404 404"),
    ("GET", "/image", None, "200 200 200 200 200 200 200 200"),
    ("POST", "/image", DUCK, "200 200 200 200 200 200 200 200"),
    ("POST", "/image", DUCK | {"visibility": "private"}, "422 200 200 200 200 200 200 200"),
    ("POST", "/image", DUCK | {"edit_of": "{public}"}, "200 200 200 200 200 200 200 200"),
    ("POST", "/image", DUCK | {"edit_of": "{private}"}, "404 200 404 404 404 404 404 404"),
    ("POST", "/image", DUCK | {"edit_of": "{hidden}"}, "404 200 404 404 200 404 404 200"),
    ("POST", "/image", DUCK | {"edit_of": MISSING}, "404 404 404 404 404 404 404 404"),
    ("POST", "/price", DUCK, "200 200 200 200 200 200 200 200"),
    ("POST", "/price", DUCK | {"edit_of": "{private}"}, "404 200 404 404 404 404 404 404"),
    ("POST", "/price", DUCK | {"edit_of": "{hidden}"}, "404 200 404 404 200 404 404 200"),
    ("POST", "/v1/images/generations", DUCK, "200 200 200 200 200 200 200 200"),
    ("POST", "/v1/images/edits", DUCK | {"images": [{"file_id": "{public}"}]}, "200 200 200 200 200 200 200 200"),
    ("POST", "/v1/images/edits", DUCK | {"images": [{"file_id": "{private}"}]}, "404 200 404 404 404 404 404 404"),
    ("POST", "/v1/images/edits", DUCK | {"images": [{"file_id": "{hidden}"}]}, "404 200 404 404 200 404 404 200"),
    ("GET", "/v1/models", None, "200 200 200 200 200 200 200 200"),
    ("GET", "/v1/models/none", None, "404 404 404 404 404 404 404 404"),
    ("POST", "/image/{public}/settlement", {"billed_usd": "0"}, "401 403 403 403 403 403 403 409"),
    ("POST", "/image/{hidden}/settlement", {"billed_usd": "0"}, "401 403 403 403 403 403 403 409"),
    ("POST", f"/image/{MISSING}/settlement", {"billed_usd": "0"}, "401 403 403 403 403 403 403 404"),
    ("GET", "/session", None, "200 200 200 200 200 200 200 200"),
    ("POST", "/session", {"username": "ann", "password": SECRET}, "200 200 200 200 200 200 200 200"),
    ("DELETE", "/session", None, "204 204 204 204 204 204 204 204"),
    # That of anonymous callers is empty, and a teacher's that of the own class, whoever is named.
    ("GET", "/usage", None, "200 200 200 200 200 200 200 200"),
    ("GET", "/usage?user=ann", None, "200 200 403 403 200 200 403 200"),
    ("GET", "/usage?user=otto", None, "200 403 403 200 200 200 403 200"),
    ("GET", "/usage?user=nobody", None, "200 403 403 403 200 200 403 200"),
    ("GET", "/usage?class=9a", None, "200 403 403 403 200 403 403 200"),
    ("GET", "/", None, "200 200 200 200 200 200 200 200"),
    ("GET", "/view/{public}", None, "200 200 200 200 200 200 200 200"),
    ("GET", "/view/{private}", None, "404 200 404 404 404 404 404 404"),
    ("GET", "/view/{hidden}", None, "404 200 404 404 200 404 404 200"),
    ("GET", f"/view/{MISSING}", None, "404 404 404 404 404 404 404 404"),
    ("POST", "/view/{public}/link", None, "401 200 403 403 403 403 403 403"),
    ("POST", "/view/{private}/link", None, "401 200 404 404 404 404 404 404"),
    ("POST", "/view/{hidden}/link", None, "401 403 404 404 403 404 404 403"),
    ("POST", "/view/{public}/vary", FORM, "303 303 303 303 303 303 303 303"),
    ("POST", "/view/{private}/vary", FORM, "404 303 404 404 404 404 404 404"),
    ("POST", "/view/{hidden}/vary", FORM, "404 303 404 404 303 404 404 303"),
    ("GET", "/compare?a={public}", None, "200 200 200 200 200 200 200 200"),
    ("GET", "/compare?a={private}", None, "404 200 404 404 404 404 404 404"),
    ("GET", "/compare?a={hidden}&b={public}", None, "404 200 404 404 200 404 404 200"),
    ("GET", "/compare?a={public}&b={private}", None, "404 200 404 404 404 404 404 404"),
    ("GET", "/spending", None, "303 200 200 200 200 200 200 200"),
    ("GET", "/spending.csv", None, "401 200 200 200 200 200 200 200"),
    ("GET", "/keys", None, "303 200 200 200 200 200 200 200"),
    ("POST", "/keys", FORM, "303 201 201 201 201 201 201 201"),
    ("POST", "/keys/{key}/revoke", FORM, "303 303 404 404 404 404 404 404"),
    ("POST", "/create", FORM, "303 303 303 303 303 303 303 303"),
    ("GET", "/login", None, "200 303 303 303 303 303 303 303"),
    ("GET", "/user/me", None, "401 200 200 200 200 200 200 200"),
    ("GET", "/user", None, "401 403 403 403 200 200 403 200"),
    ("GET", "/user?class_key=9a", None, "401 403 403 403 200 403 403 200"),
    ("POST", "/user", {"username": "new"}, "401 403 403 403 201 201 403 201"),
    ("POST", "/user", {"username": "new", "class_key": "9a"}, "401 403 403 403 201 403 403 201"),
    ("POST", "/user", {"username": "new", "role": "teacher"}, "401 403 403 403 403 403 403 201"),
    ("POST", "/user/import", "user\nnew\n", "401 403 403 403 200 200 403 200"),
    ("POST", "/user/import", "user,class_key\nnew,9a\n", "401 403 403 403 200 422 403 200"),
    ("PATCH", "/user/ann", PAUSE, "401 403 403 403 200 404 403 200"),
    ("PATCH", "/user/otto", PAUSE, "401 403 403 403 404 200 403 200"),
    ("PATCH", "/user/colleague", PAUSE, "401 403 403 403 404 404 403 200"),
    ("PATCH", "/user/nobody", PAUSE, "401 403 403 403 404 404 403 404"),
    ("PATCH", "/user/ann", {"role": "student"}, "401 403 403 403 403 404 403 200"),
    ("PATCH", "/user/root", {"password": "a quite new secret"}, "401 403 403 403 404 404 403 422"),
    ("DELETE", "/user/ann", None, "401 403 403 403 204 404 403 204"),
    ("DELETE", "/user/colleague", None, "401 403 403 403 404 404 403 204"),
    ("DELETE", "/user/nobody", None, "401 403 403 403 404 404 403 404"),
    ("GET", "/key", None, "401 200 200 200 200 200 200 200"),
    ("POST", "/key", {}, "401 201 201 201 201 201 201 201"),
    ("DELETE", "/key/{key}", None, "401 204 404 404 404 404 404 404"),
    ("GET", "/budget", None, "200 200 200 200 200 200 200 200"),
    ("PUT", "/budget/user:ann", CAP, "401 403 403 403 200 404 403 200"),
    ("PUT", "/budget/user:nobody", CAP, "401 403 403 403 404 404 403 200"),
    ("PUT", "/budget/class:9a", CAP, "401 403 403 403 403 403 403 200"),
    ("PUT", "/budget/service", CAP, "401 403 403 403 403 403 403 200"),
    ("DELETE", "/budget/user:ann", None, "401 403 403 403 404 404 403 404"),
    ("GET", "/metrics", None, "401 403 403 403 403 403 403 200"),
]


async def hidden_of_ann(app: HttpApp) -> str:
    """Add an image of ann that staff have hidden, and return its GUID."""
    guid: str = (await app.create(auth=("ann", SECRET)))["guid"]
    await app.container.image_service().update(Staff("root", None), guid, HIDE)
    return guid


def _filled(body: Any, made: dict[str, str]) -> Any:
    """Return a body with the GUIDs in it."""
    text = json.dumps(body)
    for name, guid in made.items():
        text = text.replace(f"{{{name}}}", guid)
    return json.loads(text)


async def people_and_images(app: HttpApp) -> dict[str, str]:
    """Add everybody, images of ann and of nobody, and a key of ann; return what the paths name."""
    await app.add_people(PEOPLE, SECRET)
    ann = ("ann", SECRET)
    return {
        "public": (await app.create(auth=ann))["guid"],
        "private": (await app.create(auth=ann, visibility="private"))["guid"],
        "anonymous": (await app.create(auth=None))["guid"],
        "hidden": await hidden_of_ann(app),
        "key": (await app.container.key_service().add("ann"))[1].key_id,
    }


def request_of(viewer: str | None, method: str, path: str, body: Any, made: dict[str, str]) -> dict[str, Any]:
    """Return the request of a viewer as the arguments of a client."""
    options: dict[str, Any] = {"json": _filled(body, made)} if isinstance(body, dict) else {}
    if path == "/" or path.startswith(("/view/", "/compare")):
        options["headers"] = {"Accept": "text/html"}
    if body == FORM:
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": "http://test.example"}
        options = {"content": body.encode(), "headers": headers}
    elif isinstance(body, str):
        options = {"content": body.encode(), "headers": {"Content-Type": "text/csv"}}
    auth = None if viewer is None else basic((viewer, SECRET))
    return {"method": method, "url": path.format(**made), "auth": auth, **options}


@pytest.mark.parametrize(("method", "path", "body", "statuses"), MATRIX)
async def test_access(method: str, path: str, body: Any, statuses: str) -> None:
    found: list[int] = []
    while len(found) < len(VIEWERS):
        async with http_app() as app:
            made = await people_and_images(app)
            for viewer in VIEWERS[len(found) :]:
                app.client.cookies.clear()
                response = await app.client.request(**request_of(viewer, method, path, body, made))
                found.append(response.status_code)
                if method != "GET" and response.status_code < 400:
                    break  # The next viewer finds everything as it was.
    assert " ".join(map(str, found)) == statuses


SEEN = {
    "ann": {"public", "private", "hidden", "anonymous"},
    "miller": {"public", "hidden", "anonymous"},
    "root": {"public", "hidden", "anonymous"},
}
"""The images that a viewer finds in lists and on pages; everybody else finds those that are public."""
USERS = {"miller": {"ann", "ben"}, "smith": {"otto"}, "root": {name for name, _, _ in PEOPLE} | {"alice", "bob"}}


async def test_lists_hold_what_their_reader_may_see() -> None:
    async with http_app() as app:
        made = await people_and_images(app)
        del made["key"]
        for viewer in VIEWERS:

            async def get(path: str, viewer: str | None = viewer) -> httpx.Response:
                auth = httpx.USE_CLIENT_DEFAULT if viewer is None else basic((viewer, SECRET))
                return await app.client.get(path, auth=auth, headers={"Accept": "text/html, */*"})

            seen = SEEN.get(viewer or "", {"public", "anonymous"})
            for path in ("/image", "/image?prompt=duck", "/image?visibility=public&prompt=du", "/"):
                text = (await get(path)).text
                found = {name for name, guid in made.items() if f"/image/{guid}/" in text}
                assert found == (seen - {"private"} if "visibility" in path else seen), (viewer, path)
            text = (await get("/image?author=ann")).text
            assert {name for name, guid in made.items() if guid in text} == seen - {"anonymous"}, viewer
            if viewer in USERS:
                assert {user["username"] for user in (await get("/user")).json()} == USERS[viewer]
            usage = {None: set(), "miller": {"ann"}, "smith": set(), "root": {"ann", None}, "lost": set()}
            rows = (await get("/usage")).json()
            assert {row["user"] for row in rows} == usage.get(viewer, {"ann"} & {viewer}), viewer
            if viewer is not None:
                assert len((await get("/key")).json()) == (viewer == "ann")


async def test_for_a_teacher_users_of_other_classes_are_like_missing_ones() -> None:
    async with http_app() as app:
        await app.add_people(PEOPLE, SECRET)
        auth = basic(("miller", SECRET))
        for method, path, body in (
            ("PATCH", "/user/{}", PAUSE),
            ("DELETE", "/user/{}", None),
            ("PUT", "/budget/user:{}", CAP),
            ("DELETE", "/budget/user:{}", None),
        ):
            bodies = []
            for name in ("otto", "smith", "root", "colleague", "nobody"):
                response = await app.client.request(method, path.format(name), auth=auth, json=body)
                problem = response.json()
                bodies.append({key: problem[key] for key in problem.keys() - {"request_id", "instance"}})
            assert all(one == bodies[0] for one in bodies)
            assert bodies[0]["status"] == 404
