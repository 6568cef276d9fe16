"""The body of an edit, multipart or JSON: its fields, and its pictures in temporary files."""

import asyncio
import binascii
import tempfile
from collections.abc import Mapping
from typing import Any, BinaryIO

import pybase64
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from pixyproxy.application.fields import MAX_IMAGES
from pixyproxy.application.generation.edit_sources import (
    MAX_SOURCES_BYTES,
    Source,
    SourceReferences,
)
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.entrypoints.http.api.requests import (
    MAX_BODY_BYTES,
    BoundedRequest,
    media_type_of,
    parse_json,
    require_json,
)

_MAX_FILES = 32
_MAX_FIELDS = 200
_MAX_VALUES = 100_000
_MAX_MULTIPART_BYTES = MAX_SOURCES_BYTES + 2 * MAX_BODY_BYTES
_MAX_JSON_BYTES = MAX_SOURCES_BYTES * 4 // 3 + 2 * MAX_BODY_BYTES
_IN_MEMORY_BYTES = 1024 * 1024
_IMAGE_NAMES = frozenset({"image", "image[]", "images", "images[]"})
_LISTS = frozenset({"tags", "tags[]"})
_NUMBERS = frozenset({"n"})
_FLAGS = {"true": True, "false": False}


class EditBodyReader:
    """Reads bodies of edits; large ones lie on disk, and one JSON document at a time is in memory."""

    def __init__(self) -> None:
        self._parsing = asyncio.Lock()

    async def read(self, request: Request) -> tuple[dict[str, Any], SourceReferences]:
        """Return the fields that are no pictures, and the pictures, whose files the caller closes.

        Raises:
            HTTPException: 400, 413 or 415.
            DataValidationError: a picture is malformed or repeated.
        """
        if media_type_of(request) == "multipart/form-data":
            return await _read_multipart(request)
        require_json(request)
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as spool:
            async for piece in BoundedRequest(request, _MAX_JSON_BYTES).stream():
                await asyncio.to_thread(spool.write, piece)
            async with self._parsing:
                return await asyncio.to_thread(_read_json, spool)  # type: ignore[arg-type]


async def _read_multipart(request: Request) -> tuple[dict[str, Any], SourceReferences]:
    """Read a form (RFC 7578); files go to disk as they arrive."""
    form = await BoundedRequest(request, _MAX_MULTIPART_BYTES).form(
        max_files=_MAX_FILES, max_fields=_MAX_FIELDS, max_part_size=MAX_BODY_BYTES
    )
    fields: dict[str, Any] = {}
    images: list[Source] = []
    attachments: dict[str, Source] = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile) and name in _IMAGE_NAMES:
            images.append(value.file)
        elif name in _LISTS and isinstance(value, str):
            fields.setdefault("tags", []).append(value)
        elif name in fields or name in attachments:
            await form.close()
            raise DataValidationError.at((name,), "must be given once only")
        elif isinstance(value, UploadFile):
            attachments[name] = value.file
        else:
            fields[name] = _parse_field(name, value)
    return fields, SourceReferences(images, attachments)


def _parse_field(name: str, text: str) -> Any:
    """Convert the numbers and flags that this service uses; other fields are passed on as text."""
    if name in _NUMBERS and text.isdecimal() and len(text) < 10:
        return int(text)
    return _FLAGS.get(text.lower(), text) if name == "stream" else text


def _read_json(spool: BinaryIO) -> tuple[dict[str, Any], SourceReferences]:
    spool.seek(0)
    raw = spool.read()
    # Base64 contains none of these characters. Very many values would take many times the memory of their text.
    if sum(raw.count(mark) for mark in (b",", b"[", b"{")) > _MAX_VALUES:
        raise HTTPException(413, f"The body holds more than {_MAX_VALUES} values.")
    body = parse_json(raw)
    del raw
    if not isinstance(body, dict):
        raise DataValidationError.at((), "must be a JSON object with named fields")
    listed = body.pop("images", None)
    if not isinstance(listed, list) or not listed:
        raise DataValidationError.at(
            ("images",), 'must be a list such as [{"file_id": "GUID"}] or [{"image_url": "data:…"}]'
        )
    if len(listed) > MAX_IMAGES:
        raise DataValidationError.at(("images",), f"must be at most {MAX_IMAGES} images")
    named = [name for name, value in body.items() if _is_reference(value)]
    if len(named) > MAX_IMAGES:
        raise DataValidationError.at((named[-1],), f"must be one of at most {MAX_IMAGES} further pictures")
    images: list[Source] = []
    attachments: dict[str, Source] = {}
    sources = SourceReferences(images, attachments)
    try:
        for number, image in enumerate(listed):
            images.append(_source(image, ("images", number)))
        for name in named:
            attachments[name] = _source(body.pop(name), (name,))
    except BaseException:
        sources.close()
        raise
    return body, sources


def _is_reference(value: object) -> bool:
    return isinstance(value, Mapping) and bool(value) and value.keys() <= {"image_url", "file_id"}


def _source(reference: object, loc: tuple[str | int, ...]) -> Source:
    if _is_reference(reference) and isinstance(reference, Mapping):
        url, file_id = reference.get("image_url"), reference.get("file_id")
        if isinstance(file_id, str) and url is None:
            return file_id
        if isinstance(url, str) and file_id is None:
            return _decode_data_url(url, (*loc, "image_url"))
    raise DataValidationError.at(loc, "must hold either file_id, the GUID of a stored image, or image_url, a data: URL")


def _decode_data_url(url: str, loc: tuple[str | int, ...]) -> BinaryIO:
    """Return a file with the bytes of a data: URL (RFC 2397)."""
    head, comma, encoded = url.partition(",")
    if not head.lower().startswith("data:"):
        raise DataValidationError.at(loc, "must be a data: URL: other addresses are not fetched")
    if not comma or not head.lower().endswith(";base64"):
        raise DataValidationError.at(loc, "must be a data: URL in base64, such as data:image/png;base64,…")
    try:
        data = pybase64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise DataValidationError.at(loc, "must be valid base64") from None
    file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115 - the source is closed by its user
    file.write(data)
    return file  # type: ignore[return-value]
