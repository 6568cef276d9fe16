"""Pictures and their metadata in responses and events."""

import base64
import json
from typing import Any

import pytest

from pixyproxy.adapters.openai.event_stream import ServerSentEvent, StreamEvent, read_event
from pixyproxy.adapters.openai.received_picture import MAX_PICTURES, ReceivedPicture, parse_response
from pixyproxy.domain.errors import GeneratorResponseError
from pixyproxy.domain.generation import PartialImage

ONE, TWO = (base64.b64encode(text).decode() for text in (b"picture one", b"picture two"))


def parse(*entries: object, **members: object) -> list[ReceivedPicture]:
    return parse_response(json.dumps({"data": entries, **members}).encode())


def test_every_entry_is_a_picture() -> None:
    made = parse({"b64_json": ONE, "revised_prompt": "nicer"}, {"b64_json": TWO}, created=1, model="m")
    assert made == [
        ReceivedPicture(b"picture one", model="m", revised_prompt="nicer"),
        ReceivedPicture(b"picture two", model="m"),
    ]


def test_usage_is_split_and_options_are_shared() -> None:
    made = parse({"b64_json": ONE}, {"b64_json": TWO}, usage={"total_tokens": 7, "details": {"x": 1}}, size="1x1")
    assert [each.usage for each in made] == [
        {"total_tokens": 4, "details": {"x": 1}},
        {"total_tokens": 3, "details": {"x": 0}},
    ]
    assert [each.reported for each in made] == [{"size": "1x1"}] * 2


@pytest.mark.parametrize("bad", ["no base64!", "QUJDR", "äöü"])
def test_an_undecodable_entry_does_not_lose_the_others(bad: str) -> None:
    made = parse({"b64_json": ONE}, {"b64_json": bad}, {"b64_json": TWO}, usage={"total_tokens": 3})
    assert [(each.data, each.undecoded) for each in made] == [
        (b"picture one", False),
        (bad.encode(), True),
        (b"picture two", False),
    ]
    assert [each.usage for each in made] == [{"total_tokens": 1}] * 3


@pytest.mark.parametrize("entry", [None, "text", 5, [], {}, {"b64_json": None}, {"b64_json": ""}, {"url": 5}], ids=str)
def test_an_empty_entry_is_left_out(entry: object) -> None:
    [made] = parse(entry, {"b64_json": ONE}, usage={"total_tokens": 3})
    assert (made.data, made.usage) == (b"picture one", {"total_tokens": 3})


def test_an_address_is_kept_until_it_is_fetched() -> None:
    made = parse({"url": "http://x/1"}, {"url": "data:image/png;base64," + ONE}, {"b64_json": TWO, "url": "http://x/2"})
    assert made == [
        ReceivedPicture(b"http://x/1", undecoded=True, url="http://x/1"),
        ReceivedPicture(b"picture one"),
        ReceivedPicture(b"picture two"),
    ]


def test_further_pictures_are_ignored() -> None:
    assert len(parse(*[{"b64_json": ONE}] * (MAX_PICTURES + 1))) == MAX_PICTURES


@pytest.mark.parametrize("entries", [[{"b64_json": "!"}, {"b64_json": "?"}], [{}, None], []], ids=str)
def test_undecodable_entries_only_are_an_error(entries: list[object]) -> None:
    with pytest.raises(GeneratorResponseError) as caught:
        parse(*entries)
    assert caught.value.raw == json.dumps({"data": entries}).encode()


def test_reported_options_are_scalars_and_bounded() -> None:
    odd: dict[str, Any] = {
        "size": "1x1", "quality": "high", "background": None, "fast": True, "seed": 5, "scale": 1.5,
        "deep": {"a": 1}, "many": [1], "long": "x" * 257, "x" * 257: "name", "type": "t", "created_at": 1,
        "partial_image_index": 0, "object": "o", "huge": 10**300,
    }  # fmt: skip
    [made] = parse({"b64_json": ONE}, created=1, **odd)
    assert made.reported == {"size": "1x1", "quality": "high", "fast": True, "seed": 5, "scale": 1.5}
    [made] = parse({"b64_json": ONE}, **{f"option{number}": number for number in range(100)})
    assert made.reported is not None
    assert len(made.reported) == 32
    [made] = parse_response(b'{"data": [{"b64_json": "%s"}], "a": NaN, "b": Infinity, "c": 1e999}' % ONE.encode())
    assert made.reported is None


def event(name: str = "", ended: bool = True, **document: object) -> ServerSentEvent:
    return ServerSentEvent(name, json.dumps(document).encode(), ended)


@pytest.mark.parametrize("task", ["image_generation", "image_edit"])
def test_events_are_recognised_by_type_or_else_by_name(task: str) -> None:
    done = StreamEvent(picture=ReceivedPicture(b"picture one", usage={"total_tokens": 3}, reported={"size": "1x1"}))
    members = {"b64_json": ONE, "usage": {"total_tokens": 3}, "size": "1x1", "created_at": 1}
    assert read_event(event("", type=f"{task}.completed", **members)) == done
    assert read_event(event(f"{task}.completed", **members)) == done
    assert read_event(event("whatever", type=f"{task}.completed", **members)) == done
    view = StreamEvent(partial=PartialImage(b"picture one", 2, {"size": "1x1"}), is_partial=True)
    members = {"b64_json": ONE, "partial_image_index": 2, "size": "1x1"}
    assert read_event(event("", type=f"{task}.partial_image", **members)) == view
    assert read_event(event(f"{task}.partial_image", **members)) == view


@pytest.mark.parametrize(
    "unknown",
    [event(type="ping"), event("completed", b64_json=ONE), event(type=7, b64_json=ONE), ServerSentEvent("", b"no json"),
     ServerSentEvent("", b"[1]"), ServerSentEvent("x", b"\xff"), event(), event(error=None),
     ServerSentEvent("image_edit.partial_image", b"{")],
    ids=str,
)  # fmt: skip
def test_other_events_are_empty(unknown: ServerSentEvent) -> None:
    assert read_event(unknown) == StreamEvent()


@pytest.mark.parametrize("data", [b"[DONE]", b" [DONE] "])
def test_the_end(data: bytes) -> None:
    assert read_event(ServerSentEvent("", data)).is_end


@pytest.mark.parametrize(
    "told",
    [event(error={"code": "c"}), event("error", code="c"), event(type="error", error={"code": "c"}), event(error="e"),
     event("image_generation.completed", error={"code": "c"}), event(type="error", message="m")],
    ids=str,
)  # fmt: skip
def test_errors(told: ServerSentEvent) -> None:
    assert read_event(told).error == json.loads(told.data)


@pytest.mark.parametrize("index", [None, "1", -1, 1.0])
def test_a_partial_image_without_an_index(index: object) -> None:
    told = read_event(event(type="image_edit.partial_image", b64_json=ONE, partial_image_index=index))
    assert told.partial == PartialImage(b"picture one", -1, {})


@pytest.mark.parametrize("members", [{"b64_json": "!"}, {"b64_json": None}, {}, {"url": "http://x/"}], ids=str)
def test_an_unreadable_partial_image_is_dropped(members: dict[str, object]) -> None:
    assert read_event(event(type="image_edit.partial_image", **members)) == StreamEvent(is_partial=True)


def test_an_undecodable_picture_is_kept() -> None:
    name = "image_generation.completed"
    assert read_event(event(type=name, b64_json="!")).picture == ReceivedPicture(b"!", undecoded=True)
    empty = event(type=name, b64_json=None)
    assert read_event(empty).picture == ReceivedPicture(empty.data, undecoded=True)
    assert read_event(ServerSentEvent(name, b'{"b64')).picture == ReceivedPicture(b'{"b64', undecoded=True)
    assert (
        read_event(ServerSentEvent(name, b'{"b64', is_ended=False)) == StreamEvent()
    )  # cut off by the end of the stream
