"""Pictures and their metadata in a document."""

import base64
from typing import Any

import pytest

from pixyproxy.adapters.openai.reading.json_document import parse_json
from pixyproxy.adapters.openai.reading.picture_finder import (
    MAX_PICTURES,
    ReceivedPicture,
    find_pictures,
    share_usage,
)
from pixyproxy.adapters.openai.reading.picture_text import looks_like_picture

ONE, TWO = (base64.b64encode(text).decode() for text in (b"picture one", b"picture two"))
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
CERTAIN = base64.b64encode(PNG).decode()


def find(*entries: object, **members: object) -> list[ReceivedPicture]:
    return find_pictures({"data": list(entries), **members})


def test_every_entry_is_a_picture() -> None:
    made = find({"b64_json": ONE, "revised_prompt": "nicer"}, {"b64_json": TWO}, created=1, model="m")
    assert made == [
        ReceivedPicture(b"picture one", model="m", revised_prompt="nicer"),
        ReceivedPicture(b"picture two", model="m"),
    ]


def test_usage_is_split_and_options_are_shared() -> None:
    made = find({"b64_json": ONE}, {"b64_json": TWO}, usage={"total_tokens": 7, "details": {"x": 1}}, size="1x1")
    assert [each.usage for each in made] == [
        {"total_tokens": 4, "details": {"x": 1}},
        {"total_tokens": 3, "details": {"x": 0}},
    ]
    assert [each.reported for each in made] == [{"size": "1x1"}] * 2


@pytest.mark.parametrize("bad", ["no base64!", "QUJDR", "äöü"])
def test_an_undecodable_entry_does_not_lose_the_others(bad: str) -> None:
    made = find({"b64_json": ONE}, {"b64_json": bad}, {"b64_json": TWO}, usage={"total_tokens": 3})
    assert [(each.data, each.undecoded, each.is_readable) for each in made] == [
        (b"picture one", False, True),
        (bad.encode(), True, False),
        (b"picture two", False, True),
    ]
    assert [each.usage for each in made] == [{"total_tokens": 1}] * 3


@pytest.mark.parametrize(
    "entry", [None, "text", 5, [], {}, {"b64_json": None}, {"b64_json": ""}, {"url": 5}, {"url": " "}], ids=str
)
def test_an_empty_entry_is_left_out(entry: object) -> None:
    [made] = find(entry, {"b64_json": ONE}, usage={"total_tokens": 3})
    assert (made.data, made.usage) == (b"picture one", {"total_tokens": 3})


def test_an_address_is_kept_until_it_is_fetched() -> None:
    made = find({"url": "http://x/1"}, {"url": "data:image/png;base64," + ONE}, {"b64_json": TWO, "url": "http://x/2"})
    assert made == [
        ReceivedPicture(b"http://x/1", undecoded=True, url="http://x/1"),
        ReceivedPicture(b"picture one"),
        ReceivedPicture(b"picture two"),
    ]


def test_an_address_stands_in_for_text_that_is_no_base64() -> None:
    [made] = find({"b64_json": "no base64!", "url": "http://x/1"})
    assert made.url == "http://x/1"
    [made] = find({"b64_json": "http://x/2"})
    assert made.url == "http://x/2"


@pytest.mark.parametrize(
    "document",
    [
        {"images": [CERTAIN]},
        {"images": [{"url": f"data:image/png;base64,{CERTAIN}"}]},
        {"image": CERTAIN},
        {"partial_image_b64": CERTAIN},
        {"imageBase64Data": CERTAIN},
        {"resource": {"image": CERTAIN}},
        {"status": {"image": CERTAIN}},
        {"original": {"b64_json": CERTAIN}, "thumbnail": {"b64_json": CERTAIN}},
        {"content": f"Here:\n![a](data:image/png;base64,{CERTAIN})"},
        {"body": f'{{"data":[{{"b64_json":"{CERTAIN}"}}]}}'},
        {"image_url": "http://x/1.png", "image": {"b64_json": CERTAIN}},
        [{"b64_json": CERTAIN}],
        {"b64_json": CERTAIN},
        {"data": CERTAIN},
        {"data": {"b64_json": CERTAIN}},
        {"data": {"images": [CERTAIN]}},
        {"result": {"data": [{"b64": CERTAIN}]}},
        {"output": [{"type": "image_generation_call", "result": CERTAIN}]},
        {"artifacts": [{"base64": CERTAIN}]},
        {"predictions": [{"bytesBase64Encoded": CERTAIN}]},
        {"candidates": [{"content": {"parts": [{"text": "here"}, {"inlineData": {"data": CERTAIN}}]}}]},
        {"choices": [{"message": {"content": "here", "images": [{"image_url": {"url": f"data:;base64,{CERTAIN}"}}]}}]},
    ],
)
def test_pictures_are_found_in_the_places_of_imitations(document: Any) -> None:
    assert [made.data for made in find_pictures(document)] == [PNG]


@pytest.mark.parametrize(
    "document",
    [
        {"output": ["http://x/1.png"]},
        {"output": "http://x/1.png"},
        {"images": [{"url": "http://x/1.png"}]},
        {"data": {"image_urls": ["http://x/1.png"]}},
        {"data": [{"image_url": "http://x/1.png"}]},
        {"status": "done", "output": ["http://x/1.png"], "urls": {"get": "http://x/task"}},
        {"input": {"image": CERTAIN}, "output": ["http://x/1.png"]},
    ],
)
def test_addresses_are_found_in_the_places_of_imitations(document: Any) -> None:
    assert [made.url for made in find_pictures(document)] == ["http://x/1.png"]


@pytest.mark.parametrize(
    "document",
    [
        None,
        17,
        "text",
        [],
        {"input": {"image": CERTAIN}},
        {"request": {"images": [CERTAIN]}},
        {"prompt": CERTAIN},
        {"text": CERTAIN},
        {"images": ["short"]},
        {"output": "A long text that is no picture " * 10},
        {"output": base64.b64encode(b"no picture" * 20).decode()},
        {"error": {"image": CERTAIN}},
        {"message": f"<html><img src='data:image/png;base64,{CERTAIN}'></html>"},
        {"detail": f"![logo](data:image/png;base64,{CERTAIN})"},
        {"status_url": "http://x/task", "polling_url": "http://x/task", "response_url": "http://x/task"},
        {"input_image": CERTAIN, "init_image": CERTAIN, "mask_image": CERTAIN, "source_image": CERTAIN},
        {"originalImage": CERTAIN, "reference_images": [CERTAIN], "thumbnail": {"url": "http://x/1.png"}},
        {"text": "see [this page](http://x/page) and http://x/1.png"},
        {"urls": {"get": "http://x/task", "cancel": "http://x/cancel"}},
    ],
    ids=lambda document: str(document)[:40],
)
def test_other_documents_hold_no_picture(document: Any) -> None:
    assert find_pictures(document) == []


def test_a_deep_document_ends_the_search() -> None:
    document: Any = {"b64_json": ONE}
    for _ in range(500):
        document = [document]
    assert find_pictures(document) == []


def test_further_pictures_are_ignored() -> None:
    assert len(find(*[{"b64_json": ONE}] * (MAX_PICTURES + 1))) == MAX_PICTURES
    assert len(find_pictures([{"b64_json": ONE}] * (MAX_PICTURES + 1))) == MAX_PICTURES


def test_reported_options_are_scalars_and_bounded() -> None:
    odd: dict[str, Any] = {
        "size": "1x1", "quality": "high", "background": None, "fast": True, "seed": 5, "scale": 1.5,
        "deep": {"a": 1}, "many": [1], "long": "x" * 257, "x" * 257: "name", "type": "t", "created_at": 1,
        "partial_image_index": 0, "object": "o", "huge": 10**300,
    }  # fmt: skip
    [made] = find({"b64_json": ONE}, created=1, **odd)
    assert made.reported == {"size": "1x1", "quality": "high", "fast": True, "seed": 5, "scale": 1.5}
    [made] = find({"b64_json": ONE}, **{f"option{number}": number for number in range(100)})
    assert made.reported is not None
    assert len(made.reported) == 32
    document = b'{"data": [{"b64_json": "%s"}], "a": NaN, "b": Infinity, "c": 1e999}' % ONE.encode()
    [made] = find_pictures(parse_json(document))
    assert made.reported is None


@pytest.mark.parametrize("usage", [None, "free", [], 5, {"cost": float("nan")}, {"\ud800": 1}], ids=str)
def test_odd_usage_is_ignored(usage: object) -> None:
    [made] = find({"b64_json": ONE, "revised_prompt": 5}, usage=usage, model=["x"])
    assert (made.usage, made.model, made.revised_prompt) == (None, None, None)


def test_a_usage_that_came_later_is_shared_unless_a_picture_has_its_own() -> None:
    bare, own = ReceivedPicture(b"1"), ReceivedPicture(b"2", usage={"x": 1})
    assert [each.usage for each in share_usage([bare, bare], {"x": 3})] == [{"x": 2}, {"x": 1}]
    assert share_usage([bare, own], {"x": 3}) == [bare, own]
    assert share_usage([bare], None) == [bare]


@pytest.mark.parametrize(
    ("data", "expected"),
    [(PNG, True), (b"\xff\xd8\xff\xe0", True), (b"GIF89a", True), (b"RIFFxxxxWEBP", True), (b"II*\x00", True),
     (b"xxxxftypavif", True), (b"<svg", True), (b"RIFFxxxxWAVE", False), (b"<html>", False), (b"{}", False),
     (b"", False)],
)  # fmt: skip
def test_pictures_are_recognised_by_their_beginning(data: bytes, expected: bool) -> None:
    assert looks_like_picture(data) == expected
