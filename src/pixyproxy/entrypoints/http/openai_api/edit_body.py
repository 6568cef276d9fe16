"""The body of an edit, multipart or JSON: its fields, and its pictures in temporary files."""

import asyncio
import codecs
from contextlib import closing
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

from pixyproxy.application.fields import MAX_IMAGES
from pixyproxy.application.generation.edit_sources import MAX_SOURCES_BYTES, Source, SourceReferences
from pixyproxy.application.images.signed_urls import SignedUrls
from pixyproxy.application.spool import Spool, SpoolFile, SpoolRegion
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.entrypoints.http.api.requests import (
    MAX_BODY_BYTES,
    BoundedRequest,
    is_json,
    media_type_of,
)
from pixyproxy.entrypoints.http.openai_api.edit_pictures import (
    EditPictures,
    OpenedAddress,
    is_picture_url,
    is_reference,
    names_picture,
)
from pixyproxy.entrypoints.http.openai_api.multipart_form import BadEncodingError, FormPart, MultipartForm, read_form
from pixyproxy.entrypoints.http.openai_api.spooled_json import LONG_TEXT_BYTES, load_texts, parse_spooled_json
from pixyproxy.entrypoints.http.representation.image_detail import Links

_MAX_MULTIPART_BYTES = MAX_SOURCES_BYTES + 2 * MAX_BODY_BYTES
_MAX_JSON_BYTES = MAX_SOURCES_BYTES * 4 // 3 + 2 * MAX_BODY_BYTES
_LISTS = frozenset({"tags", "tags[]"})
_NUMBERS = frozenset({"n"})
_FLAGS = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}


class EditBodyReader:
    """Reads bodies of edits into the spool, and parses one at a time."""

    def __init__(self, links: Links, signed_urls: SignedUrls, spool: Spool) -> None:
        self._links = links
        self._signed_urls = signed_urls
        self._spool = spool
        self._parsing = asyncio.Lock()

    async def read(self, request: Request) -> tuple[dict[str, Any], SourceReferences]:
        """Return the fields that are no pictures, and the pictures, whose files the caller closes.

        Raises:
            HTTPException: 400, 413 or 415.
            DataValidationError: a picture is malformed or repeated, or a text is in an unknown charset.
            CapacityExceededError, BlobStoreFullError: the spool has no room.
        """

        def open_address(address: str) -> OpenedAddress | None:
            found = self._links.stored_image(request, address)
            return None if found is None else (found[0], self._signed_urls.opens_query(*found))

        is_form = media_type_of(request) == "multipart/form-data"
        if not is_form and not is_json(request):
            raise HTTPException(415, "Send the body as multipart/form-data, or as JSON (application/json).")
        pictures = EditPictures(open_address)
        with closing(self._spool.open()) as file:
            try:
                if is_form:
                    body = BoundedRequest(request, _MAX_MULTIPART_BYTES).stream()
                    form = await read_form(request.headers["content-type"], body, file)
                    async with self._parsing:
                        fields = await asyncio.to_thread(_read_form_fields, form, pictures)
                else:
                    async for piece in BoundedRequest(request, _MAX_JSON_BYTES).stream():
                        await asyncio.to_thread(file.append, piece)
                    async with self._parsing:
                        fields = await asyncio.to_thread(_read_json_fields, file, pictures)
                return fields, pictures.references()
            except BaseException:
                pictures.close()
                raise


def _read_form_fields(form: MultipartForm, pictures: EditPictures) -> dict[str, Any]:
    """Return the texts of a form, and add its pictures."""
    fields: dict[str, Any] = {}
    for name, part in form.parts():
        means_picture = names_picture(name)
        if part.content.size == 0 and (part.filename == b"" or (part.filename is None and means_picture)):
            continue  # A browser was given no file, or a client has no picture for this name.
        if means_picture or _is_picture(part) or (name != "prompt" and is_picture_url(part.content)):
            pictures.add(name, _picture_of(name, part, pictures))
        elif name in _LISTS:
            fields.setdefault("tags", []).append(form.text(name, part))
        elif name in fields:
            raise DataValidationError.at((name,), "must be given once only")
        else:
            fields[name] = _parse_field(name, form.text(name, part))
    return fields


def _is_picture(part: FormPart) -> bool:
    """Return true if a part of any name is a picture: some clients send the type of one, but no file name."""
    is_file = part.filename is not None and not part.media_type.startswith("text/")
    return is_file or part.media_type.startswith("image/")


def _picture_of(name: str, part: FormPart, pictures: EditPictures) -> Source:
    """Return the picture in a part, or the one that its text stands for."""
    try:
        part.decode()
    except BadEncodingError as error:
        raise DataValidationError.at((name,), str(error)) from None
    if part.filename is None and (not part.media_type or part.media_type.startswith("text/")):
        if not _is_text(part.content):
            return part.content.open()  # The bytes of a picture, without a word on what they are.
        if part.content.size <= LONG_TEXT_BYTES:
            return pictures.read_text(part.content.read().decode(), (name,))
        return pictures.read_text(part.content, (name,))
    return part.content.open()


def _is_text(content: SpoolRegion) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for piece in content.pieces():
            decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _parse_field(name: str, text: str) -> Any:
    """Convert the numbers and flags that this service uses; other fields are passed on as text."""
    if name in _NUMBERS:
        number = text.strip().removesuffix(".0")  # some languages have no integers
        return int(number) if number.isdecimal() and len(number) < 10 else number
    return _FLAGS.get(text.strip().lower(), text) if name == "stream" else text


def _read_json_fields(file: SpoolFile, pictures: EditPictures) -> dict[str, Any]:
    """Return the members of a document that are no pictures, and add its pictures."""
    body = parse_spooled_json(file)
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
        elif is_reference(body[name]) or (name != "prompt" and is_picture_url(body[name])):
            pictures.add(name, pictures.read_reference(body.pop(name), (name,)))
    load_texts(body)
    return body
