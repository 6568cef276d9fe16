"""The request log: two lines for every request."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from pixyproxy.domain.errors import GeneratorRequestError, PromptRejectedError
from pixyproxy.domain.user import Role
from pixyproxy.entrypoints.http.middleware.request_log import RequestIds
from tests.fixtures.http_app import ALICE, BOB, MISSING, HttpApp, basic, http_app, log_lines

ID = r"[^\s\[\]]+-\d{8}T\d{12}-\d+"
HEAD = rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d,\d{{3}} INFO (?P<id>{ID}) \[\d+\] \[(?P<where>[\w<>-]+:\d+)\] "
START = re.compile(HEAD + r"REQUEST START (?P<what>\S+ .*)")
END = re.compile(HEAD + r"REQUEST END (?P<what>\S+ .*) (?P<status>\d{3}) (?P<bytes>\d+)B (?P<ms>\d+\.\d)ms")


@pytest.fixture
async def app() -> AsyncIterator[HttpApp]:
    async with http_app() as opened:
        yield opened


def pair(lines: list[str]) -> tuple[re.Match[str], re.Match[str]]:
    """Return the two lines of the only logged request, after comparing their common parts."""
    [start] = [found for line in lines if (found := START.fullmatch(line))]
    [end] = [found for line in lines if (found := END.fullmatch(line))]
    assert sum("REQUEST" in line for line in lines) == 2
    assert start.group("id", "where", "what") == end.group("id", "where", "what")
    assert lines[0] == start.string
    return start, end


@pytest.mark.parametrize(
    ("method", "path", "extra", "status", "name"),
    [
        ("GET", "/image", {}, 200, "list_images"),
        ("GET", "/image/", {}, 200, "list_images"),
        ("HEAD", "/image", {}, 200, "list_images"),
        ("GET", f"/image/{MISSING}", {}, 404, "get_image"),
        ("GET", "/image/5/content", {}, 404, "get_content"),
        ("GET", "/image/5/content/*", {}, 404, "get_named_content"),
        ("GET", "/nowhere", {}, 404, "-"),
        ("PUT", "/image", {}, 405, "-"),
        ("GET", "/image?x=1", {}, 422, "list_images"),
        ("POST", "/image", {"json": {"prompt": ""}}, 422, "create_image"),
        ("POST", "/image", {"json": {"prompt": "x"}}, 200, "create_image"),
        ("POST", "/image", {"content": b"x"}, 415, "create_image"),
        ("PATCH", f"/image/{MISSING}", {}, 401, "update_image"),
        ("DELETE", f"/image/{MISSING}", {"auth": basic(ALICE)}, 404, "delete_image"),
        ("GET", "/image", {"auth": basic(("alice", "wrong"))}, 401, "list_images"),
        ("GET", "/user/me", {"auth": basic(BOB)}, 200, "get_me"),
        ("GET", "/docs", {}, 200, "get_docs"),
        ("GET", "/docs/assets/swagger-ui.css", {}, 200, "-"),
    ],
)
async def test_every_request_writes_two_lines(
    method: str, path: str, extra: dict[str, Any], status: int, name: str, app: HttpApp
) -> None:
    with log_lines() as lines:
        response = await app.client.request(method, path, **extra)
    start, end = pair(lines)
    assert response.status_code == status == int(end["status"])
    assert start["what"] == f"{method} {path.partition('?')[0]}"
    assert start["where"].partition(":")[0] == name
    assert int(end["bytes"]) == len(response.content)
    assert response.headers["x-request-id"] == start["id"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/healthz/"])
async def test_health_probes_log_at_debug(path: str, app: HttpApp, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="pixyproxy.entrypoints.http.middleware.request_log")
    assert (await app.client.get(path)).status_code == 200
    start, end = [record for record in caplog.records if "REQUEST" in record.getMessage()]
    assert (start.levelno, end.levelno) == (logging.DEBUG, logging.DEBUG)
    assert start.getMessage() == f"REQUEST START GET {path}"
    assert end.getMessage().startswith(f"REQUEST END GET {path} 200 ")


ODD = ('a b=c"\\d\u3000é', "secret of an odd name")


@pytest.mark.parametrize(
    ("method", "path", "auth", "forwarded", "caller"),
    [
        ("GET", "/image", None, None, "user=- from=127.0.0.1"),
        ("GET", "/image", ALICE, None, "user=alice from=127.0.0.1"),
        ("HEAD", "/image", ALICE, "2001:db8::1", "user=alice from=2001:db8::1"),
        ("GET", "/nowhere", BOB, "192.0.2.9, 192.0.2.1", "user=bob from=192.0.2.1"),
        ("GET", "/image", ("alice", "wrong"), None, "user=- from=127.0.0.1"),
        ("GET", "/image", ODD, None, r"user=a\u0020b\u003dc\u0022\u005cd\u3000é from=127.0.0.1"),
    ],
)
async def test_the_end_names_the_caller_where_that_is_set(
    method: str, path: str, auth: tuple[str, str] | None, forwarded: str | None, caller: str
) -> None:
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    async with http_app(PIXYPROXY_LOG_CALLERS="1") as app:
        await app.container.user_service().add(*ODD, None)
        with log_lines() as lines:
            await app.client.request(method, path, auth=basic(auth), headers=headers)
    assert lines[-1].endswith(f"ms {caller}")
    assert re.search(END.pattern + " user=", lines[-1])
    assert "user=" not in lines[0]


async def test_callers_are_not_logged_by_default(app: HttpApp) -> None:
    with log_lines() as lines:
        await app.client.get("/image", auth=basic(ALICE))
    assert "alice" not in "".join(lines)


async def test_an_error_in_a_handler_writes_two_lines(app: HttpApp, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(app.container.image_service(), "get", fail)
    with log_lines() as lines:
        await app.client.get(f"/image/{MISSING}")
    start, end = pair(lines)
    assert end["status"] == "500"
    [error] = [line for line in lines if " ERROR " in line]
    assert f" {start['id']} " in error
    assert lines[-1] == end.string


async def test_a_request_that_the_end_of_the_service_interrupts_writes_two_lines(app: HttpApp) -> None:
    app.generator.gate = asyncio.Event()
    body = [{"type": "http.request", "body": b'{"prompt": "x"}'}]
    with log_lines() as lines:
        request = app.raw("POST", "/image", headers=[(b"content-type", b"application/json")], messages=body)
        task = asyncio.create_task(request)
        while not app.generator.requests:
            await asyncio.sleep(0)
        task.cancel()
        response = await task
    _, end = pair([line for line in lines if "REQUEST" in line])
    assert end.group("status", "bytes") == ("503", str(len(response.body)))
    with log_lines() as lines:
        app.generator.gate.set()
        assert await app.container.generation_runner().drain(10) == 0
    assert len((await app.client.get("/image")).json()) == 1
    assert not any("REQUEST" in line for line in lines[:-2])


async def test_the_end_comes_after_the_last_byte(app: HttpApp) -> None:
    detail = await app.create()
    with log_lines() as lines:
        response = await app.raw("GET", detail["content_url"])
        assert response.complete
    _, end = pair(lines)
    assert int(end["bytes"]) == len(response.body)


@pytest.mark.parametrize(
    "path",
    [
        "/a%0A2026-11-21%2010:00:00,123%20INFO%20x%20[1]%20[f:1]%20REQUEST%20END%20GET%20/%20200%200B%201.0ms",
        "/a%0D%0Aforged",
        "/%1B[2J%1B]0;title%07",
        "/%C2%85x%E2%80%A8y%E2%80%A9z",
        "/%00%08%7F",
        "/%E2%80%AEtxet%20desrever",
        "/%25s%25d%25(x)s%25n{0}{x}",
        "/%FF%FE",
    ],
)
async def test_a_path_cannot_break_or_forge_a_line(path: str, app: HttpApp) -> None:
    with log_lines() as lines:
        response = await app.client.get(path)
    assert response.status_code == 404
    assert len(lines) == 2
    start, end = pair(lines)
    assert end["status"] == "404"
    assert start["what"].isprintable()


async def test_a_method_cannot_break_a_line(app: HttpApp) -> None:
    with log_lines() as lines:
        await app.raw("GET\nforged", "/")
    assert len(lines) == 2


async def test_prompts_and_credentials_never_reach_the_log(app: HttpApp) -> None:
    prompt, query = "velvet-prompt-words", "velvet-query-words"
    password = ALICE[1]
    token = basic(ALICE)._auth_header if basic(ALICE) else ""  # type: ignore[union-attr]
    with log_lines() as lines:
        detail = await app.create(prompt=prompt, filename="velvet-name.png", tags=["velvet-tag"])
        await app.client.get("/image", params={"prompt": query}, auth=basic(ALICE))
        await app.client.get("/image", params={"nonsense": query})
        await app.client.post("/image", content=f'{{"prompt": "{prompt}"', headers={"Content-Type": "application/json"})
        await app.client.post("/image", json={"prompt": prompt, prompt: 1, "visibility": prompt})
        await app.client.get("/image", auth=basic(("alice", password + "!")))
        for refusal in (PromptRejectedError, GeneratorRequestError):
            app.generator.outcome = refusal(f"Your prompt {prompt!r} is refused.")
            assert prompt in (await app.client.post("/image", json={"prompt": prompt})).text
        await app.client.delete(f"/image/{detail['guid']}", auth=basic(ALICE))
    text = "\n".join(lines)
    for secret in ("velvet", password, password.split()[-1], token, token.split()[-1]):
        assert secret not in text
    assert text.count("REQUEST START") == text.count("REQUEST END") == 9


async def test_other_lines_carry_the_id_of_their_request(app: HttpApp) -> None:
    made: list[str] = []

    def log_something() -> None:
        logging.getLogger("any").info("generating")

    app.generator.on_call = log_something
    with log_lines() as lines:
        responses = await asyncio.gather(*(app.client.post("/image", json={"prompt": str(i)}) for i in range(5)))
        made = [response.headers["x-request-id"] for response in responses]
    assert len(set(made)) == 5
    for id_ in made:
        assert sum(f" {id_} [" in line for line in lines) == 3
        [other] = [line for line in lines if f" {id_} [" in line and "REQUEST" not in line]
        assert other.endswith("generating")


async def test_concurrent_requests_have_their_own_lines(app: HttpApp) -> None:
    with log_lines() as lines:
        responses = await asyncio.gather(*(app.client.get(f"/nowhere/{i}") for i in range(50)))
    ids = [response.headers["x-request-id"] for response in responses]
    assert len(set(ids)) == 50
    for i, id_ in enumerate(ids):
        pair([line for line in lines if f" {id_} " in line])
        assert sum(f" /nowhere/{i}" in line for line in lines if f" {id_} " in line) == 2


async def test_administrators_are_told_the_time_of_the_server_and_nobody_else_is(app: HttpApp) -> None:
    root = ("root", "a good long password")
    await app.add_people([("root", None, Role.ADMIN), ("tina", "9a", Role.TEACHER)], root[1])
    for path in ("/", "/image"):
        known = await app.client.get(path, headers={"Accept": "text/html"}, auth=basic(root))
        assert re.fullmatch(r"app;dur=\d+\.\d", known.headers["server-timing"])
        for stranger in (None, ("root", "wrong"), BOB, ("tina", root[1])):
            response = await app.client.get(path, headers={"Accept": "text/html"}, auth=basic(stranger))
            assert "server-timing" not in response.headers


def test_ids_are_unique_and_hold_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = RequestIds()
    before = datetime.now(UTC)
    made = [ids.next() for _ in range(10_000)]
    assert len(set(made)) == 10_000
    assert all(re.fullmatch(ID, id_) for id_ in made)
    first = datetime.strptime(made[0].split("-")[-2], "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)
    assert before <= first <= datetime.now(UTC)
    assert made == sorted(made)


def test_the_host_of_an_id_is_one_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "my host\n[x]-é")
    assert re.fullmatch(ID, RequestIds().next())
    assert RequestIds().next().isascii()


async def test_a_file_name_is_not_logged(app: HttpApp) -> None:
    [image] = [await app.create(prompt="velvet words")]
    assert "velvet" in image["content_url"]
    with log_lines() as lines:
        assert (await app.client.get(image["content_url"])).status_code == 200
        assert (await app.client.get(image["content_url"] + "/more")).status_code == 404
    assert len([line for line in lines if f"GET /image/{image['guid']}/content/*" in line]) == 4
    assert "velvet" not in "".join(lines)
