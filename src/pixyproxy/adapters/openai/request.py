"""Writing a request: JSON for a generation, a form with files for an edit."""

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

# What this adapter says itself.
OURS = frozenset({"model", "prompt", "n", "stream"})
# OpenAI's words for the pictures of an edit, one or several.
IMAGE, IMAGES = "image", "image[]"

_EXTENSIONS = {"image/jpeg": "jpg", "image/svg+xml": "svg"}

Part: TypeAlias = tuple[str, tuple[str, BinaryIO, str]]


@dataclass(frozen=True, slots=True)
class Call:
    """What a request holds: a JSON document or, with files, the fields of a form."""

    fields: dict[str, Any]
    document: bytes
    files: list[Part]


def write_call(request: GenerationRequest, model: str, *, streamed: bool) -> Call:
    """The call of the upstream for a request, its files at their beginning.

    Raises GeneratorRequestError for what cannot be written, before anything is sent; the SDK would raise errors
    that look like ours.
    """
    parts = list(_parts(request))
    ours = OURS | {IMAGE, IMAGES, *request.attachments} if parts else OURS
    if not streamed:
        ours |= {"partial_images"}  # which upstreams refuse where nothing is streamed
    options = {name: value for name, value in request.options.items() if name not in ours}
    body = {"prompt": request.prompt, "model": model, "n": request.n, **options}
    if streamed:
        body["stream"] = True
    try:
        document = _document(body)
        _document(list(request.attachments))
    except (TypeError, ValueError, RecursionError):
        raise GeneratorRequestError("The request cannot be written as JSON.") from None
    return Call(body, document, parts)


def _document(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _parts(request: GenerationRequest) -> Iterable[Part]:
    name = IMAGE if len(request.images) == 1 else IMAGES
    for number, image in enumerate(request.images, 1):
        yield _part(name, f"image-{number}", image)
    for name, image in request.attachments.items():
        yield _part(name, name, image)


def _part(name: str, stem: str, image: EditSource) -> Part:
    media_type = image.picture.media_type
    extension = _EXTENSIONS.get(media_type, media_type.partition("/")[2])
    return name, (f"{stem}.{extension}", cast("BinaryIO", UploadedSource(image)), media_type)


class UploadedSource:
    """A file as the HTTP client reads it while it sends: from its beginning, and as long as was recorded.

    The client would ask the operating system for the length, which does not know of what is still in a buffer. It
    reads 64 KiB at a time, in the event loop: files that were just written lie in memory anyway. The position is
    kept here, so that a file may be sent twice at once.
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
        self._file.seek(self._position)
        data = self._file.read(wanted)
        if len(data) < wanted:
            raise OSError("a picture to be edited is shorter than it was")
        self._position += len(data)
        return data
