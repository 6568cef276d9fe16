"""Pictures written as text: `data:` URLs (RFC 2397) and base64, in every form that can be read."""

import base64
import re
from urllib.parse import unquote, unquote_to_bytes

_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_IGNORED = b" \t\r\n\f\v\0"
_MARK = "\ufeff".encode()
_IN_BASE64 = re.compile(r";\s*base64\s*$", re.IGNORECASE)


def is_data_url(text: str) -> bool:
    """Return whether a text is meant as a `data:` URL."""
    return text[:32].lstrip()[:5].lower() == "data:"


def decode_data_url(url: str) -> bytes:
    """Return the bytes of a `data:` URL, in base64 or percent-encoded.

    Raises:
        ValueError: the URL cannot be read; the message says what would be right.
    """
    head, comma, body = url.lstrip().partition(",")
    if not comma:
        raise ValueError("must be a data: URL with a comma before its data, such as data:image/png;base64,…")
    data = unquote_to_bytes(body)
    return decode_base64(data) if _IN_BASE64.search(unquote(head)) else data


def decode_base64(encoded: bytes) -> bytes:
    """Return the bytes of base64, as browsers decode it, in either alphabet (https://infra.spec.whatwg.org).

    White space, line breaks, missing padding and a byte order mark make no difference.

    Raises:
        ValueError: a character does not belong to base64, or one is missing.
    """
    digits = encoded.removeprefix(_MARK).translate(_URL_SAFE, _IGNORED).rstrip(b"=")
    try:
        return base64.b64decode(digits + b"=" * (-len(digits) % 4), validate=True)
    except ValueError:
        raise ValueError("must be valid base64") from None
