"""Edits of pictures by OpenAI's images API and by the native one."""

import asyncio
import base64
import hashlib
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from pixyproxy.application.generation import edit_sources as inputs
from pixyproxy.domain.generation import EditSource, GeneratedImage
from pixyproxy.domain.image import Visibility
from tests.fixtures.core import PNG
from tests.fixtures.http_app import ALICE, BOB, MISSING, HttpApp, basic, http_app
from tests.fixtures.openai.pictures import picture

EDITS = "/v1/images/edits"
OTHER = PNG + b" of a cat"


@pytest.fixture
async def app() -> AsyncIterator[HttpApp]:
    async with http_app() as app:
        record_sources(app)
        yield app


SEEN: list[tuple[list[bytes], dict[str, bytes]]] = []


def record_sources(app: HttpApp) -> None:
    """Make the generator read its files and record them in SEEN."""
    SEEN.clear()

    def read(image: EditSource) -> bytes:
        image.file.seek(0)
        data = image.file.read()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (image.size_bytes, image.sha256)
        return data

    def read_all() -> None:
        request = app.generator.requests[-1]
        attachments = {name: read(image) for name, image in request.attachments.items()}
        SEEN.append(([read(image) for image in request.images], attachments))

    app.generator.on_call = read_all


def data_url(data: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


async def edit(app: HttpApp, auth: tuple[str, str] | None = ALICE, **arguments: Any) -> httpx.Response:
    return await app.client.post(EDITS, auth=basic(auth), **arguments)


def message_of(response: httpx.Response) -> str:
    return str(response.json()["error"]["message"])


def closed(app: HttpApp) -> bool:
    request = app.generator.requests[-1]
    return all(image.file.closed for image in (*request.images, *request.attachments.values()))


async def test_files_are_edited(app: HttpApp) -> None:
    response = await edit(
        app,
        files=[("image[]", ("a.png", PNG)), ("image[]", ("b.png", OTHER)), ("mask", ("m.png", PNG))],
        data={"prompt": "more ducks", "n": "2", "quality": "low", "stream": "false", "tags[]": ["a", "b"]},
    )
    assert response.status_code == 200, response.text
    assert SEEN == [([PNG, OTHER], {"mask": PNG})]
    first, second = response.json()["data"]
    detail = (await app.client.get(f"/image/{second['guid']}")).json()
    assert (detail["prompt"], detail["tags"], detail["derived_from"]) == ("more ducks", ["a", "b"], [])
    assert detail["parameters"] == {"quality": "low", "n": 2}
    assert first["guid"] != second["guid"]
    assert closed(app)


async def test_an_edit_is_answered_before_it_is_made(app: HttpApp) -> None:
    app.generator.gate = asyncio.Event()
    later = {"Prefer": "respond-async", "Idempotency-Key": "later"}
    form: dict[str, Any] = {"files": {"image": OTHER}, "data": {"prompt": "x", "n": "2"}, "headers": later}
    first = await edit(app, **form)
    assert first.status_code == 202
    guids = [picture["guid"] for picture in first.json()["data"]]
    assert first.headers["location"] == f"http://test.example/image/{guids[0]}"
    assert (first.headers["preference-applied"], first.headers["retry-after"]) == ("respond-async", "2")
    again = await edit(app, **form)
    assert (again.status_code, again.json(), again.headers["idempotent-replayed"]) == (202, first.json(), "true")
    app.generator.gate.set()
    await app.container.generation_runner().drain(60)
    app.container.generation_runner().draining = False
    assert SEEN == [([OTHER], {})]
    assert closed(app)
    made = await edit(app, **form)
    assert made.status_code == 200
    assert [picture["guid"] for picture in made.json()["data"]] == guids
    assert made.json()["data"][0]["b64_json"]
    assert (await edit(app, **(form | {"data": {"prompt": "other"}}))).status_code == 422


async def test_a_single_file_named_image_is_edited(app: HttpApp) -> None:
    assert (await edit(app, files={"image": OTHER}, data={"prompt": "x"})).status_code == 200
    assert SEEN == [([OTHER], {})]


async def test_stored_and_inline_pictures_are_edited_and_the_stored_ones_are_recorded_as_sources(app: HttpApp) -> None:
    app.generator.outcome = GeneratedImage(OTHER)
    parent = await app.create()
    app.generator.outcome = GeneratedImage(PNG)
    response = await edit(
        app,
        json={
            "prompt": "both",
            "images": [{"file_id": parent["guid"].upper()}, {"image_url": data_url(PNG)}],
            "mask": {"file_id": parent["guid"]},
            "output_format": "png",
        },
    )
    assert response.status_code == 200, response.text
    assert SEEN[-1] == ([OTHER, PNG], {"mask": OTHER})
    [entry] = response.json()["data"]
    child = (await app.client.get(f"/image/{entry['guid']}")).json()
    assert child["derived_from"] == [parent["guid"]]
    children = await app.client.get("/image", params={"derived_from": parent["guid"].upper()})
    assert [image["guid"] for image in children.json()] == [entry["guid"]]
    none = await app.client.get("/image", params={"derived_from": entry["guid"]})
    assert none.json() == []
    assert (await app.client.get("/image?derived_from=x")).status_code == 422


@pytest.mark.parametrize("several", [True, False])
async def test_the_native_route_edits_stored_images(app: HttpApp, several: bool) -> None:
    parent = await app.create()
    edit_of = [parent["guid"]] if several else parent["guid"]
    child = await app.create(edit_of=edit_of, size="1x1")
    assert (child["derived_from"], child["parameters"]) == ([parent["guid"]], {"size": "1x1"})
    assert SEEN[-1] == ([PNG], {})


@pytest.mark.parametrize("edit_of", ["x", [], ["x"], 5, [MISSING] * 17])
async def test_the_native_route_validates_edit_of(app: HttpApp, edit_of: object) -> None:
    response = await app.client.post("/image", json={"prompt": "x", "edit_of": edit_of})
    assert response.status_code == 422
    assert response.json()["errors"][0]["loc"][0] == "edit_of"


async def test_an_image_that_the_caller_may_not_see_cannot_be_edited(app: HttpApp) -> None:
    private = await app.create(visibility="private")
    body = {"prompt": "x", "images": [{"file_id": private["guid"]}]}
    assert (await edit(app, json=body)).status_code == 200
    for guid, auth in ((private["guid"], BOB), (private["guid"], None), (MISSING, ALICE), ("../x", ALICE)):
        response = await edit(app, auth, json=body | {"images": [{"file_id": guid}]})
        assert (response.status_code, "There is no image" in message_of(response)) == (404, True)
        native = await app.client.post("/image", json={"prompt": "x", "edit_of": private["guid"]}, auth=basic(BOB))
        assert native.status_code == 404
    assert len(app.generator.requests) == 2


async def test_an_image_without_bytes_cannot_be_edited(app: HttpApp) -> None:
    app.generator.outcome = GeneratedImage(b"no picture")
    failed = await app.client.post("/image", json={"prompt": "x"}, auth=basic(ALICE))
    response = await edit(app, json={"prompt": "x", "images": [{"file_id": failed.json()["guid"]}]})
    assert response.status_code == 409


async def test_a_generator_that_cannot_edit_raises_an_error(app: HttpApp) -> None:
    app.generator.edits = False
    response = await edit(app, files={"image": PNG}, data={"prompt": "x"})
    assert response.status_code == 400
    assert "cannot edit" in message_of(response)
    parent = await app.create()
    native = await app.client.post("/image", json={"prompt": "x", "edit_of": parent["guid"]})
    assert (native.status_code, native.json()["code"]) == (400, "editing-unsupported")
    assert len(app.generator.requests) == 1


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (None, "must be given"),
        ([], "must be given"),
        ("x", "must be a data: URL, the GUID"),
        ("", "must be a data: URL, the GUID"),
        (["x"], "must be a data: URL, the GUID"),
        (5, "must hold either file_id"),
        ([{"image_url": {"url": 5}}], "must hold either file_id"),
        ([{}], "must hold either file_id"),
        ([{"file_id": MISSING, "image_url": data_url(PNG)}], "must hold either file_id"),
        ([{"file_id": 5}], "must hold either file_id"),
        ([{"file_id": MISSING, "detail": "high"}], "must hold either file_id"),
        ([{"image_url": "https://example.org/a.png"}], "other addresses are not fetched"),
        ([{"image_url": "file:///etc/passwd"}], "other addresses are not fetched"),
        ([{"image_url": "data:image/png,x"}], "must be a picture"),
        ([{"image_url": "data:image/png;base64"}], "with a comma"),
        ([{"image_url": "data:image/png;base64,####"}], "valid base64"),
        ([{"image_url": data_url(b"no picture")}], "must be a picture"),
        ([{"image_url": data_url(b"")}], "must be a picture"),
        ([{"image_url": data_url(PNG)}] * 17, "at most 16"),
    ],
)
async def test_invalid_pictures_are_named(app: HttpApp, images: object, words: str) -> None:
    response = await edit(app, json={"prompt": "x", "images": images})
    assert (response.status_code, words in message_of(response)) == (400, True), response.text
    assert app.generator.requests == []


async def test_a_mask_alone_or_no_picture_at_all_is_refused(app: HttpApp) -> None:
    for arguments in ({"files": {"mask": PNG}, "data": {"prompt": "x"}}, {"files": {"n": (None, "1")}}):
        response = await edit(app, **arguments)
        assert (response.status_code, response.json()["error"]["param"]) == (400, "image")


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"x", "text/plain", 415),
        (b"[]", "application/json", 400),
        (b"{", "application/json", 400),
        (b"nonsense", "multipart/form-data; boundary=x", 400),
        (b"nonsense", "multipart/form-data", 400),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused(app: HttpApp, body: bytes, content_type: str, status: int) -> None:
    response = await edit(app, content=body, headers={"Content-Type": content_type})
    assert (response.status_code, response.json()["error"]["type"]) == (status, "invalid_request_error")


async def test_a_repeated_field_is_refused(app: HttpApp) -> None:
    response = await edit(app, files={"image": PNG}, data={"prompt": ["x", "y"]})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "prompt")


async def test_a_large_body_or_picture_is_refused(app: HttpApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "MAX_SOURCE_BYTES", len(PNG))
    single = await edit(app, files={"image": OTHER}, data={"prompt": "x"})
    assert (single.status_code, "must be at most" in message_of(single)) == (400, True)
    monkeypatch.setattr(inputs, "MAX_SOURCES_BYTES", 2 * len(PNG))
    files = [("image", PNG), ("image", PNG), ("mask", PNG)]
    together = await edit(app, files=files, data={"prompt": "x"})
    assert (together.status_code, "together" in message_of(together)) == (400, True)
    declared = await edit(app, content=b"{}", headers={"Content-Type": "application/json", "Content-Length": "1" * 10})
    assert declared.status_code == 413
    stored = await app.create()
    monkeypatch.setattr(inputs, "MAX_SOURCE_BYTES", len(PNG) - 1)
    response = await edit(app, json={"prompt": "x", "images": [{"file_id": stored["guid"]}]})
    assert response.status_code == 400
    assert len(app.generator.requests) == 1


async def test_the_pictures_are_part_of_the_fingerprint(app: HttpApp) -> None:
    async def keyed(data: bytes) -> httpx.Response:
        return await edit(
            app, files={"image": io.BytesIO(data)}, data={"prompt": "x"}, headers={"Idempotency-Key": "k"}
        )

    first, second = await keyed(PNG), await keyed(PNG)
    assert first.json()["data"][0]["guid"] == second.json()["data"][0]["guid"]
    assert (await keyed(OTHER)).status_code == 422
    assert len(app.generator.requests) == 1


async def test_the_events_of_an_edit_have_their_own_names(app: HttpApp) -> None:
    response = await edit(app, files={"image": PNG}, data={"prompt": "x", "stream": "true"})
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.text.startswith("event: image_edit.completed\n")
    assert json.loads(response.text.split("\n")[1].removeprefix("data: "))["type"] == "image_edit.completed"


async def test_a_private_edit_belongs_to_its_author(app: HttpApp) -> None:
    response = await edit(app, files={"image": PNG}, data={"prompt": "x", "visibility": "private"})
    image = await app.container.image_repository().get(response.json()["data"][0]["guid"])
    assert (image.request.visibility, image.request.author) == (Visibility.PRIVATE, "alice")


async def test_a_repeated_attachment_is_refused(app: HttpApp) -> None:
    files = [("image", PNG), ("mask", PNG), ("mask", PNG)]
    response = await edit(app, files=files, data={"prompt": "x"})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "mask")


async def test_a_body_of_very_many_values_is_refused_before_it_is_parsed(app: HttpApp) -> None:
    response = await edit(app, json={"prompt": "x", "images": [{}] * 60_000})
    assert (response.status_code, "values" in message_of(response)) == (413, True)
    many = {f"picture{number}": {"file_id": MISSING} for number in range(17)}
    response = await edit(app, json={"prompt": "x", "images": [{"file_id": MISSING}], **many})
    assert (response.status_code, "further pictures" in message_of(response)) == (400, True)


async def test_a_call_that_is_cancelled_at_its_start_leaves_the_edit_sources_open(
    app: HttpApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, images = app.container.image_service(), app.container.image_repository()
    add_batch, reached, go_on = images.add_batch, asyncio.Event(), asyncio.Event()

    async def slow(drafts: Any) -> Any:
        reached.set()
        await go_on.wait()
        return await add_batch(drafts)

    monkeypatch.setattr(images, "add_batch", slow)
    sources = inputs.SourceReferences([io.BytesIO(PNG)])
    call = asyncio.create_task(service.generate("alice", {"prompt": "x"}, sources))
    await reached.wait()
    call.cancel()
    await asyncio.wait([call])
    go_on.set()
    while not (await service.search("alice", {})).items:
        await asyncio.sleep(0)
    assert SEEN == [([PNG], {})]
    await asyncio.sleep(0)
    assert closed(app)


async def test_an_address_of_this_service_stands_for_the_stored_image() -> None:
    async with http_app(PIXYPROXY_PUBLIC_URL="https://Img.example/pixy") as app:
        record_sources(app)
        app.generator.outcome = GeneratedImage(OTHER)
        stored = await app.create()
        app.generator.outcome = GeneratedImage(PNG)
        guid, path = stored["guid"], stored["content_url"]
        assert path.startswith("/pixy/image/")
        for address in (
            path,
            f"https://img.example{path}",
            f"https://img.example:443{path}?download=1",
            f"http://test.example/image/{guid}/content",
            f"http://test.example/image/{guid.upper()}/content/any-name.png",
            f"/image/{guid}/content/a%20b.png",
            f"/image/{guid}",
        ):
            for images in (address, [address], {"image_url": address}, [{"file_id": address}]):
                response = await edit(app, json={"prompt": "x", "images": images})
                assert (response.status_code, SEEN[-1]) == (200, ([OTHER], {})), response.text
        made = len(app.generator.requests)
        for address in (
            f"https://other.example{path}",
            f"https://img.example:8443{path}",
            f"ftp://img.example{path}",
            f"/other/image/{guid}/content",
            f"/image/{guid}/thumbnail",
            f"/image/{guid}/content/a/b",
            "/image/x/content",
            "http://[img.example",
        ):
            response = await edit(app, json={"prompt": "x", "images": [{"image_url": address}]})
            assert (response.status_code, "an address of this service" in message_of(response)) == (400, True)
        assert len(app.generator.requests) == made


async def test_a_signed_address_opens_a_private_image(app: HttpApp) -> None:
    private = (await edit(app, files={"image": OTHER}, data={"prompt": "x", "visibility": "private"})).json()
    guid = private["data"][0]["guid"]
    query = app.container.signed_urls().query_for(guid)
    address = f"http://test.example/image/{guid}/content"
    for auth, sent, status in (
        (BOB, f"{address}?{query}", 200),
        (None, f"/image/{guid}/content/a.png?{query}", 200),
        (BOB, address, 404),
        (BOB, f"{address}?{query}x", 404),
        (ALICE, address, 200),
        (ALICE, f"{address}?{query}x", 200),
    ):
        response = await edit(app, auth, json={"prompt": "x", "images": sent, "mask": sent})
        assert response.status_code == status, (auth, sent)
    # A signature opens the image that it was made for, and no other.
    other = (await edit(app, files={"image": OTHER}, data={"prompt": "x", "visibility": "private"})).json()
    images = [f"{address}?{query}", other["data"][0]["guid"]]
    assert (await edit(app, BOB, json={"prompt": "x", "images": images})).status_code == 404


SMALL, LARGE = picture("a small duck", "png", 500), picture("a duck", "png", 40_000)
SHORT, BARE = (base64.b64encode(data).decode() for data in (SMALL, LARGE))


async def test_pictures_in_json_may_have_the_names_and_forms_of_other_clients(app: HttpApp) -> None:
    one, two = data_url(PNG), data_url(OTHER)
    for body, seen in (
        ({"image": one}, ([PNG], {})),
        ({"image": [one, two]}, ([PNG, OTHER], {})),
        ({"images": {"image_url": {"url": one, "detail": "high"}}}, ([PNG], {})),
        ({"image": {"image_url": one, "file_id": None}}, ([PNG], {})),
        ({"image[]": [one, two]}, ([PNG, OTHER], {})),
        ({"image[1]": one, "image[0]": two}, ([OTHER, PNG], {})),
        ({"images": [one], "image": None, "mask": None}, ([PNG], {})),
        ({"images": [one], "mask": two}, ([PNG], {"mask": OTHER})),
        ({"images": [one], "mask": [{"image_url": two}]}, ([PNG], {"mask": OTHER})),
        ({"images": [one], "style": {"image_url": two}}, ([PNG], {"style": OTHER})),
        ({"images": [one], "style": two}, ([PNG], {"style": OTHER})),
        ({"image": {"url": one, "type": "image_url"}}, ([PNG], {})),
        ({"image": [{"type": "image_url", "image_url": {"url": one}}, {"url": two}]}, ([PNG, OTHER], {})),
        ({"images": [{"type": "input_image", "image_url": one}]}, ([PNG], {})),
        ({"image_url": one}, ([PNG], {})),
        ({"image": {"b64_json": BARE}}, ([LARGE], {})),
        ({"image": [{"base64": BARE}, {"base64": one}]}, ([LARGE, PNG], {})),
        ({"image_urls": [one, two]}, ([PNG, OTHER], {})),
        ({"input_image": one, "mask_image": two}, ([PNG], {"mask": OTHER})),
        ({"image": one, "mask_url": two}, ([PNG], {"mask": OTHER})),
        ({"image": BARE}, ([LARGE], {})),
        ({"images": [{"image_url": BARE}], "mask": one}, ([LARGE], {"mask": PNG})),
        ({"image": f" {SHORT}\n"}, ([SMALL], {})),
    ):
        response = await edit(app, json={"prompt": "x", **body})
        assert (response.status_code, SEEN[-1]) == (200, seen), body
        guid = response.json()["data"][0]["guid"]
        assert (await app.client.get(f"/image/{guid}")).json()["parameters"] == {}
    made = len(app.generator.requests)
    for body, words in (
        ({"image": one, "images": [two]}, "under one name"),
        ({"image": one, "image[0]": two}, "under one name"),
        ({"image": one, "mask": [one, two]}, "given once only"),
        ({"image": one, "mask": ""}, "must be a data: URL"),
        ({"image": "iVBORw0KGgo" + "####" * 30}, "valid base64"),
        ({"image": "R0lGOD" + "A" * 94}, "must be a picture"),
        ({"image": base64.b64encode(b"no picture" * 20).decode()}, "must be a data: URL"),
        ({"image": {"url": "https://example.org/a.png"}}, "other addresses are not fetched"),
        ({"image": {"url": one, "type": "text"}}, "must hold either file_id"),
        ({"image": {"url": one, "image_url": two}}, "must hold either file_id"),
        ({"image": one, "mask": True}, "must hold either file_id"),
        ({"image": [one] * 9, "image[]": [one] * 9}, "at most 16"),
    ):
        response = await edit(app, json={"prompt": "x", **body})
        assert (response.status_code, words in message_of(response)) == (400, True), response.text
    assert len(app.generator.requests) == made
