"""JSON documents in the spool, whose long texts stay there while the rest is parsed."""

import json
import re
import secrets
from collections.abc import Iterator
from typing import Any

from starlette.exceptions import HTTPException

from pixyproxy.application.spool import PIECE_BYTES, SpoolFile, SpoolRegion
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.entrypoints.http.api.requests import MAX_BODY_BYTES, parse_json

LONG_TEXT_BYTES = 16 * 1024
"""Texts that are longer stay in the spool."""
MAX_VALUES = 100_000
"""Very many values would take many times the memory of their text."""
MAX_REST_BYTES = 2 * MAX_BODY_BYTES
"""Limit of what is parsed at once: fields and small pictures."""

_IN_TEXT = re.compile(rb'(?:[^"\\]++|\\(?:u[0-9a-fA-F]{4}|[^u]))*+', re.DOTALL)
"""The beginning of a text, up to its end or to an escape that is not whole."""
_LONGEST_ESCAPE = 6
_NOT_IN_TEXT = bytes(range(32))
_MIB = 1024 * 1024


def parse_spooled_json(file: SpoolFile) -> Any:
    """Parse a document, with a region of UTF-8 in place of each long text.

    The texts are written over as they are read, without escapes.

    Raises:
        HTTPException: 400 if it is not JSON in UTF-8, 413 if too much of it is no long text.
        DataValidationError: a name is a long text.
    """
    scanner = _Scanner(file)
    for at in range(0, file.size, PIECE_BYTES):
        if not scanner.feed(file.read(at, PIECE_BYTES)):
            break
    document = scanner.end()
    if sum(document.count(mark) for mark in (b",", b"[", b"{")) > MAX_VALUES:
        raise _too_many_values()
    body = parse_json(document)
    for container, key, value in _members(body) if scanner.regions else ():
        if key in scanner.regions:
            raise DataValidationError.at((), "must be a JSON object with names of ordinary length")
        if isinstance(value, str) and value in scanner.regions:
            container[key] = scanner.regions[value]
    return body


def load_texts(body: dict[str, Any]) -> None:
    """Load the long texts of a document; raise HTTPException 413 if they are too many bytes for fields."""
    size = 0
    for container, key, region in _members(body):
        if not isinstance(region, SpoolRegion):
            continue
        size += region.size
        if size > MAX_BODY_BYTES:
            raise HTTPException(413, f"The texts of the body are larger than {MAX_BODY_BYTES // _MIB} MiB.")
        # Two halves of a character may have been decoded apart.
        text = region.read().decode("utf-8", "surrogatepass")
        container[key] = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


class _Scanner:
    """Splits a document that comes in pieces into its long texts and the rest, where these have names instead."""

    def __init__(self, file: SpoolFile) -> None:
        self.regions: dict[str, SpoolRegion] = {}
        self._file = file
        # Nobody else can write this name into the document.
        self._name = secrets.token_hex(16)
        self._document = bytearray()
        self._position = self._texts = 0
        self._rest = b""
        self._text: _Text | None = None

    def feed(self, piece: bytes) -> bool:
        """Take the next piece; return False if the document is malformed up to here."""
        piece = self._rest + piece
        start, self._position = self._position - len(self._rest), self._position + len(piece) - len(self._rest)
        at = 0
        while at < len(piece):
            if self._text is None:
                quote = piece.find(b'"', at)
                end = len(piece) if quote < 0 else quote
                self._add(piece[at:end])
                at = end + 1
                if quote >= 0:
                    self._text = _Text(self._file, start + at)
                continue
            found = _IN_TEXT.match(piece, at)
            assert found is not None  # noqa: S101 - it matches nothing at least
            end = found.end()
            is_end = piece[end : end + 1] == b'"'
            if end == len(piece):
                end -= _cut_character(piece[at:])
            self._text.add(piece[at:end])
            at = end
            if is_end:
                self._end_text(self._text)
                at += 1
            elif len(piece) - at < _LONGEST_ESCAPE:
                break
            else:
                self._add(b'"' + self._text.raw + piece[at:])
                return False
        self._rest = piece[at:]
        return True

    def end(self) -> bytes:
        """Return the document without its long texts."""
        if self._text is not None:
            self._add(b'"' + self._text.raw + self._rest)
        return bytes(self._document)

    def _end_text(self, text: "_Text") -> None:
        self._text = None
        self._texts += 1
        if self._texts > 2 * MAX_VALUES:  # names, too
            raise _too_many_values()
        if text.region is None:
            self._add(b'"' + text.raw + b'"')
            return
        name = f"{self._name}{len(self.regions)}"
        self.regions[name] = text.region
        self._add(f'"{name}"'.encode())

    def _add(self, part: bytes) -> None:
        self._document += part
        if len(self._document) > MAX_REST_BYTES:
            raise HTTPException(413, f"The fields of the body are larger than {MAX_REST_BYTES // _MIB} MiB.")


class _Text:
    """A text of which more is to come: as it was sent while it is short, then without escapes in a region."""

    def __init__(self, file: SpoolFile, start: int) -> None:
        self.raw = bytearray()
        self.region: SpoolRegion | None = None
        self._file = file
        self._start = start

    def add(self, part: bytes) -> None:
        """Add a part that ends between two characters."""
        if self.region is None:
            self.raw += part
            if len(self.raw) <= LONG_TEXT_BYTES:
                return
            self.region = SpoolRegion(self._file, self._start)
            part = bytes(self.raw)
            self.raw.clear()
        self.region.extend(_unescaped(part))


def _too_many_values() -> HTTPException:
    return HTTPException(413, f"The body holds more than {MAX_VALUES} values.")


def _unescaped(part: bytes) -> bytes:
    try:
        if b"\\" in part or len(part.translate(None, _NOT_IN_TEXT)) < len(part):
            text: str = json.loads(f'"{part.decode()}"')
            return text.encode("utf-8", "surrogatepass")
        if not part.isascii():
            part.decode()
    except UnicodeDecodeError:
        raise HTTPException(400, "The body is not UTF-8 text.") from None
    except ValueError:
        raise HTTPException(400, "The body is not JSON: line breaks in texts are written as \\n.") from None
    return part


def _cut_character(part: bytes) -> int:
    """Return the number of bytes at the end that are the beginning of a character in UTF-8."""
    for count, first in ((1, 0xC0), (2, 0xE0), (3, 0xF0)):
        if count <= len(part) and part[-count] >= first:
            return count
    return 0


def _members(value: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Yield container, key or index, and value of each value in a document."""
    left = [value] if isinstance(value, (dict, list)) else []
    while left:
        container = left.pop()
        for key, inner in list(container.items() if isinstance(container, dict) else enumerate(container)):
            yield container, key, inner
            if isinstance(inner, (dict, list)):
                left.append(inner)
