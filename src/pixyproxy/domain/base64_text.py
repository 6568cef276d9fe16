"""Pictures written as text: `data:` URLs (RFC 2397) and base64, in every form that can be read."""

import base64
import itertools
import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote, unquote_to_bytes

_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_IGNORED = b" \t\r\n\f\v\0"
_MARK = "\ufeff".encode()
_HEAD_BYTES = 64
_IN_BASE64 = re.compile(r";\s*base64\s*$", re.IGNORECASE)


def is_data_url(text: str) -> bool:
    """Return whether a text is meant as a `data:` URL."""
    return text[:32].lstrip()[:5].lower() == "data:"


def decode_data_url(url: str) -> bytes:
    """Return the bytes of a `data:` URL, in base64 or percent-encoded.

    Raises:
        ValueError: the URL cannot be read; the message says what would be right.
    """
    return b"".join(decode_data_url_pieces([url.encode("utf-8", "replace")]))


def decode_data_url_pieces(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what `decode_data_url` returns of a URL in pieces, the first of which holds what is before its data."""
    rest = iter(pieces)
    head, comma, first = next(rest, b"").partition(b",")
    while comma and is_data_url(first[:_HEAD_BYTES].decode("utf-8", "replace")):  # a program put one before another
        head, comma, first = first.partition(b",")
    if not comma:
        raise ValueError("must be a data: URL with a comma before its data, such as data:image/png;base64,…")
    data = _unquoted(itertools.chain([first], rest))
    yield from decode_base64_pieces(data) if _IN_BASE64.search(unquote(head.decode("utf-8", "replace"))) else data


def decode_base64(encoded: bytes) -> bytes:
    """Return the bytes of base64, as browsers decode it, in either alphabet (https://infra.spec.whatwg.org).

    White space, line breaks, missing padding and a byte order mark make no difference.

    Raises:
        ValueError: a character does not belong to base64, or one is missing.
    """
    return b"".join(decode_base64_pieces([encoded]))


def decode_base64_pieces(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what `decode_base64` returns of base64 in pieces."""
    rest, is_first, is_padded = b"", True, False
    for piece in pieces:
        digits = (piece.removeprefix(_MARK) if is_first else piece).translate(_URL_SAFE, _IGNORED)
        digits, padding, after = digits.partition(b"=")
        if (is_padded and digits) or after.strip(b"="):
            raise ValueError("must be valid base64")
        is_first, is_padded = is_first and not piece, is_padded or padding != b""
        digits = rest + digits
        whole = len(digits) // 4 * 4
        rest = digits[whole:]
        yield _decoded(digits[:whole])
    yield _decoded(rest + b"=" * (-len(rest) % 4))


def _decoded(digits: bytes) -> bytes:
    try:
        return base64.b64decode(digits, validate=True)
    except ValueError:
        raise ValueError("must be valid base64") from None


def _unquoted(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield pieces without percent-encoding; an escape may be in two of them."""
    rest = b""
    for piece in pieces:
        piece = rest + piece
        cut = piece.find(b"%", max(0, len(piece) - 2))
        whole, rest = (piece, b"") if cut < 0 else (piece[:cut], piece[cut:])
        yield unquote_to_bytes(whole)
    yield unquote_to_bytes(rest)
