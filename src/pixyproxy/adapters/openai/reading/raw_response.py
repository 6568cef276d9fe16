"""Responses in bytes, read leniently: those whose header the HTTP client refuses."""

import re
from collections.abc import Mapping
from typing import NamedTuple

_STATUS_LINE = re.compile(rb"HTTP/\S+ +(\d{3})", re.IGNORECASE)
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_CHUNK_SIZE = re.compile(rb"\s*([0-9a-f]{1,8})[ \t]*(?:;[^\n]*)?\r?\n", re.IGNORECASE)


class RawResponse(NamedTuple):
    """Status, header fields by lower-case name, and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def split_response(raw: bytes) -> RawResponse:
    """Return the parts of a response; bytes that begin with no status line are the body of a successful one.

    Interim responses (1xx) are skipped and chunks are joined, as far as they go.
    """
    while (line := _STATUS_LINE.match(raw)) is not None:
        end = _BLANK_LINE.search(raw)
        head, body = (raw[: end.start()], raw[end.end() :]) if end is not None else (raw, b"")
        if int(line[1]) >= 200:
            headers = _fields(head)
            is_chunked = "chunked" in headers.get("transfer-encoding", "").lower()
            return RawResponse(int(line[1]), headers, _join_chunks(body) if is_chunked else body)
        raw = body
    return RawResponse(200, {}, raw)


def _fields(head: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in head.decode("latin-1").splitlines()[1:])
    return {name.strip().lower(): value.strip() for name, colon, value in lines if colon}


def _join_chunks(body: bytes) -> bytes:
    """Return the content of chunks, and what follows a wrong one as it is."""
    content = bytearray()
    position = 0
    while (size := _CHUNK_SIZE.match(body, position)) is not None:
        position = size.end() + int(size[1], 16)
        content += body[size.end() : position]
        if int(size[1], 16) == 0:
            return bytes(content)
    return bytes(content) + body[position:]
