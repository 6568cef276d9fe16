"""Size of an SVG, read from its root element (https://www.w3.org/TR/SVG2/coords.html)."""

import math
import re
from xml.parsers import expat

_ROOTS = {"svg", "http://www.w3.org/2000/svg svg"}
_LENGTH = re.compile(r"\s*(\d{1,9}(?:\.\d{1,9})?)(?:px)?\s*")
_DEFAULT = (300, 150)
"""Size without attributes (CSS 2.2, 10.3.2)."""


class _Found(Exception):
    """Stop parsing after the root element."""


def looks_like_svg(data: bytes) -> bool:
    """Return whether the bytes begin like XML and name the element within their first kilobytes."""
    return data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") and b"svg" in data[:8192]


def svg_size(data: bytes) -> tuple[int, int]:
    """Return width and height in pixels from the attributes or else from the view box.

    Raises ValueError unless the root element is `svg`, and for a document that declares entities.
    """
    attributes: dict[str, str] = {}

    def begin(name: str, given: dict[str, str]) -> None:
        if name in _ROOTS:
            attributes.update(given)
            raise _Found
        raise ValueError("not an SVG")

    def refuse(*_: object) -> None:
        raise ValueError("entities are not accepted")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = begin
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except _Found:
        return _measured(attributes)
    except expat.ExpatError as error:
        raise ValueError("not XML") from error
    raise ValueError("not an SVG")


def _measured(attributes: dict[str, str]) -> tuple[int, int]:
    given = [_LENGTH.fullmatch(attributes.get(name, "")) for name in ("width", "height")]
    box = attributes.get("viewBox", "").replace(",", " ").split()
    boxed = [_LENGTH.fullmatch(part) for part in box[2:]] if len(box) == 4 else [None, None]
    width, height = (
        math.ceil(float((own or other)[1])) if (own or other) else default  # type: ignore[index]
        for own, other, default in zip(given, boxed, _DEFAULT, strict=True)
    )
    return width, height
