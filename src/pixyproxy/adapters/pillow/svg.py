"""Size of an SVG, read from its root element (https://www.w3.org/TR/SVG2/coords.html)."""

import math
import re
from xml.parsers import expat

from pixyproxy.adapters.pillow.header_bytes import HeaderBytes

_ROOTS = {"svg", "http://www.w3.org/2000/svg svg"}
_LENGTH = re.compile(r"\s*(\d{1,9}(?:\.\d{1,9})?)(?:px)?\s*")
_DEFAULT = (300, 150)
"""Size without attributes (CSS 2.2, 10.3.2)."""
_MAX_BYTES = 1024 * 1024
_PIECE_BYTES = 16 * 1024
"""The parser goes on to the end of a piece whatever it finds, and some declarations take it quadratic time."""


def looks_like_svg(data: bytes) -> bool:
    """Return whether the bytes begin like XML and name the element within their first kilobytes."""
    return data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") and b"svg" in data[:8192]


def svg_size(head: HeaderBytes) -> tuple[int, int]:
    """Return width and height in pixels from the attributes or else from the view box.

    Raises ValueError unless the root element is `svg` and begins in the first megabyte, and for a document with
    declarations of its own, such as entities.
    """
    root: list[tuple[str, dict[str, str]]] = []

    def begin(name: str, attributes: dict[str, str]) -> None:
        root.append((name, attributes))
        parser.StartElementHandler = None

    def check_type(name: str, system_id: str | None, public_id: str | None, has_declarations: bool) -> None:
        if has_declarations:
            raise ValueError("declarations are not accepted")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = begin
    parser.StartDoctypeDeclHandler = check_type
    size = min(head.size, _MAX_BYTES)
    try:
        for at in range(0, size, _PIECE_BYTES):
            end = min(at + _PIECE_BYTES, size)
            parser.Parse(head.read(at, end - at), end == size)
            if root:
                break
    except expat.ExpatError as error:
        if not root:
            raise ValueError("not XML") from error
    if not root or root[0][0] not in _ROOTS:
        raise ValueError("not an SVG")
    return _measured(root[0][1])


def _measured(attributes: dict[str, str]) -> tuple[int, int]:
    given = [_LENGTH.fullmatch(attributes.get(name, "")) for name in ("width", "height")]
    box = attributes.get("viewBox", "").replace(",", " ").split()
    boxed = [_LENGTH.fullmatch(part) for part in box[2:]] if len(box) == 4 else [None, None]
    width, height = (
        math.ceil(float((own or other)[1])) if (own or other) else default  # type: ignore[index]
        for own, other, default in zip(given, boxed, _DEFAULT, strict=True)
    )
    return width, height
