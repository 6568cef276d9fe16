"""Thumbnails over HTTP: formats, headers, conditions, errors."""

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl

import pytest
from PIL import Image
from starlette.requests import Request

from pixyproxy.domain.generation import GeneratedImage
from pixyproxy.entrypoints.http.api.requests import accepts
from tests.fixtures.http_app import ALICE, BOB, MISSING, HttpApp, basic, http_app, log_lines


def png(size: tuple[int, int] = (640, 480)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "red").save(out, "PNG")
    return out.getvalue()


@pytest.fixture
async def app() -> AsyncIterator[HttpApp]:
    async with http_app() as opened:
        opened.generator.outcome = GeneratedImage(png())
        yield opened


async def test_a_thumbnail_with_all_its_headers(app: HttpApp) -> None:
    detail = await app.create(prompt="Ente 🦆 ÖÄ", filename="Önt.png")
    assert detail["thumbnail_url"] == f"/image/{detail['guid']}/thumbnail"
    assert detail["placeholder"] is None
    response = await app.client.get(detail["thumbnail_url"])
    found = Image.open(io.BytesIO(response.content))
    assert (response.status_code, found.format, found.size) == (200, "WEBP", (256, 192))
    headers = response.headers
    assert headers["content-type"] == "image/webp"
    assert headers["content-length"] == str(len(response.content))
    assert headers["etag"] == f'"{detail["sha256"][:32]}-256.webp"'
    assert headers["vary"] == "Accept"
    assert headers["cache-control"] == "public, max-age=3600"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-disposition"] == "inline; filename=\"_nt.webp\"; filename*=UTF-8''%C3%96nt.webp"
    content = await app.client.get(detail["content_url"])
    assert headers["last-modified"] == content.headers["last-modified"]
    head = await app.client.head(detail["thumbnail_url"])
    assert (head.status_code, dict(head.headers) | {"x-request-id": ""}) == (200, dict(headers) | {"x-request-id": ""})


@pytest.mark.parametrize(("size", "expected"), [(128, (128, 96)), (512, (512, 384)), (1024, (640, 480))])
async def test_a_thumbnail_has_the_requested_size(app: HttpApp, size: int, expected: tuple[int, int]) -> None:
    detail = await app.create()
    response = await app.client.get(detail["thumbnail_url"], params={"size": size})
    assert Image.open(io.BytesIO(response.content)).size == expected
    assert f"-{size}." in response.headers["etag"]


@pytest.mark.parametrize(
    "query", ["size=0", "size=300", "size=", "size=256.0", "size=%C3", "size=128&size=256", "width=3", "size=ten"]
)
async def test_unknown_sizes_and_parameters_are_refused(app: HttpApp, query: str) -> None:
    detail = await app.create()
    response = await app.client.get(f"{detail['thumbnail_url']}?{query}")
    assert (response.status_code, response.json()["code"]) == (422, "validation-failed")
    assert response.json()["errors"][0]["loc"][0] in {"size", "width", "query"}


async def test_the_format_is_jpeg_if_webp_is_excluded(app: HttpApp) -> None:
    detail = await app.create(filename="duck.png")
    response = await app.client.get(detail["thumbnail_url"], headers={"Accept": "image/png, image/jpeg"})
    assert response.headers["content-type"] == "image/jpeg"
    assert response.headers["content-disposition"] == 'inline; filename="duck.jpg"'
    assert response.headers["vary"] == "Accept"
    assert response.headers["etag"].endswith('-256.jpg"')
    assert Image.open(io.BytesIO(response.content)).format == "JPEG"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ([], True),
        ([""], True),
        (["*/*"], True),
        (["image/*"], True),
        (["IMAGE/WebP"], True),
        (["image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"], True),
        (["image/png", "image/webp;q=0.1"], True),
        (["image/jpeg"], False),
        (["text/html, image/png;q=0.5"], False),
        (["image/webp;q=0"], False),
        (["image/webp; q=0.000, */*"], False),
        (["*/*, image/webp;Q=0"], False),
        (["image/*;q=0, */*"], False),
        (["image/*;q=0, image/webp"], True),
        (["*/*;q=0"], False),
        (["*/*;q=0", "image/*"], True),
        (["image/webp;q=0.001"], True),
        (["image/webp;level=1"], False),
        (["text/webp, webp, ;;,"], False),
    ],
)
def test_accept_selects_media_types(accept: list[str], expected: bool) -> None:
    headers = [(b"accept", value.encode()) for value in accept]
    assert accepts(Request({"type": "http", "headers": headers}), "image/webp") is expected


async def test_a_thumbnail_that_the_client_has_is_neither_read_nor_made(
    app: HttpApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    detail = await app.create()
    etag = f'"{detail["sha256"][:32]}-256.webp"'

    async def refuse(*_: object, **__: object) -> Any:
        raise AssertionError("the store or the scaler was used")

    monkeypatch.setattr(app.blobs, "read", refuse)
    for name in ("get", "put"):
        monkeypatch.setattr(app.container.thumbnail_store(), name, refuse)
    monkeypatch.setattr(app.container.scaler(), "scale", refuse)
    for condition in ({"If-None-Match": f'"x", W/{etag}'}, {"If-Modified-Since": "Sat, 21 Nov 2026 11:00:00 GMT"}):
        response = await app.client.get(detail["thumbnail_url"], headers=condition)
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["etag"] == etag
        assert response.headers["vary"] == "Accept"
        assert response.headers["cache-control"] == "public, max-age=3600"
        assert "content-type" not in response.headers
    response = await app.client.get(detail["thumbnail_url"], headers={"If-Match": '"other"'})
    assert response.status_code == 412


async def test_each_size_and_format_has_its_own_entity_tag(app: HttpApp) -> None:
    detail = await app.create()
    etag = f'"{detail["sha256"][:32]}-256.webp"'
    for url, accept in (("?size=128", "*/*"), ("", "image/jpeg")):
        headers = {"If-None-Match": etag, "Accept": accept}
        assert (await app.client.get(detail["thumbnail_url"] + url, headers=headers)).status_code == 200


async def test_a_private_thumbnail_is_for_its_author(app: HttpApp) -> None:
    detail = await app.create(visibility="private")
    etag = f'"{detail["sha256"][:32]}-256.webp"'
    own = await app.client.get(detail["thumbnail_url"], auth=basic(ALICE))
    assert (own.status_code, own.headers["cache-control"]) == (200, "private, no-store")
    missing = await app.client.get(f"/image/{MISSING}/thumbnail")
    for auth in (None, BOB):
        refused = await app.client.get(detail["thumbnail_url"], auth=basic(auth), headers={"If-None-Match": etag})
        assert refused.status_code == missing.status_code == 404
        assert refused.json()["detail"] == missing.json()["detail"]
    assert (await app.client.get("/image/nonsense/thumbnail")).status_code == 404


async def test_a_signed_address_grants_access(app: HttpApp) -> None:
    detail = await app.create(visibility="private")
    signed = dict(parse_qsl(app.container.signed_urls().query_for(detail["guid"])))
    response = await app.client.get(detail["thumbnail_url"], params=signed | {"size": "128"})
    assert (response.status_code, response.headers["cache-control"]) == (200, "private, no-store")
    for wrong in ({"expires": signed["expires"]}, signed | {"signature": "x"}, signed | {"expires": "1"}):
        assert (await app.client.get(detail["thumbnail_url"], params=wrong)).status_code == 404


async def test_a_drawing_or_a_damaged_picture_has_no_thumbnail(app: HttpApp) -> None:
    for data in (b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', png()[:60]):
        app.generator.outcome = GeneratedImage(data)
        detail = await app.create()
        response = await app.client.get(detail["thumbnail_url"])
        assert (response.status_code, response.json()["code"]) == (422, "validation-failed")
        assert (await app.client.get(detail["content_url"])).status_code == 200


async def test_an_image_has_no_thumbnail_until_it_is_ready(app: HttpApp) -> None:
    app.generator.gate = asyncio.Event()
    begun = await app.client.post("/image", json={"prompt": "x"}, headers={"Prefer": "respond-async"})
    url = begun.json()["thumbnail_url"]
    response = await app.client.get(url)
    assert (response.status_code, response.headers["retry-after"]) == (409, "2")
    app.generator.gate.set()
    await app.container.generation_runner().drain(60)
    assert (await app.client.get(f"{url}/")).status_code == 200


async def test_a_thumbnail_is_made_once_and_with_the_placeholder(app: HttpApp) -> None:
    detail = await app.create()
    with log_lines() as lines:
        for _ in range(3):
            await app.client.get(detail["thumbnail_url"])
    assert sum("made thumbnail" in line for line in lines) == 1
    found = (await app.client.get(f"/image/{detail['guid']}")).json()
    assert found["placeholder"].startswith("data:image/webp;base64,")
    assert found["updated_at"] == detail["updated_at"]


async def test_the_thumbnail_route_is_documented(app: HttpApp) -> None:
    document = (await app.client.get("/openapi.json")).json()
    route = document["paths"]["/image/{guid}/thumbnail"]["get"]
    assert [(one["name"], one["in"]) for one in route["parameters"]] == [
        ("guid", "path"), ("size", "query"), ("expires", "query"), ("signature", "query"),
    ]  # fmt: skip
    size = next(one for one in route["parameters"] if one["name"] == "size")["schema"]
    assert (size["enum"], size["default"]) == ([128, 256, 512, 1024], 256)
    assert {"200", "304", "401", "404", "409", "412", "422", "503"} <= set(route["responses"])
    assert set(route["responses"]["200"]["content"]) == {"image/webp", "image/jpeg"}
    assert "GetThumbnail" not in document["components"]["schemas"]
