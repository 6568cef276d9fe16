"""Pictures in a whole body: unpacked, as a document, as events, or as the picture itself."""

import math
from collections.abc import Mapping
from typing import Any

from pixyproxy.adapters.openai.error_messages import find_error
from pixyproxy.adapters.openai.error_translation import DocumentRefusal
from pixyproxy.adapters.openai.reading.content_coding import codings_of, sniff_coding, unpack
from pixyproxy.adapters.openai.reading.event_parser import EventParser, sniff_events
from pixyproxy.adapters.openai.reading.json_document import parse_json
from pixyproxy.adapters.openai.reading.picture_finder import ReceivedPicture, find_pictures, looks_like_picture
from pixyproxy.adapters.openai.reading.raw_response import split_response
from pixyproxy.adapters.openai.reading.stream_event import StreamPictures, read_event
from pixyproxy.adapters.openai.reading.upstream_response import UpstreamResponse
from pixyproxy.domain.errors import GeneratorResponseError

MAX_RESPONSE_BYTES = 128 * 1024 * 1024

_PENDING = {"queued", "pending", "processing", "in_progress", "in-progress", "starting", "started", "running",
            "submitted", "created", "accepted", "waiting", "in_queue", "not_started"}  # fmt: skip
_COST_FIELD = "x-litellm-response-cost"
"""The field in which LiteLLM's proxy reports what a call cost (https://docs.litellm.ai/docs/proxy/response_headers)."""
_TASK_NAMES = ("task_id", "taskId", "request_id", "job_id", "jobId", "prediction_id", "generation_id", "id")


def read_document(body: bytes, response: UpstreamResponse) -> list[ReceivedPicture]:
    """Return the pictures of a whole response. Blocks for some milliseconds per megabyte.

    Raises:
        DocumentRefusal: if it is an error with a status of success.
        GeneratorResponseError: if it holds neither a picture nor the address of one.
    """
    _, fields, body = split_response(body)  # it begins with a header if the client could not read that
    headers = response.headers or fields
    body = unpack(body, codings_of(headers.get("content-encoding")) or sniff_coding(body), MAX_RESPONSE_BYTES)
    cost = reported_cost(headers)
    return read_pictures(body, is_picture=_is_picture(headers), is_pending=response.status == 202, cost=cost)


def read_bare(data: bytes) -> list[ReceivedPicture]:
    """Return the pictures in bytes of which nothing else is known; raises what `read_document` raises."""
    return read_pictures(unpack(data, sniff_coding(data), MAX_RESPONSE_BYTES), is_picture=True)


def read_pictures(
    body: bytes, *, is_picture: bool = False, is_pending: bool = False, cost: float | None = None
) -> list[ReceivedPicture]:
    """Return the pictures in an unpacked body: a document, events or, with `is_picture`, the bytes of a picture.

    `cost` is that of the call, as far as the header of the response reports it.
    """
    if sniff_events(body[:64]):
        return _read_events(body)
    try:
        document = parse_json(body)
    except ValueError:
        if body and (is_picture or looks_like_picture(body)):
            return [ReceivedPicture(body)]
        if is_pending:
            raise _asynchronous("unnamed") from None
        kind = "not JSON" if body.strip() else "empty"
        raise GeneratorResponseError(f"The generator's response is {kind}.") from None
    response = document if isinstance(document, Mapping) else {}
    task = _pending_task(response, is_pending=is_pending)
    pictures = [] if task else find_pictures(document, cost)
    if not pictures:
        if error := find_error(response):
            raise DocumentRefusal(error, begun=False)
        if task:
            raise _asynchronous(task)
        raise GeneratorResponseError("The generator's response holds no picture.")
    if not any(picture.is_readable for picture in pictures):
        raise GeneratorResponseError("The generator's picture is not valid base64.")
    return pictures


def _read_events(body: bytes) -> list[ReceivedPicture]:
    parser = EventParser(MAX_RESPONSE_BYTES)
    events = parser.end(body)
    stream = StreamPictures()
    pictures: list[ReceivedPicture] = []
    refusal: DocumentRefusal | None = None
    for event in events:
        try:
            pictures += [item for item in stream.items(read_event(event)) if isinstance(item, ReceivedPicture)]
        except DocumentRefusal as error:
            refusal = error
            break
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


def _pending_task(document: Mapping[str, Any], *, is_pending: bool) -> str | None:
    """Return the id of a task that is still to be done, or None."""
    if isinstance(document.get("data"), list) and document["data"]:
        return None
    for candidate in (document, document.get("output"), document.get("data")):
        if isinstance(candidate, Mapping):
            status = candidate.get("status", candidate.get("task_status", candidate.get("state")))
            waits = is_pending or (isinstance(status, str) and status.lower() in _PENDING)
            for name in _TASK_NAMES:
                task = candidate.get(name)
                if isinstance(task, (str, int)) and (waits or name in ("task_id", "taskId")):
                    return f"{task!r:.200}"
    return "unnamed" if is_pending else None


def _asynchronous(task: str) -> GeneratorResponseError:
    return GeneratorResponseError(
        f"The generator works asynchronously, which this service cannot wait for: its task is {task}."
    )
