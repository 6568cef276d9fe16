"""Events of a stream: their meaning, and the pictures that they bring together."""

import base64
import json

import pytest

from pixyproxy.adapters.openai.error_translation import DocumentRefusal
from pixyproxy.adapters.openai.reading import stream_event
from pixyproxy.adapters.openai.reading.event_parser import ServerSentEvent
from pixyproxy.adapters.openai.reading.picture_finder import ReceivedPicture
from pixyproxy.adapters.openai.reading.stream_event import StreamEvent, StreamPictures, read_event
from pixyproxy.domain.generation import PartialImage
from pixyproxy.domain.usage import CallUsage

ONE = base64.b64encode(b"picture one").decode()
COMPLETED = "image_generation.completed"


def event(name: str = "", ended: bool = True, **document: object) -> ServerSentEvent:
    return ServerSentEvent(name, json.dumps(document).encode(), ended)


@pytest.mark.parametrize("task", ["image_generation", "image_edit"])
def test_events_are_recognised_by_type_or_else_by_name(task: str) -> None:
    picture = ReceivedPicture(
        b"picture one",
        usage={"total_tokens": 3},
        call_usage=CallUsage({"total_tokens": 3}),
        reported={"size": "1x1"},
    )
    done = StreamEvent(finished=[picture])
    members = {"b64_json": ONE, "usage": {"total_tokens": 3}, "size": "1x1", "created_at": 1}
    assert read_event(event("", type=f"{task}.completed", **members)) == done
    assert read_event(event(f"{task}.completed", **members)) == done
    assert read_event(event("whatever", type=f"{task}.completed", **members)) == done
    view = StreamEvent(partial=PartialImage(b"picture one", 2, {"size": "1x1"}), is_partial=True)
    members = {"b64_json": ONE, "partial_image_index": 2, "size": "1x1"}
    assert read_event(event("", type=f"{task}.partial_image", **members)) == view
    assert read_event(event(f"{task}.partial_image", **members)) == view


@pytest.mark.parametrize("name", ["completed", "", "made.up.tomorrow", "image_generation.partial_succeeded"])
def test_a_picture_in_an_unknown_event_is_found(name: str) -> None:
    read = read_event(event(name, b64_json=ONE, usage={"x": 1}))
    picture = ReceivedPicture(b"picture one", usage={"x": 1}, call_usage=CallUsage({"x": 1}))
    assert read == StreamEvent(others=[picture], usage={"x": 1})
    assert read_event(event(type=7, b64_json=ONE)).others == [ReceivedPicture(b"picture one")]


@pytest.mark.parametrize(
    "unknown",
    [event(type="ping"), ServerSentEvent("", b"no json"), ServerSentEvent("", b"[1]"), ServerSentEvent("x", b"\xff"),
     event(), event(error=None), ServerSentEvent(COMPLETED, b'{"b64'), event(type=COMPLETED, b64_json=None)],
    ids=str,
)  # fmt: skip
def test_an_event_that_cannot_be_read_is_kept(unknown: ServerSentEvent) -> None:
    assert read_event(unknown) == StreamEvent(unread=unknown.data)


def test_the_usage_of_an_empty_event_is_read() -> None:
    read = read_event(event(type=COMPLETED, usage={"total_tokens": 3}))
    assert (read.finished, read.usage) == ([], {"total_tokens": 3})


@pytest.mark.parametrize("data", [b"[DONE]", b" [DONE] "])
def test_the_end(data: bytes) -> None:
    assert read_event(ServerSentEvent("", data)) == StreamEvent(is_end=True)


@pytest.mark.parametrize(
    "told",
    [event(error={"code": "c"}), event("error", code="c"), event(type="error", error={"code": "c"}), event(error="e"),
     event(COMPLETED, error={"code": "c"}), event(type="error", message="m")],
    ids=str,
)  # fmt: skip
def test_errors(told: ServerSentEvent) -> None:
    error = read_event(told).error
    assert error is not None
    document = json.loads(told.data)
    assert json.loads(error.body) == {"error": document.get("error", document)}


def test_a_picture_beside_an_error_is_found() -> None:
    read = read_event(event(error={"code": "c"}, b64_json=ONE))
    assert ([picture.data for picture in read.others], read.error) == ([b"picture one"], None)


@pytest.mark.parametrize("index", [None, "1", -1, 1.0])
def test_a_partial_image_without_an_index(index: object) -> None:
    told = read_event(event(type="image_edit.partial_image", b64_json=ONE, partial_image_index=index))
    assert told.partial == PartialImage(b"picture one", -1, {})


@pytest.mark.parametrize("members", [{"b64_json": "!"}, {"b64_json": None}, {}, {"url": "http://x/"}], ids=str)
def test_an_unreadable_partial_image_is_kept(members: dict[str, object]) -> None:
    told = event(type="image_edit.partial_image", **members)
    assert read_event(told) == StreamEvent(is_partial=True, unread=told.data)


def test_an_undecodable_picture_is_kept() -> None:
    told = event(type=COMPLETED, b64_json="!")
    assert read_event(told) == StreamEvent(finished=[ReceivedPicture(b"!", undecoded=True)], unread=told.data)


def view(data: bytes, index: int = -1) -> StreamEvent:
    return StreamEvent(partial=PartialImage(data, index, {"size": "1x1"}), is_partial=True)


def other(data: bytes) -> StreamEvent:
    return StreamEvent(others=[ReceivedPicture(data)])


def test_finished_pictures_come_at_once_and_others_if_they_are_missing() -> None:
    stream = StreamPictures()
    done = ReceivedPicture(b"1")
    assert list(stream.items(StreamEvent(finished=[done]))) == [done]
    assert list(stream.items(other(b"2"))) == []
    assert stream.unread == b"2"
    assert list(stream.instead(1, refused=False)) == []
    assert list(stream.instead(2, refused=False)) == [ReceivedPicture(b"2")]
    assert (stream.found, stream.unread) == (2, b"")


def test_a_later_usage_is_that_of_the_other_pictures() -> None:
    stream = StreamPictures()
    for each in (other(b"1"), StreamEvent(usage={"x": 3}), other(b"2")):
        assert list(stream.items(each)) == []
    assert [picture.usage for picture in stream.instead(2, refused=False)] == [{"x": 2}, {"x": 1}]


def test_views_are_counted_and_the_last_one_stands_in_for_the_picture() -> None:
    stream = StreamPictures()
    views = [item for data in (b"1", b"2") for item in stream.items(view(data))]
    assert [(each.data, each.index) for each in views if isinstance(each, PartialImage)] == [(b"1", 0), (b"2", 1)]
    assert stream.unread == b"2"
    assert list(stream.instead(1, refused=True)) == []
    assert list(stream.instead(1, refused=False)) == [
        ReceivedPicture(b"2", reported={"size": "1x1", "early_view": True})
    ]
    assert list(stream.instead(1, refused=False)) == []


def test_an_error_says_whether_a_view_came_before() -> None:
    stream = StreamPictures()
    failed = StreamEvent(error=DocumentRefusal({"error": {"code": "c"}}, begun=False))
    with pytest.raises(DocumentRefusal) as caught:
        list(stream.items(failed))
    assert not caught.value.begun
    list(stream.items(view(b"1")))
    with pytest.raises(DocumentRefusal) as caught:
        list(stream.items(failed))
    assert caught.value.begun


def test_what_cannot_be_read_is_kept_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_event, "MAX_UNREAD_BYTES", 5)
    stream = StreamPictures()
    for _ in range(4):
        assert list(stream.items(StreamEvent(unread=b"abc"))) == []
    assert stream.unread == b"abcab"
