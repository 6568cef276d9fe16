"""The body of an edit, multipart or JSON: its fields, and its pictures in temporary files."""

import asyncio
import tempfile
from typing import Any, BinaryIO

from starlette.exceptions import HTTPException
from starlette.requests import Request

from pixyproxy.application.fields import MAX_IMAGES
from pixyproxy.application.generation.edit_sources import (
    MAX_SOURCE_BYTES,
    MAX_SOURCES_BYTES,
    Source,
    SourceReferences,
)
from pixyproxy.application.images.signed_urls import SignedUrls
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.entrypoints.http.api.requests import (
    MAX_BODY_BYTES,
    BoundedRequest,
    is_json,
    media_type_of,
    parse_json,
)
from pixyproxy.entrypoints.http.openai_api.edit_pictures import EditPictures, OpenedAddress, is_reference, names_picture
from pixyproxy.entrypoints.http.openai_api.multipart_form import BadEncodingError, FormPart, MultipartForm, read_form
from pixyproxy.entrypoints.http.representation.image_detail import Links

_MAX_VALUES = 100_000
_MAX_MULTIPART_BYTES = MAX_SOURCES_BYTES + 2 * MAX_BODY_BYTES
_MAX_JSON_BYTES = MAX_SOURCES_BYTES * 4 // 3 + 2 * MAX_BODY_BYTES
_MAX_PICTURE_TEXT_BYTES = MAX_SOURCE_BYTES * 3 // 2
_MIB = _IN_MEMORY_BYTES = 1024 * 1024
_LISTS = frozenset({"tags", "tags[]"})
_NUMBERS = frozenset({"n"})
_FLAGS = {"true": True, "false": False}


class EditBodyReader:
    """Reads bodies of edits; large ones lie on disk, and the text of one at a time is in memory."""

    def __init__(self, links: Links, signed_urls: SignedUrls) -> None:
        self._links = links
        self._signed_urls = signed_urls
        self._parsing = asyncio.Lock()

    async def read(self, request: Request) -> tuple[dict[str, Any], SourceReferences]:
        """Return the fields that are no pictures, and the pictures, whose files the caller closes.

        Raises:
            HTTPException: 400, 413 or 415.
            DataValidationError: a picture is malformed or repeated, or a text is in an unknown charset.
        """

        def open_address(address: str) -> OpenedAddress | None:
            found = self._links.stored_image(request, address)
            return None if found is None else (found[0], self._signed_urls.opens_query(*found))

        pictures = EditPictures(open_address)
        try:
            if media_type_of(request) == "multipart/form-data":
                body = BoundedRequest(request, _MAX_MULTIPART_BYTES).stream()
                form = await read_form(request.headers["content-type"], body)
                async with self._parsing:
                    fields = await asyncio.to_thread(_read_form_fields, form, pictures)
            elif is_json(request):
                fields = await self._read_json(request, pictures)
            else:
                raise HTTPException(415, "Send the body as multipart/form-data, or as JSON (application/json).")
            return fields, pictures.references()
        except BaseException:
            pictures.close()
            raise

    async def _read_json(self, request: Request, pictures: EditPictures) -> dict[str, Any]:
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as spool:
            async for piece in BoundedRequest(request, _MAX_JSON_BYTES).stream():
                await asyncio.to_thread(spool.write, piece)
            async with self._parsing:
                return await asyncio.to_thread(_read_json_fields, spool, pictures)  # type: ignore[arg-type]


def _read_form_fields(form: MultipartForm, pictures: EditPictures) -> dict[str, Any]:
    """Return the texts of a form, and add its pictures."""
    fields: dict[str, Any] = {}
    try:
        for name, part in form.parts():
            means_picture = names_picture(name)
            if part.size() == 0 and (part.filename == b"" or (part.filename is None and means_picture)):
                continue  # A browser was given no file, or a client has no picture for this name.
            if means_picture or _is_picture(part):
                pictures.add(name, _picture_of(name, part, pictures))
            elif name in _LISTS:
                fields.setdefault("tags", []).append(form.text(name, part))
            elif name in fields:
                raise DataValidationError.at((name,), "must be given once only")
            else:
                fields[name] = _parse_field(name, form.text(name, part))
    finally:
        form.close()
    return fields


def _is_picture(part: FormPart) -> bool:
    """Return true if a part of any name is a picture: some clients send the type of one, but no file name."""
    is_file = part.filename is not None and not part.media_type.startswith("text/")
    return is_file or part.media_type.startswith("image/")


def _picture_of(name: str, part: FormPart, pictures: EditPictures) -> Source:
    """Return the picture in a part, or the one that its text stands for."""
    try:
        if part.filename is None and (not part.media_type or part.media_type.startswith("text/")):
            if part.size() > _MAX_PICTURE_TEXT_BYTES:
                raise DataValidationError.at((name,), f"must be at most {MAX_SOURCE_BYTES // _MIB} MiB large")
            try:
                text = part.read().decode("utf-8")
            except UnicodeDecodeError:
                return part.take_file()  # The bytes of a picture, without a word on what they are.
            return pictures.read_text(text, (name,))
        return part.take_file()
    except BadEncodingError as error:
        raise DataValidationError.at((name,), str(error)) from None


def _parse_field(name: str, text: str) -> Any:
    """Convert the numbers and flags that this service uses; other fields are passed on as text."""
    if name in _NUMBERS and text.isdecimal() and len(text) < 10:
        return int(text)
    return _FLAGS.get(text.lower(), text) if name == "stream" else text


def _read_json_fields(spool: BinaryIO, pictures: EditPictures) -> dict[str, Any]:
    """Return the members of a document that are no pictures, and add its pictures."""
    spool.seek(0)
    raw = spool.read()
    # Base64 contains none of these characters. Very many values would take many times the memory of their text.
    if sum(raw.count(mark) for mark in (b",", b"[", b"{")) > _MAX_VALUES:
        raise HTTPException(413, f"The body holds more than {_MAX_VALUES} values.")
    body = parse_json(raw)
    del raw
    if not isinstance(body, dict):
        raise DataValidationError.at((), "must be a JSON object with named fields")
    for name in list(body):
        if names_picture(name):
            given = body.pop(name)
            listed = given if isinstance(given, list) else [given] if given is not None else []
            if len(listed) > MAX_IMAGES:
                raise DataValidationError.at((name,), f"must be at most {MAX_IMAGES} images")
            for number, value in enumerate(listed):
                loc = (name, number) if isinstance(given, list) else (name,)
                pictures.add(name, pictures.read_reference(value, loc))
        elif is_reference(body[name]):
            pictures.add(name, pictures.read_reference(body.pop(name), (name,)))
    return body
