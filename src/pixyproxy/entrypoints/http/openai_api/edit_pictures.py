"""The pictures of an edit: the names under which clients send them, and the texts that stand for them."""

import io
import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

from pixyproxy.application.fields import MAX_IMAGES
from pixyproxy.application.generation.edit_sources import Source, SourceReferences
from pixyproxy.application.spool import SpoolRegion
from pixyproxy.domain.base64_text import (
    decode_base64,
    decode_base64_pieces,
    decode_data_url,
    decode_data_url_pieces,
    is_data_url,
)
from pixyproxy.domain.errors import DataValidationError, ImageNotFoundError
from pixyproxy.domain.image import parse_guid

Loc: TypeAlias = tuple[str | int, ...]
OpenedAddress: TypeAlias = tuple[str, bool]
"""The GUID in an address, and true if the address is signed, so that whoever has it may see the image."""

_PICTURE_NAME = re.compile(
    r"(images?|image_urls?|input_images?|mask(?:_image|_url)?)(?:\[(\d{0,4})\])?(?:\[(?:file_id|image_url|url)\])?"
)
_HEAD_BYTES = 64
_PICTURE_URL = re.compile(r"\s{0,9}data:image/", re.IGNORECASE)
_BASE64_HEADS = ("iVBORw0KGgo", "/9j/", "_9j_", "R0lGOD", "UklGR", "AAAA")
"""Beginnings of PNG, JPEG, GIF, WebP, and AVIF or HEIC in base64."""
_ADDRESS_NAMES = ("image_url", "url", "b64_json", "base64")
_PASSED_ON = frozenset({"image_url", "image_urls", "mask_url"})
"""Names under which some generators take public addresses of pictures for a generation, too."""
_REFERENCE_TYPES = frozenset({"image", "image_url", "input_image", "image_file"})
_FORMS = "a data: URL, the GUID of a stored image, or an address of this service: other addresses are not fetched"


class EditPictures:
    """The pictures of one edit, as they are found in its body.

    Those of unknown names go on to the generator under these.
    """

    def __init__(self, open_address: Callable[[str], OpenedAddress | None]) -> None:
        """Take the function that reads an address of this service; it returns None for any other text."""
        self._open_address = open_address
        self._images: list[tuple[int | None, Source]] = []
        self._image_names: set[str] = set()
        self._attachments: dict[str, Source] = {}
        self._opened: set[str] = set()

    def add(self, name: str, source: Source) -> None:
        """Add a picture by the name that it was sent under, and own its file.

        Raises:
            DataValidationError: pictures of this name are ambiguous or too many.
        """
        found = _PICTURE_NAME.fullmatch(name)
        if found is not None and not found[1].startswith("mask"):
            self._images.append((int(found[2]) if found[2] else None, source))
            self._image_names.add(found[1])
            return
        known = "mask" if found is not None else name
        if known in self._attachments:
            _close(source)
            raise DataValidationError.at((known,), "must be given once only")
        self._attachments[known] = source
        if len(self._attachments) > MAX_IMAGES:
            raise DataValidationError.at((known,), f"must be one of at most {MAX_IMAGES} further pictures")

    def read_text(self, text: str | SpoolRegion, loc: Loc) -> Source:
        """Return the picture that a text stands for; raise DataValidationError if it stands for none.

        A long text is a region of the spool, where the picture takes its place.
        """
        try:
            if isinstance(text, SpoolRegion):
                head = text.read(_HEAD_BYTES).decode("utf-8", "replace")
                if is_data_url(head) or head.startswith(_BASE64_HEADS):
                    text.rewrite(decode_data_url_pieces if is_data_url(head) else decode_base64_pieces)
                    return text.open()
            elif is_data_url(text := text.strip()):
                return io.BytesIO(decode_data_url(text))
            elif text.startswith(_BASE64_HEADS) and len(text) > _HEAD_BYTES:
                return io.BytesIO(decode_base64(text.encode()))
            elif (guid := self._stored(text)) is not None:
                return guid
        except ValueError as error:
            raise DataValidationError.at(loc, str(error)) from None
        raise DataValidationError.at(loc, f"must be {_FORMS}")

    def read_reference(self, value: object, loc: Loc) -> Source:
        """Return the picture that a JSON value stands for: a text, or an object with `file_id` or `image_url`."""
        if isinstance(value, (str, SpoolRegion)):
            return self.read_text(value, loc)
        if _describes_picture(value):
            assert isinstance(value, Mapping)  # noqa: S101 - for the type checker
            url, file_id = _address_in(value), value.get("file_id")
            if isinstance(file_id, str) and url is None:
                # What is no GUID is no stored image: the use case says so.
                return self._stored(file_id.strip()) or file_id
            if isinstance(url, (str, SpoolRegion)) and file_id is None:
                return self.read_text(url, (*loc, "image_url"))
        raise DataValidationError.at(
            loc, f"must hold either file_id, the GUID of a stored image, or image_url; or be {_FORMS}"
        )

    def references(self) -> SourceReferences:
        """Return all pictures, numbered ones in the order of their numbers.

        Raises:
            DataValidationError: the order of the images is ambiguous, or they are too many.
        """
        numbers = [number for number, _ in self._images if number is not None]
        if len(self._image_names) > 1 or len(set(numbers)) < len(numbers) or 0 < len(numbers) < len(self._images):
            raise DataValidationError.at(
                ("image",), "must be sent under one name: image, image[] or images, or image[0], image[1] and so on"
            )
        if len(self._images) > MAX_IMAGES:
            raise DataValidationError.at(("images",), f"must be at most {MAX_IMAGES} images")
        ordered = sorted(self._images, key=lambda image: image[0] or 0)
        return SourceReferences([source for _, source in ordered], self._attachments, frozenset(self._opened))

    def close(self) -> None:
        """Close all files."""
        for source in (*(source for _, source in self._images), *self._attachments.values()):
            _close(source)

    def _stored(self, text: str) -> str | None:
        """Return the GUID of the stored image that a text names, None if it names none."""
        try:
            return parse_guid(text)
        except ImageNotFoundError:
            pass
        if (address := self._open_address(text)) is None:
            return None
        guid, is_signed = address
        if is_signed:
            self._opened.add(guid)
        return guid


def names_picture(name: str) -> bool:
    """Return true for `image`, `images`, `mask` and the like, also with `[]` or a number: they are no plain options."""
    return _PICTURE_NAME.fullmatch(name) is not None


def is_picture_url(text: object) -> bool:
    """Return true for a text that is the `data:` URL of a picture, which is no plain option under any name."""
    if isinstance(text, SpoolRegion):
        text = text.read(_HEAD_BYTES).decode("utf-8", "replace")
    return isinstance(text, str) and _PICTURE_URL.match(text) is not None


def refuse_pictures(parameters: Mapping[str, object]) -> None:
    """Raise DataValidationError if the parameters of a generation hold a picture, which would be shown as an option."""
    for name, value in parameters.items():
        listed = value if isinstance(value, list) else list(value.values()) if isinstance(value, Mapping) else [value]
        holds_picture = name != "prompt" and any(map(is_picture_url, listed))
        if value is not None and (holds_picture or (names_picture(name) and name not in _PASSED_ON)):
            raise DataValidationError.at((name,), "belongs to an edit: send it to /v1/images/edits")


def is_reference(value: object) -> bool:
    """Return true for an object that stands for a picture, under whatever name."""
    return isinstance(value, Mapping) and bool(value) and value.keys() <= {"image_url", "file_id"}


def _describes_picture(value: object) -> bool:
    """Return true for an object that stands for a picture where one is expected."""
    if not isinstance(value, Mapping) or str(value.get("type", "image")) not in _REFERENCE_TYPES:
        return False
    names = value.keys() - {"type"}
    return (len(names) == 1 and names <= {*_ADDRESS_NAMES}) or (bool(names) and names <= {"image_url", "file_id"})


def _address_in(reference: Mapping[str, object]) -> object:
    """Return the address in a reference: `{"image_url": …}`, `{"image_url": {"url": …}}` or `{"url": …}`."""
    address = next((reference[name] for name in _ADDRESS_NAMES if reference.get(name) is not None), None)
    return address.get("url", address) if isinstance(address, Mapping) else address


def _close(source: Source) -> None:
    if not isinstance(source, str):
        source.close()
