"""Requests to the upstream: JSON for a generation, a form with files for an edit."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeAlias, cast

from pixyproxy.domain.errors import GeneratorRequestError
from pixyproxy.domain.generation import EditSource, GenerationRequest

GENERATIONS = "/images/generations"
EDITS = "/images/edits"
MODELS = "/models"

# Parameters that this adapter sets, which options cannot override.
_RESERVED = frozenset({"model", "prompt", "n", "stream"})
_URL_BY_DEFAULT = "dall-e-"
"""Models that answer with addresses unless `response_format` says otherwise; the later ones do not know it."""
# OpenAI's field names for the pictures of an edit, one or several.
_IMAGE, _IMAGES = "image", "image[]"

_EXTENSIONS = {"image/jpeg": "jpg", "image/svg+xml": "svg"}

FormFile: TypeAlias = tuple[str, tuple[str, BinaryIO, str]]


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """Content of a request: a JSON document or, with files, the fields of a form."""

    fields: dict[str, Any]
    document: bytes
    files: list[FormFile]


def write_request(request: GenerationRequest, model: str) -> UpstreamRequest:
    """Return the upstream's request, with its files at their beginning.

    Raises GeneratorRequestError if it cannot be written as JSON.
    """
    files = list(_form_files(request))
    reserved = _RESERVED | {_IMAGE, _IMAGES, *request.attachments} if files else _RESERVED
    if not request.early_views:
        reserved |= {"partial_images"}  # upstreams refuse it without a stream
    options = {name: value for name, value in request.options.items() if name not in reserved}
    body = {"prompt": request.prompt, "model": model, **options}
    if request.n > 1:
        body["n"] = request.n  # some upstreams do not know it
    if request.early_views:
        body["stream"] = True
    if model.rpartition("/")[2].startswith(_URL_BY_DEFAULT):  # gateways put a provider before it
        body["response_format"] = "b64_json"  # an address would have to be fetched
    try:
        document = _to_json(body)
        _to_json(list(request.attachments))
    except (TypeError, ValueError, RecursionError):
        raise GeneratorRequestError("The request cannot be written as JSON.") from None
    return UpstreamRequest(body, document, files)


def _to_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _form_files(request: GenerationRequest) -> Iterable[FormFile]:
    name = _IMAGE if len(request.images) == 1 else _IMAGES
    for number, image in enumerate(request.images, 1):
        yield _form_file(name, f"image-{number}", image)
    for name, image in request.attachments.items():
        yield _form_file(name, name, image)


def _form_file(name: str, stem: str, image: EditSource) -> FormFile:
    media_type = image.picture.media_type
    extension = _EXTENSIONS.get(media_type, media_type.partition("/")[2])
    return name, (f"{stem}.{extension}", cast("BinaryIO", EditSourceFile(image)), media_type)


class EditSourceFile:
    """The file of an edit source, as the HTTP client reads it: from its beginning and of the recorded length.

    The client would ask the operating system for the length, which misses bytes that are still in a buffer. It
    reads 64 KiB at a time in the event loop; files that were just written are in the page cache anyway. The position
    is kept here, so that one file can be sent twice at the same time.
    """

    def __init__(self, image: EditSource) -> None:
        self._file = image.file
        self._size = image.size_bytes
        self._position = 0

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._size - self._position)
        wanted = left if size < 0 else min(size, left)
        try:
            self._file.seek(self._position)
            data = self._file.read(wanted)
        except ValueError as error:
            raise OSError("the file of an edit source is closed") from error
        if len(data) < wanted:
            raise OSError("the file of an edit source is shorter than recorded")
        self._position += len(data)
        return data
