"""Requests to the upstream: JSON for a generation, a form with files for an edit."""

import json
from collections.abc import Iterator
from typing import Any

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from pixyproxy.domain.errors import GeneratorRequestError
from pixyproxy.domain.generation import EditSource, GenerationRequest

GENERATIONS = "/images/generations"
EDITS = "/images/edits"
MODELS = "/models"

# Parameters that this adapter sets, which options cannot override.
_RESERVED = frozenset({"model", "prompt", "n", "stream"})
# OpenAI's field names for the pictures of an edit, one or several.
_IMAGE, _IMAGES = "image", "image[]"

_EXTENSIONS = {"image/jpeg": "jpg", "image/svg+xml": "svg"}
_PIECE_BYTES = 64 * 1024


def write_request(request: GenerationRequest, model: str, *, streamed: bool) -> bytes | aiohttp.MultipartWriter:
    """Return the body of the upstream's request: a JSON document, or a form if there are files.

    Raises GeneratorRequestError if it cannot be written as JSON.
    """
    name = _IMAGE if len(request.images) == 1 else _IMAGES
    files = [(name, f"image-{number}", image) for number, image in enumerate(request.images, 1)]
    files += [(name, name, image) for name, image in request.attachments.items()]
    reserved = _RESERVED | {_IMAGE, _IMAGES, *request.attachments} if files else _RESERVED
    if not streamed:
        reserved |= {"partial_images"}  # upstreams refuse it without a stream
    options = {name: value for name, value in request.options.items() if name not in reserved}
    body = {"prompt": request.prompt, "model": model, "n": request.n, **options}
    if streamed:
        body["stream"] = True
    try:
        document = _to_json(body)
        _to_json(list(request.attachments))
    except (TypeError, ValueError, RecursionError):
        raise GeneratorRequestError("The request cannot be written as JSON.") from None
    return _write_form(body, files) if files else document


def _to_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _write_form(body: dict[str, Any], files: list[tuple[str, str, EditSource]]) -> aiohttp.MultipartWriter:
    form = aiohttp.MultipartWriter("form-data")
    for field, value in body.items():
        for name, text in _flatten(field, value):
            part = form.append(text)
            del part.headers["Content-Type"]  # a plain field, which some servers recognise by having none
            part.set_content_disposition("form-data", quote_fields=False, name=_escape(name))
    for name, stem, image in files:
        media_type = image.picture.media_type
        extension = _EXTENSIONS.get(media_type, media_type.partition("/")[2])
        part = form.append_payload(EditSourcePayload(image, content_type=media_type))
        filename = _escape(f"{stem}.{extension}")
        part.set_content_disposition("form-data", quote_fields=False, name=_escape(name), filename=filename)
    return form


def _flatten(name: str, value: object) -> Iterator[tuple[str, str]]:
    """Yield the fields of a value as OpenAI's SDK names them: `a[b]` in an object, `a[]` in a list, none for null."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flatten(f"{name}[{key}]", inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _flatten(f"{name}[]", inner)
    elif isinstance(value, bool):
        yield name, "true" if value else "false"
    elif value is not None:
        yield name, str(value)


def _escape(name: str) -> str:
    """Escape a name in a form (HTML Living Standard, 4.10.21.8)."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


class EditSourcePayload(aiohttp.Payload):
    """The file of an edit source as part of a form: from its beginning and of the recorded length.

    It is read in pieces in the event loop; files that were just written are in the page cache anyway. Each piece is
    sought, so that one file can be sent twice at the same time.
    """

    _value: EditSource

    @property
    def size(self) -> int:
        return self._value.size_bytes

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise NotImplementedError("a file is never in memory as a whole")

    async def write(self, writer: AbstractStreamWriter) -> None:
        position = 0
        while position < self.size:
            self._value.file.seek(position)
            piece = self._value.file.read(min(_PIECE_BYTES, self.size - position))
            if not piece:
                raise OSError("the file of an edit source is shorter than recorded")
            await writer.write(piece)
            position += len(piece)
