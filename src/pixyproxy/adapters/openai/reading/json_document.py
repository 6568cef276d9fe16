"""JSON as upstreams send it: strict first, then with every mistake that leaves the pictures readable."""

import html
import json
import re
from typing import Any

import jiter

MAX_VALUES = 100_000

_BOM = b"\xef\xbb\xbf"
_AROUND = b" \t\r\n\x1e"
_MAX_DOCUMENTS = 1000
_TRAILING_COMMA = re.compile(r",(?=\s*[}\]])")
_PICTURE = re.compile(
    r"""["']([\w-]{0,24}(?:b64|base64)[\w-]{0,24}|url)\\?["']\s{0,9}:\s{0,9}\\?["']([^"']+)["']""", re.IGNORECASE
)
"""A member with a picture in any text; its quotes may be escaped, as in JSON within a text."""


def parse_json(data: bytes) -> Any:
    """Return the document in the bytes.

    Beyond JSON it accepts: a byte order mark, UTF-16 and UTF-32, bare control characters, lone surrogates (replaced),
    trailing commas, a document in a JSON string, several documents (a list of them), text after a document, a document
    that is cut off (what is whole of it), and as a last resort any text with members like `"b64_json": "…"`, also as
    HTML writes them.

    Raises ValueError for anything else, and for more than `MAX_VALUES` values.
    """
    data = data.removeprefix(_BOM).strip(_AROUND)
    # Base64 holds none of these. Each value takes a hundred times the memory of its text.
    if sum(data.count(mark) for mark in (b",", b"[", b"{")) > MAX_VALUES:
        raise ValueError("too many values")
    try:
        document = jiter.from_json(data, cache_mode="none")
    except ValueError:
        try:
            document = _parse_leniently(_decode(data))
        except RecursionError:
            raise ValueError("too deep") from None
    if isinstance(document, str) and document.lstrip().startswith(("{", "[", '"{', '"[')):
        return parse_json(document.encode("utf-8", "surrogatepass"))
    return document


def is_json(value: object) -> bool:
    """Return whether a parsed value can be written as JSON again: the parsers accept NaN, Infinity and surrogates."""
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return False
    return True


def _decode(data: bytes) -> str:
    return data.decode(json.detect_encoding(data), "replace").strip(" \t\r\n\ufeff")


def _parse_leniently(text: str) -> Any:
    documents: list[Any] = []
    decoder = json.JSONDecoder(strict=False)
    for candidate in (text, _TRAILING_COMMA.sub("", text)):
        documents, rest = _read_documents(decoder, candidate)
        if documents and not rest.startswith(("{", "[")):
            break
    if documents:
        return _without_surrogates(documents if len(documents) > 1 else documents[0])
    if text.startswith(("{", "[")):
        try:
            return jiter.from_json(text.encode("utf-8", "replace"), cache_mode="none", partial_mode="on")
        except ValueError:
            pass
    if "&quot;" in text or "&#34;" in text:
        text = html.unescape(text)
    found = [{name: _without_escapes(value)} for name, value in _PICTURE.findall(text)]
    if found:
        return {"data": found}
    raise ValueError("no JSON")


def _without_escapes(text: str) -> str:
    """Return a text without escapes, of which there are twice as many in JSON within a text."""
    for _ in range(2):
        try:
            text = json.loads(f'"{text.rstrip(chr(92))}"', strict=False) if "\\" in text else text
        except ValueError:
            break
    return text


def _read_documents(decoder: json.JSONDecoder, text: str) -> tuple[list[Any], str]:
    """Return the documents that stand one after the other in the text, and the text that is left."""
    documents: list[Any] = []
    position = 0
    for _ in range(_MAX_DOCUMENTS):
        if position == len(text):
            break
        try:
            document, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            break
        if isinstance(document, (dict, list, str)):
            documents.append(document)
        while position < len(text) and text[position] in " \t\r\n,\x1e":
            position += 1
    return documents, text[position:]


def _without_surrogates(value: Any) -> Any:
    """Replace lone surrogates, which no database, file or socket takes."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, dict):
        return {_without_surrogates(name): _without_surrogates(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without_surrogates(inner) for inner in value]
    return value
