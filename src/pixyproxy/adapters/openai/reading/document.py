"""Pictures in a whole body: unpacked, as a document, as events, or as the picture itself."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from pixyproxy.adapters.openai.error_messages import sanitize
from pixyproxy.adapters.openai.error_translation import DocumentRefusal
from pixyproxy.adapters.openai.reading.content_coding import MAX_CODINGS, codings_of, sniff_coding, unpack
from pixyproxy.adapters.openai.reading.event_parser import EventParser, sniff_events
from pixyproxy.adapters.openai.reading.json_document import parse_json
from pixyproxy.adapters.openai.reading.picture_finder import ReceivedPicture, find_pictures
from pixyproxy.adapters.openai.reading.picture_text import certain_picture, looks_like_picture
from pixyproxy.adapters.openai.reading.raw_response import split_parts, split_response
from pixyproxy.adapters.openai.reading.reported_failure import find_end, find_error, find_failure, find_task
from pixyproxy.adapters.openai.reading.stream_event import (
    StreamEvent,
    StreamPictures,
    is_early_view,
    read_event,
    read_event_document,
)
from pixyproxy.adapters.openai.reading.upstream_response import UpstreamResponse
from pixyproxy.domain.errors import GeneratorResponseError

MAX_RESPONSE_BYTES = 128 * 1024 * 1024

_COST_FIELD = "x-litellm-response-cost"
"""The field in which LiteLLM's proxy reports what a call cost (https://docs.litellm.ai/docs/proxy/response_headers)."""


def read_document(body: bytes, response: UpstreamResponse) -> list[ReceivedPicture]:
    """Return the pictures of a whole response. Blocks for some milliseconds per megabyte.

    Raises:
        DocumentRefusal: if it is an error with a status of success.
        GeneratorResponseError: if it holds neither a picture nor the address of one.
    """
    _, fields, body = split_response(body)  # it begins with a header if the client could not read that
    headers = response.headers or fields
    body = _unpacked(unpack(body, codings_of(headers.get("content-encoding")), MAX_RESPONSE_BYTES))
    cost = reported_cost(headers)
    return read_pictures(body, is_picture=_is_picture(headers), is_pending=response.status == 202, cost=cost)


def read_bare(data: bytes) -> list[ReceivedPicture]:
    """Return the pictures in bytes of which nothing else is known; raises what `read_document` raises."""
    return read_pictures(_unpacked(split_response(data).body), is_picture=True)


def read_pictures(
    body: bytes, *, is_picture: bool = False, is_pending: bool = False, cost: float | None = None
) -> list[ReceivedPicture]:
    """Return the pictures in an unpacked body: a document, events or, with `is_picture`, the bytes of a picture.

    `cost` is that of the call, as far as the header of the response reports it.
    """
    if body[:1].isspace():
        body = body.lstrip()
    if sniff_events(body[:64]):
        return _read_events(map(read_event, EventParser(MAX_RESPONSE_BYTES).end(body)))
    try:
        document = parse_json(body)
    except ValueError:
        if pictures := _bare_pictures(body, is_picture=is_picture):
            return pictures
        if is_pending:
            raise _asynchronous("unnamed") from None
        kind = "not JSON" if body.strip() else "empty"
        raise GeneratorResponseError(f"The generator's response is {kind}.") from None
    documents = document if isinstance(document, list) else [document]
    if any(map(is_early_view, documents)):
        return _read_events(map(read_event_document, documents))
    pictures = find_pictures(document, cost)
    task, waits = find_task(document, is_pending=is_pending)
    if waits and all(picture.undecoded for picture in pictures) and not _has_data(document):
        pictures = []  # An address is that of the task.
    if not pictures:
        if error := find_error(document) or (None if task else find_failure(document)):
            raise DocumentRefusal(error, begun=False)
        if task:
            raise _asynchronous(task)
        end = find_end(document)
        reason = f": {sanitize(end, '')}" if end else "."
        raise GeneratorResponseError(f"The generator's response holds no picture{reason}")
    if not any(picture.is_readable for picture in pictures):
        raise GeneratorResponseError("The generator's picture is not valid base64.")
    return pictures


def _unpacked(body: bytes) -> bytes:
    """Return a body without the codings that no label names."""
    for _ in range(MAX_CODINGS):
        if not (codings := sniff_coding(body)):
            break
        body = unpack(body, codings, MAX_RESPONSE_BYTES)
    return body


def _bare_pictures(body: bytes, *, is_picture: bool) -> list[ReceivedPicture]:
    """Return the pictures in a body that is no document: its bytes, its text, or its parts."""
    if looks_like_picture(body):
        return [ReceivedPicture(body)]
    if body.isascii() and (data := certain_picture(body.decode())):
        return [ReceivedPicture(data)]
    pictures: list[ReceivedPicture] = []
    for part in split_parts(body):
        try:
            pictures += read_pictures(part)
        except (DocumentRefusal, GeneratorResponseError):
            continue
    return pictures or ([ReceivedPicture(body)] if body and is_picture else [])


def _has_data(document: Any) -> bool:
    return isinstance(document, Mapping) and isinstance(document.get("data"), list) and bool(document["data"])


def _read_events(events: Iterable[StreamEvent]) -> list[ReceivedPicture]:
    stream = StreamPictures()
    pictures: list[ReceivedPicture] = []
    refusal: DocumentRefusal | None = None
    for event in events:
        try:
            pictures += [item for item in stream.items(event) if isinstance(item, ReceivedPicture)]
        except DocumentRefusal as error:
            refusal = error
            break
    refusal = refusal or stream.refusal
    pictures += stream.instead(1, refused=refusal is not None)
    if not pictures:
        raise refusal or GeneratorResponseError("The generator's stream holds no picture that can be read.")
    return pictures


def reported_cost(headers: Mapping[str, str]) -> float | None:
    """Return the cost of a call in US dollars that the header reports; None if there is none that can be meant."""
    try:
        cost = float(headers.get(_COST_FIELD, ""))
    except ValueError:
        return None
    return cost if 0 <= cost < math.inf else None


def _is_picture(headers: Mapping[str, str]) -> bool:
    label = headers.get("content-type", "").lower()
    return label != "" and not label.startswith(("text/html", "application/json", "application/problem"))


def _asynchronous(task: str) -> GeneratorResponseError:
    return GeneratorResponseError(
        f"The generator works asynchronously, which this service cannot wait for: its task is {task}."
    )
