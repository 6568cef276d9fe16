"""JSON whose long texts stay in the spool is the same document, however it comes in pieces."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from pixyproxy.application.spool import Spool, SpoolFile, SpoolRegion
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.entrypoints.http.api.requests import parse_json
from pixyproxy.entrypoints.http.openai_api import spooled_json
from pixyproxy.entrypoints.http.openai_api.spooled_json import load_texts, parse_spooled_json

TEXTS = st.text(st.sampled_from('a/\\"\n\u00e9\u20ac\U0001f600\ud83d ,[{'), max_size=40)
DOCUMENTS = st.dictionaries(
    st.text(max_size=4),
    st.recursive(
        TEXTS | st.integers() | st.none(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
        max_leaves=12,
    ),
    max_size=4,
)


@pytest.fixture(params=[1, 2, 3, 7, 1000])
def small(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in small pieces, and take texts of a few bytes for long ones."""
    monkeypatch.setattr(spooled_json, "PIECE_BYTES", request.param)
    monkeypatch.setattr(spooled_json, "LONG_TEXT_BYTES", 5)


def spooled(data: bytes) -> SpoolFile:
    file = Spool(None, 2**30).open()
    file.append(data)
    return file


def read(data: bytes) -> Any:
    body = parse_spooled_json(spooled(data))
    if isinstance(body, dict):
        load_texts(body)
    return body


def outcome(data: bytes) -> Any:
    try:
        return parse_json(data)
    except HTTPException as error:
        return error.status_code


@settings(deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(DOCUMENTS, st.booleans(), st.sampled_from([1, 2, 3, 7, 1000]), st.integers(0, 9))
def test_a_document_is_the_same(document: dict[str, Any], ascii_only: bool, piece: int, length: int) -> None:
    data = json.dumps(document, ensure_ascii=ascii_only).encode("utf-8", "replace")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spooled_json, "PIECE_BYTES", piece)
        patch.setattr(spooled_json, "LONG_TEXT_BYTES", length)
        try:
            assert read(data) == json.loads(data)
        except DataValidationError:
            assert any(len(json.dumps(name)) - 2 > length for name in names_of(document))


def names_of(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        value = value.values()
    for inner in value if isinstance(value, list) or hasattr(value, "mapping") else ():
        yield from names_of(inner)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"  ",
        b"{",
        b'{"a": "0123456789',
        b'{"a": "0123456789\\',
        b'{"a": "0123456789\\u12',
        b'{"a": "01234\\x6789"}',
        b'{"a": "01234\\u12g46789"}',
        b'{"a": "01234\\u12"}',
        b'{"a": "01234\n56789"}',
        b'{"a": "0123456789" "b"}',
        b'{"a": "0123456789"} x',
        b'{"a": "0123456789\xff"}',
        b'{"a": "0123456789\xe2\x82"}',
        b'{"a": "0123456789\xc3',
        b'{"a": "0123456789", "a": 1}',
        b'["0123456789"]',
        b'"0123456789"',
        b'\xef\xbb\xbf{"a": "0123456789"}',
        b'{"a": NaN, "b": "0123456789"}',
    ],
)
def test_a_malformed_document_is_refused_as_before(data: bytes) -> None:
    expected = outcome(data)
    if isinstance(expected, int):
        with pytest.raises(HTTPException) as caught:
            read(data)
        assert caught.value.status_code == expected
    elif isinstance(expected, dict):
        assert read(data) == expected


@pytest.mark.usefixtures("small")
def test_a_long_text_is_in_the_spool_without_escapes() -> None:
    file = spooled(b'{"a": "0\\/\\u00e9\\ud83d\\ude00 and more", "b": "short", "c": ["abcdefghi"]}')
    body = parse_spooled_json(file)
    assert body["b"] == "short"
    assert isinstance(body["a"], SpoolRegion)
    assert body["c"][0].read() == b"abcdefghi"
    load_texts(body)
    assert body == {"a": "0/\u00e9\U0001f600 and more", "b": "short", "c": ["abcdefghi"]}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("value", ["1", "{}", "[]", '"text"', '"a long text"'])
def test_a_long_name_is_refused(value: str) -> None:
    with pytest.raises(DataValidationError, match="names of ordinary length"):
        read(f'{{"a": [{{"0123456789": {value}}}]}}'.encode())


def test_what_is_parsed_and_loaded_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spooled_json, "MAX_REST_BYTES", 100)
    monkeypatch.setattr(spooled_json, "MAX_BODY_BYTES", 100_000)
    monkeypatch.setattr(spooled_json, "MAX_VALUES", 10)
    assert read(b'{"a": "%b"}' % (b"a" * 90_000)) == {"a": "a" * 90_000}
    for data, words in (
        (b'{"a": %b1}' % (b" " * 100), "The fields"),
        (b'{"a": "%b"}' % (b"a" * 100), "The fields"),
        (b'{"a": [%b1]}' % (b"1," * 10), "more than 10 values"),
        (b'""' * 21, "more than 10 values"),
        (b'{"a": "%b", "b": "%b"}' % (b"a" * 90_000, b"b" * 20_000), "The texts"),
    ):
        with pytest.raises(HTTPException, match=words) as caught:
            read(data)
        assert caught.value.status_code == 413
