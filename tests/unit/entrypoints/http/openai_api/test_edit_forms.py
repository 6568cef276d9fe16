"""Forms of edits as browsers, .NET, PHP and others send them."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest

from pixyproxy.domain.generation import EditSource, GeneratedImage
from pixyproxy.entrypoints.http.openai_api import multipart_form
from tests.fixtures.core import PNG
from tests.fixtures.http_app import ALICE, MISSING, HttpApp, basic, http_app

EDITS = "/v1/images/edits"
OTHER, THIRD = PNG + b" of a cat", PNG + b" of a dog"
URL = f"data:image/png;base64,{base64.b64encode(OTHER).decode()}"
PROMPT = ('name="prompt"', b"a duck")
IMAGE = ('name="image"; filename="a.png"', PNG)
FILE = 'filename="a.png"\r\nContent-Type: image/png'


class Seen(NamedTuple):
    """The prompt, the pictures and the options that reached the generator."""

    prompt: str
    images: list[bytes]
    attachments: dict[str, bytes]
    options: dict[str, Any]


SEEN: list[Seen] = []


@pytest.fixture
async def app() -> AsyncIterator[HttpApp]:
    SEEN.clear()

    def read(image: EditSource) -> bytes:
        image.file.seek(0)
        return image.file.read()

    def note() -> None:
        request = app.generator.requests[-1]
        attachments = {name: read(image) for name, image in request.attachments.items()}
        SEEN.append(Seen(request.prompt, [read(image) for image in request.images], attachments, dict(request.options)))

    async with http_app() as app:
        app.generator.on_call = note
        yield app


def form(*parts: tuple[str, bytes], end: bytes = b"--X--\r\n") -> bytes:
    """Return a form whose parts are given as headers after `form-data; ` and content."""
    return b"".join(
        b"--X\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (headers.encode(), content)
        for headers, content in parts
    ) + (end)


async def send(app: HttpApp, body: bytes, more: str = "") -> tuple[int, dict[str, Any]]:
    headers = {"Content-Type": f"multipart/form-data; boundary=X{more}"}
    response = await app.client.post(EDITS, content=body, headers=headers, auth=basic(ALICE))
    return response.status_code, response.json()


async def accepted(app: HttpApp, *parts: tuple[str, bytes], more: str = "") -> Seen:
    status, answer = await send(app, form(*parts), more)
    assert status == 200, answer
    return SEEN[-1]


async def refused(app: HttpApp, *parts: tuple[str, bytes], more: str = "") -> str:
    status, answer = await send(app, form(*parts), more)
    assert (status, app.generator.requests) == (400, []), answer
    return str(answer["error"]["message"])


# --- pictures as text -----------------------------------------------------------------------------------------


async def test_a_mask_given_as_text_is_a_picture(app: HttpApp) -> None:
    app.generator.outcome = GeneratedImage(OTHER)
    stored = await app.create(visibility="private")
    guid, path = stored["guid"], stored["content_url"]
    app.generator.outcome = GeneratedImage(PNG)
    for name in ("mask", "mask[]", "mask[0]", "mask[image_url]"):
        for text in (URL, f"\r\n{URL}\n", guid, f" {guid}\n", path, f"http://test.example{path}"):
            seen = await accepted(app, PROMPT, IMAGE, (f'name="{name}"', text.encode()))
            assert seen == Seen("a duck", [PNG], {"mask": OTHER}, {})
    newest = (await app.client.get("/image")).json()[0]
    assert newest["parameters"] == {}


async def test_a_picture_is_no_plain_option_under_any_name(app: HttpApp) -> None:
    for name in ("reference", "init_image", "style"):
        for text in (URL, f"\n{URL}", URL.replace("data:image", "DATA:Image")):
            assert (await accepted(app, PROMPT, IMAGE, (f'name="{name}"', text.encode()))).attachments == {name: OTHER}
    for name in ("image_url", "image_url[]", "input_image", "image[0][url]"):
        assert (await accepted(app, PROMPT, (f'name="{name}"', URL.encode()))).images == [OTHER]
    assert (await accepted(app, ('name="prompt"', URL.encode()), IMAGE)).prompt == URL
    assert (await accepted(app, PROMPT, IMAGE, ('name="style"', b"data: none"))).options == {"style": "data: none"}


async def test_empty_fields_and_flags_of_php_are_read(app: HttpApp) -> None:
    for name in ("n", "stream", "response_format"):
        assert (await accepted(app, PROMPT, IMAGE, (f'name="{name}"', b""))).options == {}
    for name in ("model", "size", "quality", "user", "style", "output_format"):
        assert (await accepted(app, PROMPT, IMAGE, (f'name="{name}"', b""))).options == {}
    for number in (b"2", b" 2\r\n", b"2.0"):
        await accepted(app, PROMPT, IMAGE, ('name="n"', number))
        assert app.generator.requests[-1].n == 2
    for flag in (b"0", b"False", b"off"):
        assert (await accepted(app, PROMPT, IMAGE, ('name="stream"', flag))).options == {}
    body = form(PROMPT, IMAGE, ('name="stream"', b"1"))
    headers = {"Content-Type": "multipart/form-data; boundary=X"}
    response = await app.client.post(EDITS, content=body, headers=headers, auth=basic(ALICE))
    assert response.headers["content-type"].startswith("text/event-stream")
    app.generator.requests.clear()
    assert "stream" in await refused(app, PROMPT, IMAGE, ('name="stream"', b"perhaps"))
    for number in (b"two", b"-1", b"1.5", b"0x2", b"1" * 30):
        assert "n:" in await refused(app, PROMPT, IMAGE, ('name="n"', number))


async def test_other_texts_in_place_of_a_picture_are_refused(app: HttpApp) -> None:
    for name in ("mask", "mask[]", "mask[0]", "image", "images[]", "image[3]", "images[0][file_id]"):
        for text in ("yes", "https://example.org/a.png", "file:///etc/passwd", "/etc/passwd", "[object File]"):
            image = [IMAGE] if name.startswith("mask") else []
            message = await refused(app, PROMPT, (f'name="{name}"', text.encode()), *image)
            assert "must be a data: URL, the GUID of a stored image, or an address of this service" in message


async def test_a_text_that_is_no_picture_is_refused(app: HttpApp) -> None:
    assert "must be a picture" in await refused(app, PROMPT, IMAGE, ('name="mask"', b"data:image/png;base64,QUFB"))
    assert "valid base64" in await refused(app, PROMPT, IMAGE, ('name="mask"', b"data:image/png;base64,####"))
    status, answer = await send(app, form(PROMPT, ('name="image"', MISSING.encode())))
    assert (status, "There is no image" in answer["error"]["message"]) == (404, True)


async def test_images_keep_their_order(app: HttpApp) -> None:
    for names in (
        ["image"] * 3,
        ["image[]"] * 3,
        ["images"] * 3,
        ["image", "image[]", "image"],
    ):
        parts = [(f'name="{name}"; {FILE}', data) for name, data in zip(names, (PNG, OTHER, THIRD), strict=True)]
        assert (await accepted(app, PROMPT, *parts)).images == [PNG, OTHER, THIRD]


async def test_numbered_images_are_in_the_order_of_their_numbers(app: HttpApp) -> None:
    parts = [(f'name="image[{n}]"; {FILE}', data) for n, data in ((10, THIRD), (0, PNG), (2, OTHER))]
    assert (await accepted(app, PROMPT, *parts)).images == [PNG, OTHER, THIRD]


async def test_images_in_an_ambiguous_order_are_refused(app: HttpApp) -> None:
    for names in (
        ["image[0]", "image[0]"],
        ["image", "image[0]"],
        ["image", "images[]"],
    ):
        assert "under one name" in await refused(app, PROMPT, *((f'name="{name}"; {FILE}', PNG) for name in names))


# --- text -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("charset_of", "more", "charset"),
    [
        ("field", "", "gbk"),
        ("field", "", "Shift_JIS"),
        ("field", "; charset=utf-8", "gbk"),
        ("part", "", "gbk"),
        ("form", "; charset=gbk", "gbk"),
        ("none", "", "utf-8"),
        ("part", "", "us-ascii"),  # which some clients declare for whatever they send
    ],
)
async def test_text_is_read_in_the_charset_that_is_named(
    app: HttpApp, charset_of: str, more: str, charset: str
) -> None:
    text = "かも鸭".replace("鸭", "") if charset == "Shift_JIS" else "鸭子"
    encoded = text.encode("utf-8" if charset == "us-ascii" else charset)
    parts = [('name="_charset_"', charset.encode())] if charset_of == "field" else []
    prompt = 'name="prompt"' + (f"\r\nContent-Type: text/plain; charset={charset}" if charset_of == "part" else "")
    for order in (1, -1):
        seen = await accepted(app, *[*parts, (prompt, encoded), IMAGE][::order], more=more)
        assert (seen.prompt, seen.options) == (text, {})


async def test_text_that_is_not_in_its_charset_is_refused(app: HttpApp) -> None:
    for charset in (
        "",
        "utf-8",
        "nonsense",
        "hex",
        "idna",
        "utf-7",
        "\xff",
    ):
        parts = [('name="_charset_"', charset.encode("latin-1")), ('name="prompt"', "鸭子".encode("gbk")), IMAGE]
        assert "send UTF-8, or name the charset in a field _charset_" in await refused(app, *parts)
        plain = [('name="_charset_"', charset.encode("latin-1")), PROMPT, IMAGE]
        if charset not in {"", "utf-8"}:
            assert "is not text in" in await refused(app, *plain)


async def test_every_text_of_a_form_is_checked(app: HttpApp) -> None:
    rubbish = "鸭子".encode("gbk")
    for name in ("size", "tags[]", "filename", "visibility", "unknown"):
        assert f"{name}: is not text in utf-8" in await refused(app, PROMPT, IMAGE, (f'name="{name}"', rubbish))
    named = form(PROMPT, IMAGE).replace(b'"prompt"', b'"' + rubbish + b'"')
    status, answer = await send(app, named)
    assert (status, "The name of a field" in answer["error"]["message"]) == (400, True)


@pytest.mark.parametrize(
    ("encoding", "prompt", "image"),
    [
        ("base64", base64.encodebytes("鸭子".encode()), base64.encodebytes(PNG)),
        ("Quoted-Printable", b"=E9=B8=AD=E5=AD=\r\n=90", None),
        ("8bit", "鸭子".encode(), None),
        ("binary", "鸭子".encode(), PNG),
    ],
)
async def test_transfer_encodings_are_decoded(app: HttpApp, encoding: str, prompt: bytes, image: bytes | None) -> None:
    field = f"\r\nContent-Transfer-Encoding: {encoding}"
    picture = IMAGE if image is None else (f'name="image"; {FILE}{field}', image)
    seen = await accepted(app, (f'name="prompt"{field}', prompt), picture)
    assert (seen.prompt, seen.images) == ("鸭子", [PNG])


async def test_wrong_transfer_encodings_are_refused(app: HttpApp) -> None:
    for encoding, content in (("base64", b"####"), ("uuencode", b"x")):
        field = f"\r\nContent-Transfer-Encoding: {encoding}"
        await refused(app, (f'name="prompt"{field}', content), IMAGE)
        await refused(app, PROMPT, (f'name="image"; {FILE}{field}', content))


async def test_a_text_may_be_sent_as_a_file(app: HttpApp) -> None:
    prompt = ('name="prompt"; filename="p.txt"\r\nContent-Type: text/plain', "鸭子".encode())
    assert (await accepted(app, prompt, IMAGE)).prompt == "鸭子"


async def test_a_long_text_is_refused(app: HttpApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart_form, "MAX_TEXTS_BYTES", 2048)
    for sizes in ([2049], [1024, 1024, 1024]):
        texts = [(f'name="option{number}"', b"x" * size) for number, size in enumerate(sizes)]
        assert "with all other texts, at most 2 KiB" in await refused(app, PROMPT, IMAGE, *texts)


# --- slots, parts and the end ---------------------------------------------------------------------------------


async def test_a_slot_that_was_given_no_file_does_not_count(app: HttpApp) -> None:
    for slot in (
        ('name="mask"; filename=""', b""),
        ('name="mask"; filename=""\r\nContent-Type: application/octet-stream', b""),
        ('name="image"; filename=""', b""),
        ('name="image[]"; filename=""\r\nContent-Type: application/octet-stream', b""),
        ('name="mask"', b""),
        ('name="reference"; filename=""', b""),
    ):
        assert await accepted(app, PROMPT, slot, IMAGE) == Seen("a duck", [PNG], {}, {})


async def test_a_slot_alone_is_no_picture(app: HttpApp) -> None:
    assert "must be given" in await refused(app, PROMPT, ('name="image"; filename=""', b""))
    assert "must be a picture" in await refused(app, PROMPT, ('name="image"; filename="a.png"', b""))


async def test_a_picture_needs_no_file_name(app: HttpApp) -> None:
    for headers in (
        'name="image"\r\nContent-Type: image/png',
        "name=image\r\nContent-Type: image/png",
        'name="image"\r\nContent-Type: application/octet-stream',
        'name="image"',
        'name="image"; filename=""\r\nContent-Type: image/png',
        "name=image; filename=a.png; filename*=utf-8''a.png",
        "name=\"image\"; filename*=UTF-8''%e9%b8%ad.png",
        "name='image'; filename='a.png'",
        'filename="a.png"; name="image"',
        'name="image"; filename="a\\"b;c.png"',
        'name="image"; filename="C:\\\\fakepath\\\\a.png"',
        'name="image"; filename="=?UTF-8?B?YS5wbmc=?="\r\nContent-Type: image/png\r\nContent-Length: 15',
        'name="image"; filename="blob"\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: BINARY',
        'name="image"; filename="a.txt"\r\nContent-Type: text/plain',
    ):
        assert (await accepted(app, PROMPT, (headers, PNG + b"\xff"))).images == [PNG + b"\xff"]


async def test_pictures_of_other_names_go_on_under_these(app: HttpApp) -> None:
    parts = [(f'name="reference"; {FILE}', OTHER), ('name="style"\r\nContent-Type: image/png', THIRD)]
    assert (await accepted(app, PROMPT, IMAGE, *parts)).attachments == {"reference": OTHER, "style": THIRD}


async def test_a_form_without_its_end_is_refused(app: HttpApp) -> None:
    for end in (
        b"",
        b"\r\n",
        b"--",
        b"--X",
        b"--X\r\n",
        b"--X-",
        b"--Y--\r\n",
    ):
        body = form(PROMPT, IMAGE, ('name="visibility"', b"private"), end=end)
        for cut in (body, body[:-5], body.partition(b'--X\r\nContent-Disposition: form-data; name="visib')[0]):
            status, answer = await send(app, cut)
            assert (status, "closing delimiter" in answer["error"]["message"]) == (400, True)
        assert app.generator.requests == []


async def test_a_form_may_end_in_several_ways(app: HttpApp) -> None:
    for end in (
        b"--X--",
        b"--X--\r\n",
        b"--X--\r\nan epilogue",
        b"--X--  \r\n",
    ):
        status, answer = await send(app, form(PROMPT, IMAGE, end=end))
        assert status == 200, answer


async def test_malformed_forms_are_refused(app: HttpApp) -> None:
    for body, more, words in (
        (form(PROMPT), "Y", "malformed"),
        (form(PROMPT), "x" * 300, "malformed"),
        (form(PROMPT, IMAGE).replace(b"\r\n", b"\n"), "", "CR and LF"),
        (form(("filename=x", b"x")), "", "no name"),
        (form(*[('name="x"', b"")] * 300), "", "more than 232 parts"),
    ):
        status, answer = await send(app, body, more)
        assert (status, words in answer["error"]["message"]) == (400, True), answer
    response = await app.client.post(EDITS, content=form(PROMPT), headers={"Content-Type": "multipart/form-data"})
    assert (response.status_code, "no boundary" in response.text) == (400, True)


async def test_a_generation_takes_no_picture(app: HttpApp) -> None:
    for name in ("image", "images", "mask", "image[]", "image[0]", "image_url", "init_image", "style"):
        body = json.dumps({"prompt": "x", name: URL})
        headers = {"Content-Type": "application/json"}
        response = await app.client.post("/v1/images/generations", content=body, headers=headers)
        assert (response.status_code, "belongs to an edit" in response.text) == (400, True)
    for value in ([URL], {"url": URL}):
        response = await app.client.post("/v1/images/generations", json={"prompt": "x", "style": value})
        assert (response.status_code, response.json()["error"]["param"]) == (400, "style")
    for options in (
        {"image": None},
        {"image": ""},
        {"images": []},
        {"mask": ""},
        {"image_url": "https://example.org/a.png"},
        {"style": "data: none"},
    ):
        response = await app.client.post("/v1/images/generations", json={"prompt": "x", **options})
        assert response.status_code == 200
