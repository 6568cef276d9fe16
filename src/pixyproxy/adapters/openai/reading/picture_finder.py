"""Pictures in a document of the upstream, with their usage and the options that were used."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from pixyproxy.adapters.openai.reading.json_document import is_json, parse_json
from pixyproxy.adapters.openai.reading.picture_text import certain_picture, decode_picture, targets_in
from pixyproxy.domain.base64_text import is_data_url
from pixyproxy.domain.usage import CallUsage, split_usage

MAX_PICTURES = 16
"""Further pictures are ignored: no request can ask for more."""
MAX_DEPTH = 12

MAX_REPORTED = 32
MAX_REPORTED_CHARS = 256
"""Limits on the reported options: their number and the length of a text."""

# Members of a response, or of a stream's event, that are not options.
_NOT_OPTIONS = {"created", "created_at", "data", "usage", "model", "type", "b64_json", "url", "revised_prompt",
                "object", "id", "event_id", "sequence_number", "partial_image_index", "output_index"}  # fmt: skip

_BASE64_NAMES = ("b64_json", "b64", "base64", "image_base64", "bytesBase64Encoded")
_URL_NAMES = ("url", "image_url", "uri")
_PICTURE_NAMES = {*_BASE64_NAMES, *_URL_NAMES, "data", "image", "images", "result", "results", "output", "outputs",
                  "urls", "image_urls", "artifacts", "predictions"}  # fmt: skip
"""Names under which imitations of the API keep pictures: as base64, as an address, or as a list of either."""
_PICTURE_NAME = re.compile(
    r"b64|base64|bytes|blob|binary|image|img|picture|photo|artifact|prediction|output|result|response|payload"
    r"|body|content|sample|png|jpe?g|webp|^(?:data|url|urls|uri|file)$",
    re.IGNORECASE,
)
"""Parts of the names of base64 that begins like a picture; programs write them in many ways."""
_URL_NAME = re.compile(
    r"(?:image|img|picture|photo|artifact|output|result|sample|file|asset|media|download|signed)s?_?(?:ur[il]|link)s?$",
    re.IGNORECASE,
)
_ECHOES = {"input", "inputs", "request", "prompt", "parameters", "metadata", "error", "usage"}
"""Names under which a response repeats its request, perhaps with the pictures that were edited."""
_OTHER_NAME = re.compile(
    r"^init|input|(?<!re)source|referenc|mask|original_?(?:image|img|photo)|thumb|preview|avatar|logo", re.IGNORECASE
)
"""Parts of the names of pictures that are not what was made."""
_OTHER_TEXT = re.compile(
    r"prompt|poll|status|webhook|callback|message|msg|detail|reason|descr|title|html|error", re.IGNORECASE
)
"""Parts of the names of texts in which a picture would be an ornament, and of addresses that lead elsewhere."""


@dataclass(frozen=True, slots=True)
class ReceivedPicture:
    """One picture as the upstream sent it: its bytes, or the address where they are.

    `undecoded` is True while `data` is not yet the picture: an address, or text that is not base64.
    """

    data: bytes
    undecoded: bool = False
    url: str | None = None
    model: str | None = None
    revised_prompt: str | None = None
    usage: Mapping[str, Any] | None = None
    call_usage: CallUsage | None = None
    reported: Mapping[str, Any] | None = None

    @property
    def is_readable(self) -> bool:
        """True if there are bytes of a picture, or an address of one."""
        return not self.undecoded or self.url is not None


def find_pictures(document: Any, cost: float | None = None) -> list[ReceivedPicture]:
    """Return the pictures in a document, the usage split among them. Blocks for some milliseconds per megabyte.

    A usage without a cost gets that of the call, as far as it is known.

    They are looked for in OpenAI's place first, `data[]`, and where there are none in every place of its imitations.
    Metadata of the wrong type is ignored, and one bad entry does not cost the others.
    """
    response = document if isinstance(document, Mapping) else {}
    found = _in_data(response) or list(islice(_anywhere(document), MAX_PICTURES))
    pictures = [
        replace(
            picture,
            model=_text(response.get("model")),
            revised_prompt=_text(entry.get("revised_prompt")),
            reported=read_reported_options(response),
        )
        for entry, picture in found
    ]
    usage = usage_of(response)
    return share_usage(pictures, usage if cost is None else {"cost": cost, **(usage or {})})


def usage_of(document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the usage in a response or an event, or None."""
    usage = document.get("usage")
    return usage if isinstance(usage, dict) and is_json(usage) else None


def read_reported_options(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the options that the upstream says it used, or None if it says nothing."""
    reported: dict[str, Any] = {}
    for name, value in document.items():
        if name in _NOT_OPTIONS or name in _PICTURE_NAMES or len(name) > MAX_REPORTED_CHARS:
            continue
        if isinstance(value, (str, bool, int, float)) and is_json(value) and len(str(value)) <= MAX_REPORTED_CHARS:
            reported[name] = value
        if len(reported) == MAX_REPORTED:
            break
    return reported or None


def _in_data(document: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], ReceivedPicture]]:
    entries = document.get("data")
    if not isinstance(entries, list):
        return []
    return [
        found
        for entry in entries[:MAX_PICTURES]
        if isinstance(entry, dict)
        for found in islice(_anywhere(entry, "data"), MAX_PICTURES)
    ]


def _read_entry(entry: Mapping[str, Any]) -> ReceivedPicture | None:
    """Return the picture of an object with OpenAI's members, the first that can be read; None if it has none."""
    unread: ReceivedPicture | None = None
    for name in (*_BASE64_NAMES, *_URL_NAMES):
        value = entry.get(name)
        if isinstance(value, Mapping):  # `{"image_url": {"url": …}}`
            value = value.get("url")
        if isinstance(value, str) and value.strip():
            picture = _read_text(value, is_url=name in _URL_NAMES)
            if picture.is_readable:
                return picture
            unread = unread or picture
    return unread


def _read_text(text: str, *, is_url: bool) -> ReceivedPicture:
    if is_url and not (_is_absolute(text) or is_data_url(text)):
        text = next(targets_in(text), text)
    if _is_absolute(text) or (is_url and not is_data_url(text) and certain_picture(text) is None):
        url = text.strip()
        return ReceivedPicture(url.encode("utf-8", "replace"), undecoded=True, url=url)
    if data := decode_picture(text):
        return ReceivedPicture(data)
    return ReceivedPicture(text.encode("utf-8", "replace"), undecoded=True)


def _anywhere(value: Any, name: str = "images", depth: int = 0) -> Iterator[tuple[Mapping[str, Any], ReceivedPicture]]:
    """Yield the pictures anywhere in a document, with the object that each belongs to, in the document's order."""
    if depth > MAX_DEPTH or name in _ECHOES or _OTHER_NAME.search(name):
        return
    if isinstance(value, Mapping):
        own = _read_entry(value)
        if own is not None and own.url and name in ("urls", "links"):
            own = None
        if own is not None and not own.undecoded:
            yield value, own
            return
        found = [
            (entry or value, picture)
            for inner_name, inner in value.items()
            for entry, picture in islice(_anywhere(inner, inner_name, depth + 1), MAX_PICTURES)
        ]
        # An address beside bytes is one of the same picture.
        has_bytes = any(not picture.undecoded and (entry is value or own is not None) for entry, picture in found)
        if own is not None and not has_bytes:
            yield value, own
            return
        yield from ((entry, one) for entry, one in found if not (has_bytes and entry is value and one.undecoded))
    elif isinstance(value, list):
        for inner in value:
            yield from _anywhere(inner, name, depth + 1)
    elif isinstance(value, str) and not _OTHER_TEXT.search(name):
        yield from _in_text(value, name, depth)


def _in_text(text: str, name: str, depth: int) -> Iterator[tuple[Mapping[str, Any], ReceivedPicture]]:
    """Yield the pictures in a text of which the name alone does not say that it is one."""
    if _is_absolute(text) or (is_data_url(text) and name in _PICTURE_NAMES):
        if name in _PICTURE_NAMES or _URL_NAME.search(name):
            yield {}, _read_text(text, is_url=False)
    elif _PICTURE_NAME.search(name) and (data := certain_picture(text)) is not None:
        yield {}, ReceivedPicture(data)
    elif text.lstrip().startswith(("{", "[")):
        try:
            yield from _anywhere(parse_json(text.encode("utf-8", "surrogatepass")), name, depth + 1)
        except ValueError:
            return
    else:
        for target in targets_in(text):
            if _is_absolute(target):
                yield {}, _read_text(target, is_url=False)
            elif (data := certain_picture(target)) is not None:
                yield {}, ReceivedPicture(data)


def _is_absolute(text: str) -> bool:
    return text.lstrip()[:8].lower().startswith(("http://", "https://"))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def share_usage(pictures: list[ReceivedPicture], usage: Mapping[str, Any] | None) -> list[ReceivedPicture]:
    """Return the pictures with shares of a usage that came after them, unless they have one of their own."""
    if usage is None or any(picture.usage is not None for picture in pictures):
        return pictures
    parts = len(pictures)
    return [
        replace(picture, usage=share, call_usage=CallUsage(usage, parts, part))
        for part, (picture, share) in enumerate(zip(pictures, split_usage(usage, parts), strict=True))
    ]
