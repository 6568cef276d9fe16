"""Pictures written as text: `data:` URLs (RFC 2397) and base64, in every form that can be read."""

import re
from urllib.parse import unquote, unquote_to_bytes

import pybase64

_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_WHITE_SPACE = b" \t\r\n\f\v"
_IN_BASE64 = re.compile(r";\s*base64\s*$", re.IGNORECASE)


def is_data_url(text: str) -> bool:
    """Return true if a text, without white space around it, is meant as a `data:` URL."""
    return text[:5].lower() == "data:"


def decode_data_url(url: str) -> bytes:
    """Return the bytes of a `data:` URL, in base64 or percent-encoded.

    Raises:
        ValueError: the URL cannot be read; the message says what would be right.
    """
    head, comma, body = url.partition(",")
    if not comma:
        raise ValueError("must be a data: URL with a comma before its data, such as data:image/png;base64,…")
    data = unquote_to_bytes(body)
    return decode_base64(data) if _IN_BASE64.search(unquote(head)) else data


def decode_base64(encoded: bytes) -> bytes:
    """Return the bytes of base64, as browsers decode it, in either alphabet (https://infra.spec.whatwg.org).

    White space, missing padding and line breaks make no difference.

    Raises:
        ValueError: a character does not belong to base64, or one is missing.
    """
    digits = encoded.translate(_URL_SAFE, _WHITE_SPACE).rstrip(b"=")
    try:
        return pybase64.b64decode(digits + b"=" * (-len(digits) % 4), validate=True)
    except ValueError:
        raise ValueError("must be valid base64") from None
