"""Nothing that reads a request or an upstream's answer takes long for a part of 16 KiB, whatever it is."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpx2
import pytest
from starlette.requests import Request

from pixyproxy.adapters.openai.error_messages import read_error_document, read_error_message
from pixyproxy.adapters.openai.picture_fetcher import MAX_URL_CHARS
from pixyproxy.adapters.openai.reading.event_parser import EventParser, sniff_events
from pixyproxy.adapters.openai.reading.json_document import parse_json
from pixyproxy.adapters.openai.reading.raw_response import split_response
from pixyproxy.adapters.openai.retry_after import retry_after
from pixyproxy.adapters.pillow.header_bytes import HeaderBytes
from pixyproxy.adapters.pillow.svg import svg_size
from pixyproxy.domain.base64_text import decode_data_url
from pixyproxy.domain.errors import GeneratorResponseError
from pixyproxy.domain.filename import filename_for
from pixyproxy.domain.search_terms import index_terms, query_terms
from pixyproxy.entrypoints.http.api.requests import accepts
from pixyproxy.entrypoints.logs import escaped, escaped_word
from pixyproxy.web_origin import parse_origin
from tests.fixtures.http_app import HttpApp, http_app, log_lines
from tests.security.slow_input import SIZE, Shape, slowest

UNITS = (
    *" \t,;=\"'\\-/.:%&+*()[]{}<>@a0é",
    *(
        ", ",
        ',"',
        ';"',
        '\\"',
        'W/"',
        "a,",
        "a;",
        "a=",
        ";a=",
        "1-",
        "-,",
        "::",
        "%4",
        "%",
        "../",
        "//",
        "q=0.",
        "\r\n",
    ),
)


def shapes(sample: str) -> list[Shape]:
    """Return texts that begin like the sample or not, and go on with one thing many times."""
    return [Shape(*parts) for parts in itertools.product(("", sample), (*UNITS, f"{sample},"), ("!",))]


@pytest.fixture(scope="module")
def call() -> Iterator[Callable[..., Any]]:
    """Call the application without a network; `{guid}` in a path is a stored image."""
    with asyncio.Runner() as runner:
        context = http_app(PIXYPROXY_FORWARDED_ALLOW_IPS="127.0.0.1", PIXYPROXY_CORS_ORIGINS="https://a.example")
        app: HttpApp = runner.run(context.__aenter__())
        guid = runner.run(app.create(auth=None))["guid"]

        def call(
            method: str, path: str, headers: Iterable[tuple[str, str]] = (), query: str = "", body: bytes = b""
        ) -> Any:
            fields = [(name.encode(), value.encode("latin-1")) for name, value in headers]
            messages = [{"type": "http.request", "body": body}]
            return runner.run(
                app.raw(
                    method,
                    path.replace("{guid}", guid),
                    headers=fields,
                    query=query.encode("ascii", "ignore"),
                    messages=messages,
                )
            )

        yield call
        runner.run(context.__aexit__(None, None, None))


READ_FIELDS = {
    "range": "bytes=0-1",
    "if-range": '"abc"',
    "if-match": 'W/"abc"',
    "if-none-match": 'W/"abc"',
    "if-modified-since": "Sat, 21 Nov 2026 10:00:00 GMT",
    "if-unmodified-since": "Sat, 21 Nov 2026 10:00:00 GMT",
    "accept": "image/webp;q=0.5",
    "accept-encoding": "gzip;q=0.5",
    "authorization": "Basic YTpi",
    "cookie": 'a="b\\"c"; pixyproxy=d',
    "host": "test.example:80",
    "origin": "https://test.example:443",
    "x-forwarded-for": '"[::1]:80"',
    "x-forwarded-host": "test.example:80",
    "x-forwarded-prefix": "/a.b/c",
    "x-forwarded-proto": "https",
}


@pytest.mark.parametrize("path", ["/image/{guid}/content", "/image/{guid}/thumbnail", "/docs/assets/swagger-ui.css"])
@pytest.mark.parametrize("field", READ_FIELDS)
def test_no_header_field_of_a_read_takes_long(call: Callable[..., Any], path: str, field: str) -> None:
    assert slowest(lambda text: call("GET", path, [(field, text)]), shapes(READ_FIELDS[field])) is None


@pytest.mark.parametrize("field", READ_FIELDS)
def test_no_repeated_header_field_takes_long(call: Callable[..., Any], field: str) -> None:
    fields = [(field, READ_FIELDS[field])] * (SIZE // len(field + READ_FIELDS[field]))
    assert slowest(lambda _: call("GET", "/image/{guid}/content", fields), [Shape("", "a", "")]) is None


@pytest.mark.parametrize(
    ("path", "field", "sample"),
    [
        ("/image", "idempotency-key", "a-b"),
        ("/image", "prefer", 'respond-async; wait="1"'),
        ("/image", "content-type", 'application/json; charset="utf-8"'),
        ("/image", "content-encoding", "gzip"),
        ("/v1/images/edits", "content-type", 'multipart/form-data; boundary="X"'),
        ("/v1/images/generations", "x-stainless-retry-count", "1"),
    ],
)
def test_no_header_field_of_a_write_takes_long(call: Callable[..., Any], path: str, field: str, sample: str) -> None:
    def use(text: str) -> None:
        call("POST", path, [(field, text), ("content-type", "application/json")], body=b'{"prompt": ""}')

    assert slowest(use, shapes(sample)) is None


@pytest.mark.parametrize(
    "start",
    ["/", "/image/", "/image/{guid}/content/", "/docs/assets/", "/v1/images/", "/v1/models/", "/x/images/edits/"],
)
def test_no_path_takes_long(call: Callable[..., Any], start: str) -> None:
    assert slowest(lambda text: call("GET", text), shapes(start)) is None


@pytest.mark.parametrize(
    "name", ["prompt", "filename", "guid", "tag", "author", "cursor", "limit", "created_after", "status", "other"]
)
def test_no_parameter_takes_long(call: Callable[..., Any], name: str) -> None:
    texts = shapes(f"{name}=2026-11-21T10:00:00")
    assert slowest(lambda text: call("GET", "/image", query=text), texts) is None


@pytest.mark.parametrize("name", ["prompt", "filename", "model", "size", "edit_of", "tags", "other"])
@pytest.mark.parametrize("path", ["/image", "/v1/images/generations", "/v1/images/edits"])
def test_no_text_in_a_body_takes_long(call: Callable[..., Any], path: str, name: str) -> None:
    def use(text: str) -> None:
        value = [text] if name == "tags" else text
        call("POST", path, [("content-type", "application/json")], body=json.dumps({name: value}).encode())

    assert slowest(use, shapes("data:image/png;base64,AAAA")) is None


TEXTS: list[tuple[Callable[[str], object], str]] = [
    (decode_data_url, "data:image/png; base64,AA"),
    (lambda text: escaped(escaped_word(text)), "a b=\u2028"),
    (lambda text: filename_for(text, "0b9f1c2d-6a41-4c0e-9a53-0d6f2f1f7c55", "image/png"), "a duck."),
    (index_terms, "a-duck 密鸭 é"),
    (query_terms, "a-duck 密鸭 é"),
    (lambda text: httpx2.URL(text.encode("ascii", "replace").decode()[:MAX_URL_CHARS]), "https://a@b.example:80/c?d#e"),
    (parse_origin, "https://a.example:80"),
    (lambda text: parse_json(text.encode()), '[{"b64_json": "a\\n"},'),
    (lambda text: parse_json(text.encode()), '{"data": [{"url": "a"}], }'),
    (lambda text: parse_json(json.dumps(text).encode()), '["\\"'),
    (lambda text: split_response(text.encode()), "HTTP/1.1 100 x\r\n\r\n"),
    (lambda text: split_response(f"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n{text}".encode()), "1\r\nx\r\n"),
    (lambda text: (sniff_events(text.encode()), EventParser(SIZE * 2).feed(text.encode())), "data: a\n\n"),
    (lambda text: read_error_message(text.encode(), "sk-secret"), '{"error": {"message": "Bearer a sk-a***"}}'),
    (lambda text: read_error_message(json.dumps({"error": text}).encode(), "sk-secret"), "Bearer a sk-aaa***"),
    (
        lambda text: read_error_document(json.dumps({"error": {"message": text}}).encode(), "sk-secret"),
        "Bearer a sk-a***",
    ),
    (lambda text: retry_after({"retry-after": text, "date": text}), "Sat, 21 Nov 2026 10:00:00 GMT"),
    (lambda text: svg_size(HeaderBytes(text.encode())), '<svg width="1px" viewBox="0 0 1 1">'),
    (lambda text: svg_size(HeaderBytes(f"<svg width='{text}' viewBox='{text}'/>".encode())), "1.5px"),
]


@pytest.mark.parametrize(("read", "sample"), TEXTS, ids=itertools.count())
def test_no_text_takes_its_reader_long(read: Callable[[str], object], sample: str) -> None:
    def use(text: str) -> None:
        with contextlib.suppress(ValueError, httpx2.InvalidURL, GeneratorResponseError):
            read(text)

    assert slowest(use, shapes(sample)) is None


@pytest.mark.parametrize(
    "start",
    ["", "--X", '--X\r\nContent-Disposition: form-data; name="a', "--X\r\nContent-Type: text/plain; charset=",
     "--X\r\nA",      '--X\r\nContent-Disposition: form-data; name="prompt"\r\n\r\na'],
)  # fmt: skip
def test_no_form_takes_long(call: Callable[..., Any], start: str) -> None:
    fields = [("content-type", "multipart/form-data; boundary=X")]
    texts = shapes(start)
    assert slowest(lambda text: call("POST", "/v1/images/edits", fields, body=text.encode()), texts) is None


def test_a_long_range_is_refused_and_says_so(call: Callable[..., Any]) -> None:
    response = call("GET", "/image/{guid}/content", [("range", "bytes=0" + " " * 2400 + "-1")])
    assert (response.status, response.header("content-range").partition("/")[0]) == (416, "bytes *")
    assert b"at most 200 characters" in response.body


def test_a_range_of_nothing_known_is_ignored_however_long(call: Callable[..., Any]) -> None:
    assert call("GET", "/image/{guid}/content", [("range", "items=" + "0" * 2400)]).status == 200


def test_a_long_content_type_of_a_form_is_refused_and_says_so(call: Callable[..., Any]) -> None:
    response = call("POST", "/v1/images/edits", [("content-type", "multipart/form-data; boundary=" + "X" * 1000)])
    assert (response.status, b"longer than 1000 characters" in response.body) == (400, True)


@pytest.mark.parametrize(("before", "accepted"), [(63, True), (64, False)])
def test_the_first_media_ranges_decide(before: int, accepted: bool) -> None:
    field = b"text/html," * before + b"image/webp"
    assert accepts(Request({"type": "http", "headers": [(b"accept", field)]}), "image/webp") is accepted


def test_no_part_of_a_file_name_is_logged(call: Callable[..., Any]) -> None:
    with log_lines() as lines:
        call("GET", "/image/{guid}/content/a\nsecret\nword")
    assert lines
    assert "secret" not in "".join(lines)


def test_the_first_documents_of_a_text_are_read() -> None:
    assert len(parse_json(b'{"a": 1}' * 5000)) == 1000
