"""Images that carry much: options of a request are limited, and a page of a list ends, whatever is on it."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from pixyproxy.domain.generation import GeneratedImage
from pixyproxy.domain.query import ImageQuery, Page
from tests.fixtures.core import PNG
from tests.fixtures.http_app import HttpApp, http_app

GENERATIONS, EDITS = "/v1/images/generations", "/v1/images/edits"
KIB, MIB = 1024, 1024 * 1024
PICTURE = {"image": "data:image/png;base64," + base64.b64encode(PNG).decode()}
WITHOUT_LIMITS = {"PIXYPROXY_MAX_OPTIONS": 10_000, "PIXYPROXY_MAX_OPTION_BYTES": MIB}
"""Settings that let rows be made as versions before the limits made them."""


@pytest.fixture
async def app() -> AsyncIterator[HttpApp]:
    async with http_app() as app:
        yield app


async def send(app: HttpApp, way: str, options: dict[str, Any]) -> httpx.Response:
    """Ask for a picture with these options by one of the ways that pass them on."""
    fields = {"prompt": "a duck", "response_format": "url"} | options
    if way == "form":
        return await app.client.post(EDITS, data=fields, files={"image": ("a.png", PNG, "image/png")})
    if way == "edit":
        return await app.client.post(EDITS, json=fields | PICTURE)
    return await app.client.post(GENERATIONS, json=fields)


WAYS = pytest.mark.parametrize("way", ["generation", "edit", "form"])


@WAYS
async def test_more_than_64_options_are_refused(app: HttpApp, way: str) -> None:
    options = {f"option{number}": "x" for number in range(64)}
    assert (await send(app, way, options)).status_code == 200
    response = await send(app, way, options | {"more": "x"})
    assert response.status_code == 400
    assert "at most 64 options: this one has 65" in response.json()["error"]["message"]
    assert len(app.generator.requests) == 1


@WAYS
@pytest.mark.parametrize(
    "options",
    [
        {"one": "x" * 64 * KIB},
        {f"option{number}": "x" * 2048 for number in range(10, 42)},
        {"large": "x" * 900 * KIB},
        {"quotes": '"' * 33 * KIB},
    ],
    ids=["one", "many", "large", "escaped"],
)
async def test_more_than_64_kib_of_options_are_refused(app: HttpApp, way: str, options: dict[str, Any]) -> None:
    response = await send(app, way, options)
    assert response.status_code == 400
    error = response.json()["error"]
    assert "must be at most 65536 bytes of JSON together" in error["message"]
    assert error["param"] == next(iter(options))
    assert (app.generator.requests, (await app.client.get("/image")).json()) == ([], [])


async def test_long_names_count_and_are_shown_in_part(app: HttpApp) -> None:
    response = await send(app, "generation", {"é" * 33 * KIB: "x"})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "é" * 100)


async def test_nested_options_count_as_a_whole(app: HttpApp) -> None:
    assert (await send(app, "generation", {"nested": [{"a": ["x" * 1000]}] * 60})).status_code == 200
    assert (await send(app, "generation", {"nested": [{"a": ["x" * 1000]}] * 70})).status_code == 400


async def test_what_the_native_route_passes_on_is_limited_by_its_fields(app: HttpApp) -> None:
    names = ("size", "quality", "background", "output_format")
    longest = dict.fromkeys(names, "x" * 255)
    assert (await app.client.post("/image", json={"prompt": "a duck"} | longest)).status_code == 200
    for more in ({"other": "x"}, {"size": "x" * 256}):
        assert (await app.client.post("/image", json={"prompt": "a duck"} | longest | more)).status_code == 422


async def test_the_limits_are_settings() -> None:
    async with http_app(PIXYPROXY_MAX_OPTIONS=2, PIXYPROXY_MAX_OPTION_BYTES=1024) as app:
        responses = [
            await send(app, "generation", {"a": "x", "b": "x"}),
            await send(app, "generation", {"a": "x", "b": "x", "c": "x"}),
            await send(app, "generation", {"a": "x" * 1024}),
        ]
        assert [response.status_code for response in responses] == [200, 400, 400]
        native = await app.client.post("/image", json={"prompt": "a", "size": "1", "quality": "1", "background": "1"})
        assert (native.status_code, "at most 2 options" in native.text) == (422, True)


@pytest.mark.parametrize(
    ("value", "listed"),
    [
        ("x" * 256, "x" * 256),
        ("é" * 257, "é" * 255 + "…"),
        ("x" * 60 * KIB, "x" * 255 + "…"),
        (["x" * 250], ["x" * 250]),
        (["x" * 253], '["' + "x" * 253 + "…"),
        ({"a": {"b": [1] * 200}}, '{"a":{"b":[' + "1," * 122 + "…"),
        (10**300, "1" + "0" * 254 + "…"),
        (None, "absent"),
        (1.5, 1.5),
    ],
)
async def test_lists_cut_long_values_and_say_so(app: HttpApp, value: Any, listed: Any) -> None:
    guid = (await send(app, "generation", {"option": value})).json()["data"][0]["guid"]
    [shown] = (await app.client.get("/image")).json()
    detail = (await app.client.get(f"/image/{guid}")).json()
    assert detail["parameters"].get("option") == value
    assert "parameters_cut" not in detail
    assert shown["parameters"].get("option", "absent") == listed
    assert shown.get("parameters_cut", False) is (listed not in (value, "absent"))


async def test_rows_of_before_the_limits_keep_lists_small() -> None:
    async with http_app(**WITHOUT_LIMITS) as app:
        many = {f"option{number:04}": "x" * 90 for number in range(5000)}
        assert (await send(app, "generation", many)).status_code == 200
        assert (
            await send(app, "generation", {"n" * 100 * KIB: 1, "ok": 2, "large": "x" * 700 * KIB})
        ).status_code == 200
        response = await app.client.get("/image")
        assert len(response.content) < 32 * KIB
        large, listed = response.json()
        assert (large["parameters"], large["parameters_cut"]) == ({"ok": 2, "large": "x" * 255 + "…"}, True)
        assert (len(listed["parameters"]), listed["parameters_cut"]) == (64, True)
        assert (await app.client.get(f"/image/{listed['guid']}")).json()["parameters"] == many


async def pages(app: HttpApp, query: str) -> list[bytes]:
    """Return the bodies of all pages of a list."""
    bodies: list[bytes] = []
    url: str | None = f"/image?{query}"
    while url is not None:
        response = await app.client.get(url)
        assert response.status_code == 200
        bodies.append(response.content)
        url = response.links["next"]["url"] if "next" in response.links else None
        assert len(bodies) < 500
    return bodies


@pytest.mark.parametrize("query", ["limit=200", "limit=200&prompt=duck", "limit=1", "limit=70", ""])
async def test_a_page_ends_at_1_mib_and_the_next_goes_on(app: HttpApp, query: str) -> None:
    made = [(await app.create(prompt=f"duck {number} " + "é" * 31_900))["guid"] for number in range(120)]
    bodies = await pages(app, query)
    assert max(map(len, bodies)) <= MIB
    assert [image["guid"] for body in bodies for image in json.loads(body)] == made[::-1]
    if query == "limit=200":
        # 16 of these pictures fill a page.
        assert [len(json.loads(body)) for body in bodies] == [16] * 7 + [8]


async def test_a_page_has_one_image_at_least() -> None:
    async with http_app(PIXYPROXY_MAX_PAGE_BYTES=1024) as app:
        made = [(await app.create(prompt="x" * 5000))["guid"] for _ in range(3)]
        assert [[image["guid"] for image in json.loads(body)] for body in await pages(app, "")] == [
            [guid] for guid in made[::-1]
        ]


async def test_no_more_images_are_read_at_once_than_a_step_has(app: HttpApp, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [(await app.create(prompt="a duck"))["guid"] for _ in range(130)]
    images, limits = app.container.image_repository(), []
    search = images.search

    async def record(query: ImageQuery) -> Page:
        limits.append(query.limit)
        return await search(query)

    monkeypatch.setattr(images, "search", record)
    response = await app.client.get("/image?limit=120")
    assert [image["guid"] for image in response.json()] == made[:9:-1]
    assert limits == [50, 50, 20]
    assert [image["guid"] for image in (await app.client.get(response.links["next"]["url"])).json()] == made[9::-1]


async def test_what_a_generator_reports_is_bounded_too(app: HttpApp) -> None:
    app.generator.outcome = GeneratedImage(
        PNG, model="m" * 256, revised_prompt="é" * 100_000, usage={"total_tokens": 1, "more": "x" * 17_000}
    )
    detail = await app.create(model="wanted")
    assert (detail["model"], detail["usage"], len(detail["revised_prompt"])) == ("wanted", None, 32_000)


async def test_the_document_says_how_lists_are_cut(app: HttpApp) -> None:
    properties = (await app.client.get("/openapi.json")).json()["components"]["schemas"]["ImageDetail"]["properties"]
    assert properties["parameters_cut"]["const"] is True
    assert "256" in properties["parameters"]["description"]
