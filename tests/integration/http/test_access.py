"""Who may do what: every route, every caller, every kind of image, and no way to tell private from missing."""

import uuid
from typing import Any

import httpx
import pytest

from tests.fixtures.service import Service, problem
from tests.fixtures.services import ALICE, BOB

CALLERS = {"anonymous": None, "author": ALICE, "other": BOB, "wrong": ("alice", "wrong"), "unknown": ("carol", "x")}
KINDS = ("public", "private", "missing")
CHALLENGE = 'Basic realm="pixyproxy", charset="UTF-8"'

# What is answered for a public, a private and a missing image; the first column is the caller.
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
        answer = client.post("/image", json={"prompt": "a duck", "size": "64x64", "visibility": kind})
        assert answer.status_code == 200, answer.text
        guid: str = answer.json()["guid"]
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
def test_the_matrix_of_access(caller: str, kind: str, service: Service) -> None:
    guid = make(service, kind)
    for name, (method, path, extra, statuses) in ROUTES.items():
        answer = ask(service, caller, method, path.format(guid), **extra)
        assert answer.status_code == expected_status(method, statuses, caller, kind), name
        if answer.status_code >= 400 and method != "HEAD":
            problem(answer)
        if answer.status_code == 401:
            assert answer.headers["www-authenticate"] == CHALLENGE
    survives = kind != "missing" and caller != "author"
    assert ask(service, "author", "GET", f"/image/{guid}").status_code == (200 if survives else 404)
    if survives:
        assert ask(service, "author", "GET", f"/image/{guid}").json()["tags"] == []


@pytest.mark.parametrize("caller", CALLERS)
def test_lists_hold_what_the_caller_may_see(caller: str, service: Service) -> None:
    public, private = make(service, "public"), make(service, "private")
    for guid, seen_by in ((public, {"anonymous", "author", "other"}), (private, {"author"})):
        answer = ask(service, caller, "GET", f"/image?guid={guid}")
        if caller in {"wrong", "unknown"}:
            assert answer.status_code == 401
        else:
            assert [detail["guid"] for detail in answer.json()] == ([guid] if caller in seen_by else [])


@pytest.mark.parametrize("caller", CALLERS)
def test_the_other_routes(caller: str, service: Service) -> None:
    known = caller in {"author", "other"}
    refused = caller in {"wrong", "unknown"}
    assert ask(service, caller, "GET", "/user/me").status_code == (200 if known else 401)
    for path in ("/healthz", "/readyz", "/docs", "/openapi.json"):
        assert ask(service, caller, "GET", path).status_code == (401 if refused else 200), path
    assert ask(service, caller, "GET", "/nowhere").status_code == (401 if refused else 404)
    answer = ask(service, caller, "POST", "/image", json={"prompt": "x", "size": "64x64"})
    assert answer.status_code == (401 if refused else 200)
    if not refused:
        assert answer.json()["author"] == (CALLERS[caller] or (None,))[0]


def test_nobody_changes_an_image_without_an_author(service: Service) -> None:
    guid = ask(service, "anonymous", "POST", "/image", json={"prompt": "x", "size": "64x64"}).json()["guid"]
    for method, extra in (("PATCH", {"json": {"visibility": "private"}}), ("DELETE", {})):
        for caller, status in (("anonymous", 401), ("author", 403), ("other", 403)):
            assert ask(service, caller, method, f"/image/{guid}", **extra).status_code == status
    assert ask(service, "anonymous", "GET", f"/image/{guid}").json()["visibility"] == "public"


def comparable(answer: httpx.Response) -> tuple[int, dict[str, str], Any]:
    """All of an answer that may not differ."""
    headers = {name: value for name, value in answer.headers.items() if name not in {"date", "x-request-id"}}
    body: Any = answer.content
    if answer.content and answer.headers["content-type"] == "application/problem+json":
        body = {name: value for name, value in answer.json().items() if name not in {"request_id", "instance"}}
    return answer.status_code, headers, body


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
def test_private_cannot_be_told_from_missing(caller: str, service: Service) -> None:
    private, missing = make(service, "private"), make(service, "missing")
    with service.client(CALLERS[caller]) as client:
        for method, path, headers, body in GUESSES:
            one, two = (
                client.request(method, path.format(guid), headers=headers, content=body) for guid in (private, missing)
            )
            assert comparable(one) == comparable(two), (method, path, headers, body)


def test_what_anonymous_callers_may_do_is_a_setting(guarded: Service) -> None:
    may = guarded.values["PIXYPROXY_ANONYMOUS"]
    read, write = may in {"read", "write"}, may == "write"
    public, private, missing = (make(guarded, kind) for kind in KINDS)
    for path, found in ((public, 200), (private, 404), (missing, 404), ("5", 404)):
        for tail in ("", "/content"):
            for method in ("GET", "HEAD"):
                answer = ask(guarded, "anonymous", method, f"/image/{path}{tail}")
                assert answer.status_code == (found if read else 401), (path, tail)
    for query, status in (("", 200), (f"?guid={public}", 200), ("?nonsense=1", 422)):
        assert ask(guarded, "anonymous", "GET", f"/image{query}").status_code == (status if read else 401)
    answer = ask(guarded, "anonymous", "POST", "/image", json={"prompt": "x", "size": "64x64"})
    assert answer.status_code == (200 if write else 401)
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
