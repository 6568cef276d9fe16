"""JSON with the mistakes that upstreams make."""

from contextlib import suppress
from typing import Any

import pytest

from pixyproxy.adapters.openai.reading.json_document import is_json, parse_json

PAIR = {"a": [1, "b"]}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"a": [1, "b"]}', PAIR),
        (b'  {"a": [1, "b"]}\r\n', PAIR),
        (b'\xef\xbb\xbf{"a": [1, "b"]}', PAIR),
        ('{"a": [1, "b"]}'.encode("utf-16"), PAIR),
        ('{"a": [1, "b"]}'.encode("utf-16-be").join([b"\xfe\xff", b""]), PAIR),
        ('{"a": [1, "b"]}\n'.encode("utf-16-le"), PAIR),
        ('{"a": [1, "b"]}\n'.encode("utf-16-be"), PAIR),
        (' {"a": [1, "b"]}'.encode("utf-16-le"), PAIR),
        ('{"a": [1, "b"]}'.encode("utf-32"), PAIR),
        (b'{"a": [1, "b",],}', PAIR),
        (b'"{\\"a\\": [1, \\"b\\"]}"', PAIR),
        (b'{"a": [1, "b"]} // served by x', PAIR),
        (b'{"a": [1, "b"]}\x00', PAIR),
        (b'{"a": 1}\n{"b": 2}\n', [{"a": 1}, {"b": 2}]),
        (b'\x1e{"a": 1}\n', {"a": 1}),
        (b'{"a": "x\ny\x01"}', {"a": "x\ny\x01"}),
        (b'{"a": "\\ud83e", "b": "\\ud83e\\udd86"}', {"a": "\ufffd", "b": "🦆"}),
        (b'{"a": "\xff"}', {"a": "\ufffd"}),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b'{"a": [1, 2', {"a": [1, 2]}),
        (b'{"a": [{"b": "c"}, {"d": "e', {"a": [{"b": "c"}, {}]}),
        (b"{'data': [{'b64_json': 'QUJD'}]}", {"data": [{"b64_json": "QUJD"}]}),
        (b'junk "url" : "http://x/" junk', {"data": [{"url": "http://x/"}]}),
        (b'<pre>{&quot;b64_json&quot;: &quot;QUJD&quot;}</pre>', {"data": [{"b64_json": "QUJD"}]}),
        (b'junk {"image_b64":"QUJD"} junk', {"data": [{"image_b64": "QUJD"}]}),
        (b'junk {"imageBase64":"QUJD"} junk', {"data": [{"imageBase64": "QUJD"}]}),
        (b'junk {"url":"http:\\/\\/x\\/\\u0041"} junk', {"data": [{"url": "http://x/A"}]}),
        (b'junk "{\\"b64_json\\":\\"QU\\\\/D\\"}" junk', {"data": [{"b64_json": "QU/D"}]}),
        (b"17", 17),
        (b'"text"', "text"),
        (b"null", None),
    ],
)  # fmt: skip
def test_documents_are_parsed(data: bytes, expected: Any) -> None:
    assert parse_json(data) == expected


@pytest.mark.parametrize("data", [b"", b" ", b"<html>", b"\x89PNG", b"oops", b"\xff\xfe", b"\xef\xbb\xbf"])
def test_other_bytes_are_an_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        parse_json(data)


@pytest.mark.parametrize(
    "data", [b"[" * 100_000, b'{"data": ' + b"[" * 100_000, b"[" * 900 + b"]" * 900, b'{"a":' * 100_000]
)
def test_a_deep_document_is_an_error_or_a_document_but_no_crash(data: bytes) -> None:
    with suppress(ValueError):
        parse_json(data)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [1.5, None, True]}, True),
        (float("nan"), False),
        ([float("inf")], False),
        ("\ud800", False),
        ({"\ud800": 1}, False),
    ],
)
def test_values_that_json_cannot_express_are_told_apart(value: object, expected: bool) -> None:
    assert is_json(value) == expected
