"""Pictures as text: base64, quickly where it is as it should be, and forgivingly where it is not."""

from urllib.parse import unquote_to_bytes

import pybase64

from pixyproxy.domain import base64_text


def decode_picture(text: str) -> bytes | None:
    """Return the bytes of base64 in any readable form or of a `data:` URL; None for other text."""
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
