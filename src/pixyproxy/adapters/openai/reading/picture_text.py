"""Pictures as text: base64, quickly where it is as it should be, and forgivingly where it is not."""

import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

import pybase64

from pixyproxy.adapters.openai.reading.content_coding import sniff_coding, unpack
from pixyproxy.domain import base64_text

_SIGNATURES = re.compile(rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF....WEBP|BM|II\*\x00|MM\x00\*|....ftyp|\xff\x0a"
                         rb"|\x00\x00\x00\x0cJXL|\s*<(?:svg|\?xml)", re.DOTALL)  # fmt: skip
_SNIFFED_BYTES = 1024
_MIN_BASE64_CHARS = 64
_MAX_WRAPPINGS = 3
"""Codings around a picture, one in the other, that are undone."""
_MAX_UNPACKED_BYTES = 64 * 1024 * 1024
_QUOTES = "\"'`"
_DATA_URL = re.compile(r"data:image/[\w.+-]{1,40}(?:;[\w.=-]{1,40}){0,4};base64,[A-Za-z0-9+/=_%-]+", re.IGNORECASE)


def looks_like_picture(data: bytes) -> bool:
    """Return whether the bytes begin like a picture of a known format."""
    return _SIGNATURES.match(data, 0, _SNIFFED_BYTES) is not None


def decode_picture(text: str) -> bytes | None:
    """Return the bytes of base64 in any readable form or of a `data:` URL; None for other text.

    Base64 of something that is a picture only after it is decoded once more is decoded once more.
    """
    data = _decode(text)
    if data is None:
        unquoted = _unquoted(text)
        data = None if unquoted == text else _decode(unquoted)
    if data is None or looks_like_picture(data):
        return data
    return _unwrapped(text, data) or data


def certain_picture(text: str) -> bytes | None:
    """Return the bytes of a text of any origin if they begin like a picture, else None."""
    data = decode_picture(text) if len(text) >= _MIN_BASE64_CHARS else None
    return data if data and looks_like_picture(data) else None


def targets_in(text: str) -> Iterator[str]:
    """Yield the addresses of the pictures in Markdown, and `data:` URLs of pictures in other text."""
    before, *rest = text.split("](")
    has_markdown = False
    for part in rest:
        target, end, _ = part.partition(")")
        if end and "![" in before and (words := target.split()):
            has_markdown = True
            yield words[0].strip("<>")
        before = part
    if not has_markdown:
        yield from _DATA_URL.findall(text)


def _decode(text: str) -> bytes | None:
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        pass
    try:
        if base64_text.is_data_url(text):
            return base64_text.decode_data_url(text)
        encoded = text.encode()
        return base64_text.decode_base64(unquote_to_bytes(encoded) if b"%" in encoded else encoded)
    except ValueError:
        return None


def _unquoted(text: str) -> str:
    """Return a text without the quotes that a program wrote around it, such as Python's `b'…'`."""
    bare = text.strip()
    if len(bare) > 2 and bare[0] in "bB" and bare[1] in _QUOTES:
        bare = bare[1:]
    return bare.strip(_QUOTES)


def _unwrapped(text: str, data: bytes) -> bytes | None:
    """Return the picture in bytes that are packed or encoded once more, or in hexadecimal text; None if there is none.

    Every digit of hexadecimal text is one of base64, too.
    """
    try:
        if looks_like_picture(decoded := bytes.fromhex(text)):
            return decoded
    except ValueError:
        pass
    for _ in range(_MAX_WRAPPINGS):
        if codings := sniff_coding(data):
            inner: bytes | None = unpack(data, codings, _MAX_UNPACKED_BYTES)
        else:
            inner = _decode(_unquoted(data.decode())) if data.isascii() else None
        if inner is None or looks_like_picture(inner):
            return inner
        data = inner
    return None
