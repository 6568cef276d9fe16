"""The access matrix: the routes, by role and by class, on the own, other, private and missing."""

from typing import Any

import pytest

from pixyproxy.domain.user import Role
from tests.fixtures.http_app import MISSING, basic, http_app

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
# The statuses are in the order of VIEWERS; {public}, {private} and {anonymous} are images of ann, ann and nobody.
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
    ("PATCH", "/image/{anonymous}", {"tags": ["x"]}, "401 403 403 403 403 403 403 403"),
    ("GET", f"/image/{MISSING}", None, "404 404 404 404 404 404 404 404"),
    ("PATCH", f"/image/{MISSING}", {"tags": ["x"]}, "401 404 404 404 404 404 404 404"),
    ("DELETE", f"/image/{MISSING}", None, "401 404 404 404 404 404 404 404"),
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


@pytest.mark.parametrize(("method", "path", "body", "statuses"), MATRIX)
async def test_access(method: str, path: str, body: Any, statuses: str) -> None:
    found = []
    for viewer in VIEWERS:
        async with http_app() as app:
            await app.add_people(PEOPLE, SECRET)
            ann = ("ann", SECRET)
            made = {
                "public": (await app.create(auth=ann))["guid"],
                "private": (await app.create(auth=ann, visibility="private"))["guid"],
                "anonymous": (await app.create(auth=None))["guid"],
                "key": (await app.container.key_service().add("ann"))[1].key_id,
            }
            options: dict[str, Any] = {"json": body} if isinstance(body, dict) else {}
            if isinstance(body, str):
                options = {"content": body.encode(), "headers": {"Content-Type": "text/csv"}}
            auth = None if viewer is None else basic((viewer, SECRET))
            response = await app.client.request(method, path.format(**made), auth=auth, **options)
            found.append(str(response.status_code))
    assert " ".join(found) == statuses


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
