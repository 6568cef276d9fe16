"""Events of a stream: their meaning, and the pictures that they bring together."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pixyproxy.adapters.openai.error_translation import DocumentRefusal
from pixyproxy.adapters.openai.reading.event_parser import ServerSentEvent
from pixyproxy.adapters.openai.reading.json_document import parse_json
from pixyproxy.adapters.openai.reading.picture_finder import (
    ReceivedPicture,
    find_pictures,
    read_reported_options,
    share_usage,
    usage_of,
)
from pixyproxy.adapters.openai.reading.picture_text import certain_picture
from pixyproxy.adapters.openai.reading.reported_failure import find_error, find_failure
from pixyproxy.domain.generation import PartialImage

log = logging.getLogger(__name__)

MAX_UNREAD_BYTES = 16 * 1024 * 1024
"""Bytes kept of events that cannot be read."""

_END = b"[DONE]"
_PREFIX = b"data:"
_PARTIAL = "partial_image"
_EARLY_VIEWS = {"partial", "preview", "intermediate"}
"""Last words of the names of events with early views, as imitations of the API call them."""
_COMPLETED = {"image_generation.completed", "image_edit.completed"}


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """Content of an event; perhaps nothing.

    `finished` are pictures of a known event; `others` those of an unknown one, which may be the picture or an early
    view of it. `partial` has the index -1 if the upstream gives none. `unread` holds the data of an event that may
    hold a picture and cannot be read. After an `error` nothing follows, unless it `is_of_one` of several pictures.
    """

    partial: PartialImage | None = None
    finished: list[ReceivedPicture] = field(default_factory=list)
    others: list[ReceivedPicture] = field(default_factory=list)
    error: DocumentRefusal | None = None
    is_of_one: bool = False
    usage: dict[str, Any] | None = None
    unread: bytes = b""
    is_partial: bool = False
    is_end: bool = False


def read_event(event: ServerSentEvent) -> StreamEvent:
    """Read the data of an event. Blocks for some milliseconds per megabyte."""
    data = event.data.strip()
    while data.startswith(_PREFIX):  # an event within an event
        data = data[len(_PREFIX) :].lstrip()
    if data == _END:
        return StreamEvent(is_end=True)
    try:
        document = parse_json(data)
    except ValueError:
        text = data.decode() if data.isascii() else ""
        if picture := certain_picture(text) or certain_picture(f"data:{text}"):  # a URL looks like a field of an event
            return StreamEvent(others=[ReceivedPicture(picture)])
        return StreamEvent(unread=event.data)
    return read_event_document(document, event.name, event.data)


def read_event_document(document: Any, event_name: str = "", data: bytes = b"") -> StreamEvent:
    """Read the document of an event of this name; `data` are its bytes, which are kept if it cannot be read."""
    name = _type(document) or event_name
    pictures = find_pictures(document)
    if not pictures and isinstance(document, dict):
        error = find_error(document)
        failure = None if error else find_failure(document)
        if error or failure or "error" in (name, event_name):
            # A report may be one of many on the way to the picture.
            is_of_one = "partial" in name or "image_index" in document or failure is not None
            error = error or failure
            return StreamEvent(error=DocumentRefusal(error or document, begun=False), is_of_one=is_of_one)
    if _names_early_view(name):
        return _partial_event(document, pictures, data)
    usage = _usage(document)
    unread = b"" if any(picture.is_readable for picture in pictures) else data
    if name in _COMPLETED and pictures:
        return StreamEvent(finished=pictures, unread=unread)
    return StreamEvent(others=pictures, usage=dict(usage) if usage else None, unread=unread)


def is_early_view(document: Any) -> bool:
    """Return whether a document is an event with an early view: several in a row are a stream then."""
    return _names_early_view(_type(document))


def _names_early_view(name: str) -> bool:
    return _PARTIAL in name or name.rpartition(".")[2] in _EARLY_VIEWS


def _type(document: Any) -> str:
    name = document.get("type") if isinstance(document, dict) else None
    return name if isinstance(name, str) else ""


def _usage(document: Any) -> Mapping[str, Any] | None:
    """Return the usage in an event, or in the response that it describes."""
    places = (document, document.get("response")) if isinstance(document, dict) else ()
    return next((usage for place in places if isinstance(place, dict) and (usage := usage_of(place))), None)


def _partial_event(document: Any, pictures: list[ReceivedPicture], data: bytes) -> StreamEvent:
    if not pictures or pictures[0].undecoded:
        return StreamEvent(is_partial=True, unread=data)
    index = document.get("partial_image_index") if isinstance(document, dict) else None
    reported = read_reported_options(document) if isinstance(document, dict) else None
    view = PartialImage(pictures[0].data, index if type(index) is int else -1, reported or {})
    return StreamEvent(partial=view, is_partial=True)


class StreamPictures:
    """The pictures that the events of one stream bring.

    `unread` holds what arrived and is in no picture that was yielded, `refusal` the first error of one picture.
    """

    def __init__(self) -> None:
        self.found = 0
        self.refusal: DocumentRefusal | None = None
        self._unread = bytearray()
        self._others: list[ReceivedPicture] = []
        self._view: PartialImage | None = None
        self._has_begun = False
        self._usage: dict[str, Any] | None = None

    @property
    def unread(self) -> bytes:
        parts = [bytes(self._unread), *(picture.data for picture in self._others)]
        if self._view is not None:
            parts.append(self._view.data)
        return b"\n".join(part for part in parts if part)

    def items(self, event: StreamEvent) -> Iterator[PartialImage | ReceivedPicture]:
        """Yield what an event brings; raise DocumentRefusal if it is an error after which nothing follows."""
        if event.error is not None:
            event.error.begun = self._has_begun
            if not event.is_of_one:
                raise event.error
            self.refusal = self.refusal or event.error
        self._has_begun = self._has_begun or event.is_partial
        if event.partial is not None:
            index = self._view.index + 1 if self._view is not None else 0
            self._view = event.partial if event.partial.index >= 0 else replace(event.partial, index=index)
            yield self._view
        for picture in event.finished:
            if picture.is_readable:
                self.found += 1
                yield picture
        self._others += [picture for picture in event.others if picture.is_readable]
        self._usage = event.usage or self._usage
        self._unread += event.unread[: MAX_UNREAD_BYTES - len(self._unread)]

    def instead(self, wanted: int, *, refused: bool) -> Iterator[ReceivedPicture]:
        """Yield the pictures of unknown events if others are missing, and failing all the last early view.

        Of more pictures than are missing the last ones come first: the others may be early views, or the same again.
        An early view is better than nothing, unless the generator said that there is to be no picture.
        """
        missing = wanted - self.found
        if missing > 0 and self._others:
            others, self._others = self._others, []
            if len(others) > missing:
                others = list({picture.data: picture for picture in others}.values())
                others = others[-missing:] + others[:-missing]
            for picture in share_usage(others, self._usage):
                self.found += 1
                yield picture
        if not self.found and not refused and self._view is not None:
            view, self._view = self._view, None
            self.found += 1
            log.warning("a stream ended before its picture: its last early view is kept instead")
            yield ReceivedPicture(view.data, reported={**view.reported, "early_view": True}, usage=self._usage)
