"""Responses in bytes, split into header and body."""

import pytest

from pixyproxy.adapters.openai.reading.raw_response import RawResponse, split_parts, split_response


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            b"HTTP/1.1 200 OK\r\nA: b\r\nno colon\r\n\r\nbody\r\n\r\nrest",
            RawResponse(200, {"a": "b"}, b"body\r\n\r\nrest"),
        ),
        (b"http/1.0 404\nX :y\n\nbody", RawResponse(404, {"x": "y"}, b"body")),
        (b"HTTP/1.1 200 OK\r\nA: b", RawResponse(200, {"a": "b"}, b"")),
        (b"HTTP/1.1 200 OK\r\n\r\n\x89PNG\r\n\x1a\n", RawResponse(200, {}, b"\x89PNG\r\n\x1a\n")),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 502 x\r\n\r\nbody", RawResponse(502, {}, b"body")),
        (b"HTTP/1.1 100 Continue\r\n\r\n", RawResponse(200, {}, b"")),
        (b'{"data": []}', RawResponse(200, {}, b'{"data": []}')),
        (b"", RawResponse(200, {}, b"")),
    ],
)
def test_header_and_body_are_split(raw: bytes, expected: RawResponse) -> None:
    assert split_response(raw) == expected


@pytest.mark.parametrize(
    ("chunks", "body"),
    [
        (b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", b"abcde"),
        (b"3 \nabc\nA\n0123456789\n0\n\n", b"abc0123456789"),
        (b"3\r\nabc\r\n5\r\nde", b"abcde"),
        (b"3\r\nabc\r\nzz\r\nde", b"abc\r\nzz\r\nde"),
        (b'{"no": "chunks"}', b'{"no": "chunks"}'),
        (b"", b""),
    ],
)
def test_chunks_are_joined_as_far_as_they_go(chunks: bytes, body: bytes) -> None:
    raw = b"HTTP/1.1 200 OK\r\nno colon\r\nTransfer-Encoding: Chunked\r\n\r\n" + chunks
    assert split_response(raw).body == body


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        (b"--x\r\nContent-Type: image/png\r\n\r\nabc\r\n--x--\r\n", [b"abc"]),
        (b"\r\n--x\r\nA: b\r\n\r\nab\r\n\r\nc\r\n--x\r\nA: b\r\n\r\nd\r\n--x--", [b"ab\r\n\r\nc", b"d"]),
        (b"--x\nA: b\n\nabc\n--x--\n", [b"abc"]),
        (b"--x\r\n\r\nno fields\r\n--x--", [b"no fields"]),
        (b"--x \r\nA: b\r\n\r\nabc\r\n--x--\r\n\r\nan epilogue", [b"abc"]),
        (b"--x\r\nA: b\r\n\r\nno end", [b"no end"]),
        (b"--x\r\nno blank line", []),
        (b"--x no delimiter\r\n\r\nabc", []),
        (b"{}", []),
        (b"", []),
    ],
)
def test_parts_are_split(body: bytes, parts: list[bytes]) -> None:
    assert split_parts(body) == parts
