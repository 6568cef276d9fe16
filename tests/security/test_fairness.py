"""One caller among many: the cap on generations at once, and anonymous idempotency keys of several callers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from pixyproxy.domain.errors import GeneratorUnavailableError
from pixyproxy.domain.generation import GeneratedImage
from pixyproxy.entrypoints.cli.serve import wiring
from tests.fixtures.core import PNG
from tests.fixtures.http_app import ALICE, BOB, HttpApp, basic, http_app, memory_settings

HERE, THERE = "192.0.2.1", "192.0.2.2"
V1 = "/v1/images/generations"
ASYNC = {"Prefer": "respond-async"}


@pytest.fixture
async def capped() -> AsyncIterator[HttpApp]:
    """Yield an application for one generation of each caller at once, which holds all of them."""
    async with http_app(
        PIXYPROXY_PER_USER=1, PIXYPROXY_QUEUE_TIMEOUT_S=60, PIXYPROXY_FORWARDED_ALLOW_IPS="127.0.0.1"
    ) as app:
        app.generator.gate = asyncio.Event()
        yield app
        app.generator.gate.set()
        await app.container.generation_runner().drain(60)


async def post(
    app: HttpApp,
    path: str = "/image",
    *,
    auth: tuple[str, str] | None = None,
    address: str = HERE,
    headers: dict[str, str] | None = None,
    **request: Any,
) -> httpx.Response:
    """Send a request for a picture from this address."""
    if not request:
        request = {"json": {"prompt": "a duck"}}
    fields = {"X-Forwarded-For": address, **(headers or {})}
    return await app.client.post(path, headers=fields, auth=basic(auth) or httpx.USE_CLIENT_DEFAULT, **request)


async def begun(app: HttpApp, prompt: str, **options: Any) -> httpx.Response:
    """Begin a generation that goes on, and return the response."""
    headers = ASYNC | options.pop("headers", {})
    return await post(app, headers=headers, json={"prompt": prompt}, **options)


async def recorded(app: HttpApp) -> int:
    return len(app.container.memory_storage().images)


PAYING: dict[str, Callable[[HttpApp, str], Awaitable[httpx.Response]]] = {
    "native": lambda app, _: post(app, auth=ALICE),
    "native, async": lambda app, _: post(app, auth=ALICE, headers=ASYNC),
    "native, edit": lambda app, guid: post(app, auth=ALICE, json={"prompt": "a duck", "edit_of": [guid]}),
    "generation": lambda app, _: post(app, V1, auth=ALICE),
    "generation, several": lambda app, _: post(app, V1, auth=ALICE, json={"prompt": "a duck", "n": 3}),
    "generation, stream": lambda app, _: post(app, V1, auth=ALICE, json={"prompt": "a duck", "stream": True}),
    "edit": lambda app, _: post(
        app, "/v1/images/edits", auth=ALICE, data={"prompt": "a duck"}, files={"image": ("duck.png", PNG, "image/png")}
    ),
}


@pytest.mark.parametrize("route", PAYING)
async def test_one_more_than_the_cap_waits_on_every_paying_route(capped: HttpApp, route: str) -> None:
    assert capped.generator.gate is not None
    capped.generator.gate.set()
    stored = await capped.create(prompt="a duck that is edited")
    capped.generator.gate.clear()
    assert (await begun(capped, "a first duck", auth=ALICE)).json()["status"] == "generating"
    calls = len(capped.generator.requests)
    waiting = asyncio.create_task(PAYING[route](capped, stored["guid"]))
    while not capped.container.turns().waiting:
        await asyncio.sleep(0.001)
    # Others are not concerned.
    assert (await begun(capped, "a duck of another", auth=BOB)).json()["status"] == "generating"
    assert len(capped.generator.requests) == calls + 1
    capped.generator.gate.set()
    assert (await waiting).status_code in {200, 202}
    while len(capped.generator.requests) < calls + 2:
        await asyncio.sleep(0.001)


async def test_anonymous_callers_are_counted_by_address(capped: HttpApp) -> None:
    for address, status in (
        (HERE, "generating"),
        (HERE, "queued"),
        (f"::ffff:{HERE}", "queued"),
        (THERE, "generating"),
        ("2001:db8::1", "generating"),
        ("2001:db8::ffff:2", "queued"),
        ("2001:db8:0:1::1", "generating"),
    ):
        answer = await begun(capped, f"a duck from {address}", address=address)
        assert (answer.status_code, answer.json()["status"]) == (202, status), address


async def test_a_user_is_one_caller_from_every_address_and_not_an_anonymous_one(capped: HttpApp) -> None:
    assert (await begun(capped, "one", auth=ALICE)).json()["status"] == "generating"
    assert (await begun(capped, "two", auth=ALICE, address=THERE)).json()["status"] == "queued"
    assert (await begun(capped, "three", address=HERE)).json()["status"] == "generating"


async def test_repeats_do_not_count(capped: HttpApp) -> None:
    key = {"Idempotency-Key": "one"}
    first = await begun(capped, "a duck", auth=ALICE, headers=key)
    again = await begun(capped, "a duck", auth=ALICE, headers=key)
    assert (again.status_code, again.json()["guid"]) == (202, first.json()["guid"])
    retries = [
        asyncio.create_task(post(capped, auth=ALICE, headers=key)),
        asyncio.create_task(post(capped, auth=ALICE, headers=key)),
    ]
    await asyncio.sleep(0)
    assert capped.generator.gate is not None
    capped.generator.gate.set()
    for answer in await asyncio.gather(*retries):
        assert (answer.status_code, answer.json()["guid"]) == (200, first.json()["guid"])
    assert len(capped.generator.requests) == 1


async def test_a_generation_that_fails_is_over(capped: HttpApp) -> None:
    assert capped.generator.gate is not None
    capped.generator.gate.set()
    capped.generator.outcome = GeneratorUnavailableError("No.")
    for _ in range(3):
        assert (await post(capped)).status_code == 502


async def test_without_a_cap_one_caller_may_have_many() -> None:
    async with http_app() as app:
        app.generator.gate = asyncio.Event()
        assert {(await begun(app, f"duck {number}")).status_code for number in range(20)} == {202}
        app.generator.gate.set()
        await app.container.generation_runner().drain(60)


def test_the_start_block_says_the_pace() -> None:
    block = wiring(memory_settings(PIXYPROXY_QUEUE_TIMEOUT_S=1800), "http://127.0.0.1:8001")
    assert "  pace        256 calls at once; 1000 pictures may wait, 1800 s at most\n" in block
    block = wiring(memory_settings(PIXYPROXY_PER_USER=4, PIXYPROXY_IMAGES_PER_MINUTE=20), "http://127.0.0.1:8001")
    assert "256 calls at once, 4 of one caller, 20 pictures a minute of each model; 1000" in block


# --- anonymous idempotency keys ---


@pytest.fixture
async def anybody() -> AsyncIterator[HttpApp]:
    """Yield an application that counts anonymous callers by the address that a proxy reports."""
    async with http_app(PIXYPROXY_FORWARDED_ALLOW_IPS="127.0.0.1") as app:
        yield app


async def keyed(app: HttpApp, prompt: str, address: str = HERE, *, path: str = "/image") -> httpx.Response:
    """Send a request with the same key as all others here."""
    return await post(app, path, address=address, headers={"Idempotency-Key": "1"}, json={"prompt": prompt})


async def test_the_same_body_is_the_same_image_from_any_address(anybody: HttpApp) -> None:
    for prompt, first in (("a duck", HERE), ("a swan", THERE)):
        guid = (await keyed(anybody, prompt, first)).json()["guid"]
        for address in (HERE, THERE, "2001:db8::1"):
            again = await keyed(anybody, prompt, address)
            assert (again.status_code, again.headers["idempotent-replayed"]) == (200, "true")
            assert again.json()["guid"] == guid
    assert len(anybody.generator.requests) == 2


@pytest.mark.parametrize(("first", "other"), [(HERE, THERE), ("2001:db8::1", "2001:db8:0:1::1"), (HERE, "2001:db8::1")])
async def test_another_body_from_another_address_is_another_callers(anybody: HttpApp, first: str, other: str) -> None:
    one, two = await keyed(anybody, "a duck", first), await keyed(anybody, "a swan", other)
    assert (one.status_code, two.status_code) == (200, 200)
    assert one.json()["guid"] != two.json()["guid"]
    assert "idempotent-replayed" not in two.headers
    # From then on the key is in use at both addresses.
    for address in (first, other):
        refused = await keyed(anybody, "a goose", address)
        assert (refused.status_code, refused.json()["code"]) == (422, "idempotency-key-reused")
    assert len(anybody.generator.requests) == 2


@pytest.mark.parametrize(("first", "same"), [(HERE, HERE), (HERE, f"::ffff:{HERE}"), ("2001:db8::1", "2001:db8::f:2")])
async def test_another_body_from_the_same_address_is_refused(anybody: HttpApp, first: str, same: str) -> None:
    await keyed(anybody, "a duck", first)
    assert (await keyed(anybody, "a swan", same)).status_code == 422
    assert (await keyed(anybody, "a swan", same, path=V1)).status_code == 422
    assert len(anybody.generator.requests) == 1


async def test_a_key_that_others_use_is_released_like_any(anybody: HttpApp) -> None:
    await keyed(anybody, "a duck")
    anybody.generator.outcome = GeneratorUnavailableError("No.")
    assert (await keyed(anybody, "a swan", THERE)).status_code == 502
    anybody.generator.outcome = GeneratedImage(PNG)
    made = await keyed(anybody, "a swan", THERE)
    assert made.status_code == 200
    assert "idempotent-replayed" not in made.headers
    # The image of the first caller is gone; the second one's stays its own.
    anybody.container.memory_storage().images.pop(next(iter(anybody.container.memory_storage().images)))
    assert (await keyed(anybody, "a swan", THERE)).json()["guid"] == made.json()["guid"]
    assert len(anybody.generator.requests) == 3


async def test_the_first_image_of_a_call_alone_holds_its_key(anybody: HttpApp) -> None:
    several = {"prompt": "a duck", "n": 2}
    made = await post(anybody, V1, headers={"Idempotency-Key": "1"}, json=several)
    assert (await keyed(anybody, "a swan")).status_code == 422
    del anybody.container.memory_storage().images[made.json()["data"][0]["guid"]]
    assert (await keyed(anybody, "a swan")).status_code == 200


async def test_requests_from_two_addresses_at_once_are_paid_once(anybody: HttpApp) -> None:
    await keyed(anybody, "a duck")
    anybody.generator.gate = asyncio.Event()
    both = [asyncio.create_task(keyed(anybody, "a swan", address)) for address in (THERE, "2001:db8::1")]
    while len(anybody.generator.requests) < 2:
        await asyncio.sleep(0)
    anybody.generator.gate.set()
    assert len({answer.json()["guid"] for answer in await asyncio.gather(*both)}) == 1
    assert len(anybody.generator.requests) == 2


async def test_rows_of_before_match_the_same_body(anybody: HttpApp) -> None:
    """They do not say which address used their key."""
    guid = (await keyed(anybody, "a duck")).json()["guid"]
    claims = anybody.container.memory_storage().claims
    claims[guid] = replace(claims[guid], holder=None)
    for address in (HERE, THERE):
        assert (await keyed(anybody, "a duck", address)).json()["guid"] == guid
    assert (await keyed(anybody, "a swan", THERE)).status_code == 200


async def test_the_key_of_a_user_is_not_told_apart_by_address(anybody: HttpApp) -> None:
    key = {"Idempotency-Key": "1"}
    assert (await post(anybody, auth=ALICE, headers=key)).status_code == 200
    other = {"prompt": "a swan"}
    assert (await post(anybody, auth=ALICE, headers=key, address=THERE, json=other)).status_code == 422
