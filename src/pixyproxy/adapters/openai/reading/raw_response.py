"""Responses in bytes, read leniently: those whose header the HTTP client refuses, and bodies in parts."""

import re
from collections.abc import Mapping
from typing import NamedTuple

_STATUS_LINE = re.compile(rb"HTTP/\S+ +(\d{3})", re.IGNORECASE)
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_CHUNK_SIZE = re.compile(rb"\s*([0-9a-f]{1,8})[ \t]*(?:;[^\n]*)?\r?\n", re.IGNORECASE)


_DELIMITER = re.compile(rb"\s{0,9}--([^\s\x00-\x1f]{1,70})[ \t]{0,9}\r?\n")
_MAX_INTERIM = 100
_MAX_CHUNKS = 100_000
_MAX_PARTS = 64
"""Responses before the one, chunks and parts that are read; each costs about a microsecond, however small it is."""


class RawResponse(NamedTuple):
    """Status, header fields by lower-case name, and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def split_response(raw: bytes) -> RawResponse:
    """Return the parts of a response; bytes that begin with no status line are the body of a successful one.

    Interim responses (1xx) are skipped and chunks are joined, as far as they go.
    """
    start = 0
    for _ in range(_MAX_INTERIM):
        if (line := _STATUS_LINE.match(raw, start)) is None:
            break
        end = _BLANK_LINE.search(raw, start)
        head_end, body_start = end.span() if end is not None else (len(raw), len(raw))
        if int(line[1]) >= 200:
            headers, body = _fields(raw[start:head_end]), raw[body_start:]
            is_chunked = "chunked" in headers.get("transfer-encoding", "").lower()
            return RawResponse(int(line[1]), headers, _join_chunks(body) if is_chunked else body)
        start = body_start
    return RawResponse(200, {}, raw[start:])


def split_parts(body: bytes) -> list[bytes]:
    """Return the parts of a body that begins like one in several parts (RFC 2046, section 5.1); none of another."""
    if (delimiter := _DELIMITER.match(body)) is None:
        return []
    contents = []
    for piece in (b"\n" + body.lstrip()).split(b"\n--" + delimiter[1], _MAX_PARTS)[1:]:
        if piece.startswith(b"--"):
            break
        part = b"\n" + piece.partition(b"\n")[2]  # without fields a part begins with the blank line
        if (blank := _BLANK_LINE.search(part)) is not None:
            contents.append(part[blank.end() :].removesuffix(b"\r"))
    return contents


def _fields(head: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in head.decode("latin-1").splitlines()[1:])
    return {name.strip().lower(): value.strip() for name, colon, value in lines if colon}


def _join_chunks(body: bytes) -> bytes:
    """Return the content of chunks, and what follows a wrong one as it is."""
    content = bytearray()
    position = 0
    for _ in range(_MAX_CHUNKS):
        if (size := _CHUNK_SIZE.match(body, position)) is None:
            break
        position = size.end() + int(size[1], 16)
        content += body[size.end() : position]
        if int(size[1], 16) == 0:
            return bytes(content)
    return bytes(content) + body[position:]
