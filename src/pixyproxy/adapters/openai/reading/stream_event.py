"""Events of a stream: their meaning, and the pictures that they bring together."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from pixyproxy.adapters.openai.error_messages import find_error
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
from pixyproxy.domain.generation import PartialImage

log = logging.getLogger(__name__)

MAX_UNREAD_BYTES = 16 * 1024 * 1024
"""Bytes kept of events that cannot be read."""

_END = b"[DONE]"
_PARTIAL = "partial_image"
_COMPLETED = {"image_generation.completed", "image_edit.completed"}


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """Content of an event; perhaps nothing.

    `finished` are pictures of a known event; `others` those of an unknown one, which may be the picture or an early
    view of it. `partial` has the index -1 if the upstream gives none. `unread` holds the data of an event that may
    hold a picture and cannot be read.
    """

    partial: PartialImage | None = None
    finished: list[ReceivedPicture] = field(default_factory=list)
    others: list[ReceivedPicture] = field(default_factory=list)
    error: DocumentRefusal | None = None
    usage: dict[str, Any] | None = None
    unread: bytes = b""
    is_partial: bool = False
    is_end: bool = False


def read_event(event: ServerSentEvent) -> StreamEvent:
    """Read the data of an event. Blocks for some milliseconds per megabyte."""
    if event.data.strip() == _END:
        return StreamEvent(is_end=True)
    try:
        document = parse_json(event.data)
    except ValueError:
        return StreamEvent(unread=event.data)
    name = document.get("type") if isinstance(document, dict) else None
    if not isinstance(name, str):
        name = event.name
    pictures = find_pictures(document)
    is_error = isinstance(document, dict) and (find_error(document) or "error" in (name, event.name))
    if is_error and not pictures:
        return StreamEvent(error=DocumentRefusal(document, begun=False))
    if _PARTIAL in name:
        return _partial_event(document, pictures, event.data)
    usage = usage_of(document) if isinstance(document, dict) else None
    unread = b"" if any(picture.is_readable for picture in pictures) else event.data
    if name in _COMPLETED and pictures:
        return StreamEvent(finished=pictures, unread=unread)
    return StreamEvent(others=pictures, usage=dict(usage) if usage else None, unread=unread)


def _partial_event(document: Any, pictures: list[ReceivedPicture], data: bytes) -> StreamEvent:
    if not pictures or pictures[0].undecoded:
        return StreamEvent(is_partial=True, unread=data)
    index = document.get("partial_image_index") if isinstance(document, dict) else None
    reported = read_reported_options(document) if isinstance(document, dict) else None
    view = PartialImage(pictures[0].data, index if type(index) is int else -1, reported or {})
    return StreamEvent(partial=view, is_partial=True)


class StreamPictures:
    """The pictures that the events of one stream bring.

    `unread` holds what arrived and is in no picture that was yielded.
    """

    def __init__(self) -> None:
        self.found = 0
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
        """Yield what an event brings; raise DocumentRefusal if it is an error."""
        if event.error is not None:
            event.error.begun = self._has_begun
            raise event.error
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

        An early view is better than nothing, unless the generator said that there is to be no picture.
        """
        if self.found < wanted and self._others:
            others, self._others = self._others, []
            for picture in share_usage(others, self._usage):
                self.found += 1
                yield picture
        if not self.found and not refused and self._view is not None:
            view, self._view = self._view, None
            self.found += 1
            log.warning("a stream ended before its picture: its last early view is kept instead")
            yield ReceivedPicture(view.data, reported={**view.reported, "early_view": True}, usage=self._usage)
