"""Access by route, caller and kind of image; private images look like missing ones."""

import uuid
from typing import Any

import httpx
import pytest

from tests.fixtures.service import Service, problem
from tests.fixtures.services import ALICE, BOB

CALLERS = {"anonymous": None, "author": ALICE, "other": BOB, "wrong": ("alice", "wrong"), "unknown": ("carol", "x")}
KINDS = ("public", "private", "missing")
CHALLENGE = 'Basic realm="pixyproxy", charset="UTF-8"'

# The statuses for a public, a private and a missing image, by caller.
READ = {"anonymous": (200, 404, 404), "author": (200, 200, 404), "other": (200, 404, 404)}
CHANGE = {"anonymous": (401, 401, 401), "author": (200, 200, 404), "other": (403, 404, 404)}
ROUTES: dict[str, tuple[str, str, dict[str, Any], dict[str, tuple[int, int, int]]]] = {
    "details": ("GET", "/image/{}", {}, READ),
    "details, HEAD": ("HEAD", "/image/{}/", {}, READ),
    "content": ("GET", "/image/{}/content", {}, READ),
    "content, HEAD": ("HEAD", "/image/{}/content/", {}, READ),
    "change": ("PATCH", "/image/{}", {"json": {"tags": ["x"]}}, CHANGE),
    "change, badly": ("PATCH", "/image/{}/", {"json": {}}, CHANGE),
    "delete": ("DELETE", "/image/{}", {}, CHANGE),
}


def make(service: Service, kind: str) -> str:
    if kind == "missing":
        return str(uuid.uuid4())
    with service.client(ALICE) as client:
        response = client.post("/image", json={"prompt": "a duck", "size": "64x64", "visibility": kind})
        assert response.status_code == 200, response.text
        guid: str = response.json()["guid"]
        return guid


def ask(service: Service, caller: str, method: str, path: str, **extra: Any) -> httpx.Response:
    with service.client(CALLERS[caller]) as client:
        return client.request(method, path, **extra)


def expected_status(method: str, statuses: dict[str, tuple[int, int, int]], caller: str, kind: str) -> int:
    if caller in {"wrong", "unknown"}:
        return 401
    status = statuses[caller][KINDS.index(kind)]
    return 204 if method == "DELETE" and status == 200 else status


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("caller", CALLERS)
def test_access_by_caller_route_and_kind_of_image(caller: str, kind: str, service: Service) -> None:
    guid = make(service, kind)
    for name, (method, path, extra, statuses) in ROUTES.items():
        response = ask(service, caller, method, path.format(guid), **extra)
        assert response.status_code == expected_status(method, statuses, caller, kind), name
        if response.status_code >= 400 and method != "HEAD":
            problem(response)
        if response.status_code == 401:
            assert response.headers["www-authenticate"] == CHALLENGE
    survives = kind != "missing" and caller != "author"
    assert ask(service, "author", "GET", f"/image/{guid}").status_code == (200 if survives else 404)
    if survives:
        assert ask(service, "author", "GET", f"/image/{guid}").json()["tags"] == []


@pytest.mark.parametrize("caller", CALLERS)
def test_lists_hold_the_images_that_the_caller_may_see(caller: str, service: Service) -> None:
    public, private = make(service, "public"), make(service, "private")
    for guid, seen_by in ((public, {"anonymous", "author", "other"}), (private, {"author"})):
        response = ask(service, caller, "GET", f"/image?guid={guid}")
        if caller in {"wrong", "unknown"}:
            assert response.status_code == 401
        else:
            assert [detail["guid"] for detail in response.json()] == ([guid] if caller in seen_by else [])


@pytest.mark.parametrize("caller", CALLERS)
def test_access_to_the_other_routes(caller: str, service: Service) -> None:
    known = caller in {"author", "other"}
    refused = caller in {"wrong", "unknown"}
    assert ask(service, caller, "GET", "/user/me").status_code == (200 if known else 401)
    for path in ("/healthz", "/readyz", "/docs", "/openapi.json"):
        assert ask(service, caller, "GET", path).status_code == (401 if refused else 200), path
    assert ask(service, caller, "GET", "/nowhere").status_code == (401 if refused else 404)
    response = ask(service, caller, "POST", "/image", json={"prompt": "x", "size": "64x64"})
    assert response.status_code == (401 if refused else 200)
    if not refused:
        assert response.json()["author"] == (CALLERS[caller] or (None,))[0]


def test_an_image_without_an_author_cannot_be_changed(service: Service) -> None:
    guid = ask(service, "anonymous", "POST", "/image", json={"prompt": "x", "size": "64x64"}).json()["guid"]
    for method, extra in (("PATCH", {"json": {"visibility": "private"}}), ("DELETE", {})):
        for caller, status in (("anonymous", 401), ("author", 403), ("other", 403)):
            assert ask(service, caller, method, f"/image/{guid}", **extra).status_code == status
    assert ask(service, "anonymous", "GET", f"/image/{guid}").json()["visibility"] == "public"


def comparable(response: httpx.Response) -> tuple[int, dict[str, str], Any]:
    """Return the parts of a response that must not depend on the image."""
    headers = {name: value for name, value in response.headers.items() if name not in {"date", "x-request-id"}}
    body: Any = response.content
    if response.content and response.headers["content-type"] == "application/problem+json":
        body = {name: value for name, value in response.json().items() if name not in {"request_id", "instance"}}
    return response.status_code, headers, body


QUIET: dict[str, str] = {}
GUESSES: list[tuple[str, str, dict[str, str], bytes]] = [
    (method, path, headers, b"")
    for method in ("GET", "HEAD", "DELETE")
    for path in ("/image/{}", "/image/{}/", "/image/{}/content", "/image?guid={}")
    for headers in (
        QUIET,
        {"If-None-Match": "*", "Range": "bytes=0-0"},
        {"If-Match": '"x"', "Range": "bytes=99999999-"},
    )
]
GUESSES += [(method, "/image/{}", QUIET, b"") for method in ("PUT", "OPTIONS", "POST", "PATCH")]
GUESSES += [
    ("PATCH", "/image/{}", {"Content-Type": "application/json"}, body)
    for body in (b"{}", b"{", b'{"tags": ["x"]}', b'{"tags": 5}')
]


@pytest.mark.parametrize("caller", ["anonymous", "other"])
def test_private_images_look_like_missing_ones(caller: str, service: Service) -> None:
    private, missing = make(service, "private"), make(service, "missing")
    with service.client(CALLERS[caller]) as client:
        for method, path, headers, body in GUESSES:
            one, two = (
                client.request(method, path.format(guid), headers=headers, content=body) for guid in (private, missing)
            )
            assert comparable(one) == comparable(two), (method, path, headers, body)


def test_a_setting_limits_anonymous_callers(guarded: Service) -> None:
    may = guarded.values["PIXYPROXY_ANONYMOUS"]
    read, write = may in {"read", "write"}, may == "write"
    public, private, missing = (make(guarded, kind) for kind in KINDS)
    for path, found in ((public, 200), (private, 404), (missing, 404), ("5", 404)):
        for tail in ("", "/content"):
            for method in ("GET", "HEAD"):
                response = ask(guarded, "anonymous", method, f"/image/{path}{tail}")
                assert response.status_code == (found if read else 401), (path, tail)
    for query, status in (("", 200), (f"?guid={public}", 200), ("?nonsense=1", 422)):
        assert ask(guarded, "anonymous", "GET", f"/image{query}").status_code == (status if read else 401)
    response = ask(guarded, "anonymous", "POST", "/image", json={"prompt": "x", "size": "64x64"})
    assert response.status_code == (200 if write else 401)
    for method in ("PATCH", "DELETE"):
        assert ask(guarded, "anonymous", method, f"/image/{public}").status_code == 401
    assert ask(guarded, "anonymous", "GET", "/user/me").status_code == 401
    assert ask(guarded, "anonymous", "GET", "/healthz").status_code == 200
    assert ask(guarded, "anonymous", "GET", "/readyz").status_code == 200
    for caller in ("author", "other"):
        assert ask(guarded, caller, "GET", f"/image/{public}").status_code == 200
        assert ask(guarded, caller, "POST", "/image", json={"prompt": "x", "size": "64x64"}).status_code == 200
    assert ask(guarded, "wrong", "GET", f"/image/{public}").status_code == 401
    words = {"none": "nothing", "read": "see public images;", "write": "see public images and create new ones;"}
    assert f"  anonymous   may {words[may]}" in guarded.announced
