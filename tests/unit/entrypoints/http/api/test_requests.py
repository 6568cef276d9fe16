"""Parsing of requests: query strings, JSON bodies, slashes and methods."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.fixtures.http_app import ALICE, MISSING, HttpApp, basic, http_app, log_lines

JSON = {"Content-Type": "application/json"}
MIB = 1024 * 1024


@pytest.fixture
async def app() -> AsyncIterator[HttpApp]:
    async with http_app() as opened:
        yield opened


async def nothing_was_generated(app: HttpApp) -> bool:
    for status in ("ready", "failed", "generating", "unknown"):
        for auth in (None, ALICE):
            if (await app.client.get(f"/image?status={status}", auth=basic(auth))).json() != []:
                return False
    return not app.generator.requests


# --- the query string -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "loc"),
    [
        ("nonsense=1", "nonsense"),
        ("Limit=1", "Limit"),
        ("=1", ""),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=-1", "limit"),
        ("limit=", "limit"),
        ("limit=1.0", "limit"),
        ("limit=1e1", "limit"),
        ("limit=%2B1", "limit"),
        ("limit=+1", "limit"),
        ("limit=٣", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("limit=1&limit=1", "limit"),
        ("prompt=a&prompt=a", "prompt"),
        ("prompt=", "prompt"),
        ("prompt=%20", "prompt"),
        ("prompt=" + "a" * 1001, "prompt"),
        ("prompt=%00", "prompt"),
        ("cursor=x", "cursor"),
        ("cursor=", "cursor"),
        ("cursor=%F0%9F%A6%86", "cursor"),
        ("guid=1", "guid"),
        ("guid=", "guid"),
        ("filename=", "filename"),
        ("tag=", "tag"),
        ("tag=a&tag=%0A", "tag"),
        ("author=", "author"),
        ("author=a%00", "author"),
        ("visibility=secret", "visibility"),
        ("visibility=PUBLIC", "visibility"),
        ("status=done", "status"),
        ("created_after=yesterday", "created_after"),
        ("created_after=5", "created_after"),
        ("created_before=", "created_before"),
        ("created_before=0001-01-01T00:00:00%2B05:00", "created_before"),
        ("prompt=%FF", "query"),
        ("prompt=%ED%A0%80", "query"),
        ("%FF=1", "query"),
        ("&".join("tag=a" for _ in range(201)), "query"),
    ],
)
async def test_an_unknown_or_malformed_parameter_is_named(query: str, loc: str, app: HttpApp) -> None:
    response = await app.raw("GET", "/image", query=query.encode("ascii", "replace"))
    assert response.status == 422, response.body
    assert loc in {str(error["loc"][0]) for error in json.loads(response.body)["errors"]}


async def test_a_query_string_that_is_not_utf8_is_refused(app: HttpApp) -> None:
    response = await app.raw("GET", "/image", query=b"prompt=\xff")
    assert (response.status, json.loads(response.body)["errors"][0]["loc"]) == (422, ["query"])


@pytest.mark.parametrize(
    "query", ["", "?", "?limit=1", "?limit=0200", "?tag=a&tag=b", "?prompt=%2B+x", "?filename=%00"]
)
async def test_a_valid_query_string_is_accepted(query: str, app: HttpApp) -> None:
    response = await app.client.get(f"/image{query}")
    assert (response.status_code, response.json()) == (200, [])
    assert "link" not in response.headers


@pytest.mark.parametrize("form", ["2026-11-21T10:00:00{}", "2026-11-21+10:00{}", "20261121T100000.5{}"])
@pytest.mark.parametrize("offset", ["+00:00", "%2B00:00", "+0000", "+00", "Z", "", "-00:00"])
async def test_a_time_may_have_a_plus_that_is_not_encoded(form: str, offset: str, app: HttpApp) -> None:
    [image] = [await app.create()]
    later = image["created_at"].replace("2026-", "2999-")
    for name, time, found in (("created_after", form, 1), ("created_before", form, 0), ("created_before", later, 1)):
        response = await app.client.get(f"/image?{name}={time.format(offset)}")
        assert (response.status_code, len(response.json())) == (200, found), response.text


async def test_a_plus_that_is_not_encoded_counts(app: HttpApp) -> None:
    await app.create()
    for time, status, found in (
        ("2026-11-21T12:00:00+14:00", 200, 1),
        ("2026-11-21T12:00:00-14:00", 200, 0),
        ("2026-11-21+02:00", 200, 1),  # a date and a time
        ("2026-11-21+12:00", 200, 0),
        ("2026-11-21T12:00:00++14:00", 422, 0),
    ):
        response = await app.client.get(f"/image?created_after={time}")
        assert (response.status_code, status == 422 or len(response.json())) == (status, status == 422 or found), time


async def test_the_next_page_keeps_the_filters(app: HttpApp) -> None:
    made = [await app.create(prompt=f"ente & söhne {i}", tags=["a b", "c&d"]) for i in range(3)]
    url: str | None = "/image/?limit=1&prompt=ente+s%C3%B6h&tag=a+b&tag=c%26d&author=alice"
    found: list[Any] = []
    while url is not None:
        response = await app.client.get(url)
        assert response.status_code == 200, url
        found += response.json()
        url = response.links["next"]["url"] if "link" in response.headers else None
        assert url is None or url.startswith("http://test.example/image?")
    assert found == made[::-1]


@pytest.mark.parametrize("base", ["https://img.example", "https://img.example:8443/pictures"])
async def test_addresses_begin_with_the_public_url(base: str) -> None:
    async with http_app(PIXYPROXY_PUBLIC_URL=base + "/") as app:
        for _ in range(2):
            response = await app.client.post("/image", json={"prompt": "x"})
        detail = response.json()
        assert response.headers["location"] == f"{base}/image/{detail['guid']}"
        path = base.removeprefix("https://").partition("/")[2]
        content = f"/{path}/image/{detail['guid']}/content/{detail['filename']}".replace("//", "/")
        assert detail["content_url"] == content
        assert (await app.client.get("/openapi.json")).json()["servers"] == [{"url": base}]
        response = await app.client.get("/image?limit=1")
        assert response.links["next"]["url"].startswith(f"{base}/image?limit=1&cursor=")
        prefix = f"/{path}" if path else ""
        assert f'href="{prefix}/static/look.' in (await app.client.get("/")).text
        assert f"'{prefix}/openapi.json'" in (await app.client.get("/docs")).text


# --- the JSON body --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (b"", 'such as {"prompt": "a duck"}'),
        (b" \n", "The body is empty"),
        (b"{", "it ends too early, at line 1, column 2"),
        (b'{"prompt": "x",}', "from line 1, column 1"),
        (b"{'prompt': 'x'}", "texts are in double quotes"),
        (b'{"prompt": "x"} {}', "where it says '{}'"),
        (b'{"prompt": "a\nb"}', "line breaks in texts are written as \\n"),
        (b'{"prompt": "\xff"}', "UTF-8"),
        (b'{"prompt": "\xed\xa0\x80"}', "UTF-8"),
        ('{"prompt": "x"}'.encode("utf-16"), "UTF-8"),
        (b'{"prompt": "x", "size": NaN}', "NaN is not a JSON value"),
        (b"[Infinity]", "Infinity is not a JSON value"),
        (b"[-Infinity]", "-Infinity is not a JSON value"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"1" * 5000, "too many digits"),
        (b'{"prompt": "x", "prompt": "y"}', "same name twice"),
        (b'{"prompt": "x", "tags": [{"a": 1, "a": 1}]}', "same name twice"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_a_body_that_is_not_json_is_refused(method: str, body: bytes, part: str, app: HttpApp) -> None:
    path = "/image" if method == "POST" else f"/image/{MISSING}"
    response = await app.client.request(method, path, content=body, headers=JSON, auth=basic(ALICE))
    assert (response.status_code, response.json()["code"]) == (400, "malformed-request")
    assert part in response.json()["detail"]
    assert await nothing_was_generated(app)


async def test_a_byte_order_mark_makes_no_difference(app: HttpApp) -> None:
    for path in ("/image", "/v1/images/generations"):
        response = await app.client.post(path, content=b'\xef\xbb\xbf{"prompt": "x"}', headers=JSON)
        assert response.status_code == 200


@pytest.mark.parametrize(
    "value",
    ["application/json; charset=utf-8", "Application/JSON", "application/json, application/json",
     "application/json;charset=utf-8, application/json", "application/vnd.api+json"],
)  # fmt: skip
async def test_json_may_be_declared_in_several_ways(value: str, app: HttpApp) -> None:
    response = await app.client.post("/image", content=b'{"prompt": "x"}', headers={"Content-Type": value})
    assert response.status_code == 200


@pytest.mark.parametrize("body", [b"[]", b"null", b"5", b'"prompt"', b"1e999", b"true"])
async def test_json_that_is_not_an_object_is_invalid(body: bytes, app: HttpApp) -> None:
    response = await app.client.post("/image", content=body, headers=JSON)
    assert (response.status_code, response.json()["detail"]) == (422, "The body must be a JSON object.")
    assert await nothing_was_generated(app)


@pytest.mark.parametrize(
    "value",
    [None, b"", b"text/plain", b"text/json", b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=x",
     b"application/jsonp", b"application", b"json", b"application/xml, application/json", b"\xff", b"text/x+json"],
)  # fmt: skip
async def test_a_body_that_is_not_declared_as_json_is_refused(value: bytes | None, app: HttpApp) -> None:
    headers = [] if value is None else [(b"content-type", value)]
    body = [{"type": "http.request", "body": b'{"prompt": "x"}'}]
    response = await app.raw("POST", "/image", headers=headers, messages=body)
    assert (response.status, json.loads(response.body)["code"]) == (415, "unsupported-media-type")
    assert await nothing_was_generated(app)


@pytest.mark.parametrize(
    "value",
    ["application/json", "Application/JSON;charset=utf-8", "application/json ; x=y", "application/merge-patch+json"],
)
async def test_a_body_that_is_declared_as_json_is_read(value: str, app: HttpApp) -> None:
    response = await app.client.post("/image", content=b' {"prompt": "x"}\n', headers={"Content-Type": value})
    assert response.status_code == 200


def _padded(length: int) -> bytes:
    body = b'{"prompt": "x"}'
    return body + b" " * (length - len(body))


async def test_a_body_of_exactly_one_mebibyte_is_read(app: HttpApp) -> None:
    assert (await app.client.post("/image", content=_padded(MIB), headers=JSON)).status_code == 200


async def test_a_body_that_is_declared_too_large_is_not_read(app: HttpApp) -> None:
    for declared in (b"%d" % (MIB + 1), b"9" * 6000):
        headers = [(b"content-type", b"application/json"), (b"content-length", declared)]
        response = await app.raw("POST", "/image", headers=headers, messages=[])
        assert (response.status, json.loads(response.body)["code"]) == (413, "body-too-large")


@pytest.mark.parametrize("length", [None, b"5", b"-1", b"x", b"\xb2"])
async def test_a_body_is_counted_whatever_length_it_declares(length: bytes | None, app: HttpApp) -> None:
    headers = [(b"content-type", b"application/json")]
    headers += [] if length is None else [(b"content-length", length)]
    body = _padded(MIB + 1)
    pieces = [
        {"type": "http.request", "body": body[i : i + 65536], "more_body": True} for i in range(0, MIB + 1, 65536)
    ]
    response = await app.raw("POST", "/image", headers=headers, messages=pieces)
    assert (response.status, json.loads(response.body)["code"]) == (413, "body-too-large")
    assert await nothing_was_generated(app)


async def test_a_client_that_hangs_up_while_sending_is_no_error(app: HttpApp) -> None:
    body = [{"type": "http.request", "body": b'{"prompt"', "more_body": True}]
    with log_lines() as lines:
        response = await app.raw("POST", "/image", headers=[(b"content-type", b"application/json")], messages=body)
    assert response.status is None
    assert len(lines) == 2
    assert "REQUEST END POST /image 499 0B" in lines[1]
    assert await nothing_was_generated(app)


@pytest.mark.parametrize(
    ("fields", "loc"),
    [
        ({}, ["prompt"]),
        ({"prompt": ""}, ["prompt"]),
        ({"prompt": " \n\t\u3000"}, ["prompt"]),
        ({"prompt": "x" * 32_001}, ["prompt"]),
        ({"prompt": "🦆" * 32_001}, ["prompt"]),
        ({"prompt": "a\x00b"}, ["prompt"]),
        ({"prompt": "\ud800"}, ["prompt"]),
        ({"prompt": "\udc00\ud800"}, ["prompt"]),
        ({"prompt": None}, ["prompt"]),
        ({"prompt": 5}, ["prompt"]),
        ({"prompt": ["x"]}, ["prompt"]),
        ({"prompt": "x", "tags": "duck"}, ["tags"]),
        ({"prompt": "x", "tags": ["a", None]}, ["tags", 1]),
        ({"prompt": "x", "tags": [""]}, ["tags"]),
        ({"prompt": "x", "tags": ["\ud800"]}, ["tags"]),
        ({"prompt": "x", "tags": ["a\nb"]}, ["tags"]),
        ({"prompt": "x", "tags": ["x" * 65]}, ["tags"]),
        ({"prompt": "x", "tags": [str(i) for i in range(33)]}, ["tags"]),
        ({"prompt": "x", "tags": {"a": 1}}, ["tags"]),
        ({"prompt": "x", "filename": "../../etc/passwd"}, ["filename"]),
        ({"prompt": "x", "filename": "a\\b"}, ["filename"]),
        ({"prompt": "x", "filename": ".."}, ["filename"]),
        ({"prompt": "x", "filename": "a\r\nSet-Cookie: x"}, ["filename"]),
        ({"prompt": "x", "filename": "a\x00.png"}, ["filename"]),
        ({"prompt": "x", "filename": "cod\u202egnp.exe"}, ["filename"]),
        ({"prompt": "x", "filename": "鸭" * 86}, ["filename"]),
        ({"prompt": "x", "filename": "\udfff"}, ["filename"]),
        ({"prompt": "x", "visibility": "Private"}, ["visibility"]),
        ({"prompt": "x", "visibility": 1}, ["visibility"]),
        ({"prompt": "x", "visibility": "private"}, ["visibility"]),  # an anonymous caller could never see it again
        ({"prompt": "x", "size": 1024}, ["size"]),
        ({"prompt": "x", "size": "a\nb"}, ["size"]),
        ({"prompt": "x", "model": ""}, ["model"]),
        ({"prompt": "x", "quality": "x" * 256}, ["quality"]),
        ({"prompt": "x", "n": 2}, ["n"]),
        ({"prompt": "x", "": 2}, [""]),
        ({"prompt": "x", "\ud800": 2}, []),
    ],
)
async def test_invalid_input_is_named_and_nothing_is_generated(
    fields: dict[str, Any], loc: list[Any], app: HttpApp
) -> None:
    response = await app.client.post("/image", content=json.dumps(fields), headers=JSON)
    assert (response.status_code, response.json()["code"]) == (422, "validation-failed")
    assert loc in [error["loc"] for error in response.json()["errors"]]
    assert await nothing_was_generated(app)


@pytest.mark.parametrize(
    "prompt",
    ["🦆", "a\nb\r\n\tc", " leading and trailing ", "x" * 32_000, "\u202e", "0", "e\u0301", "\ufeffx", "𠜎" * 100],
)
async def test_a_prompt_is_kept_exactly(prompt: str, app: HttpApp) -> None:
    detail = await app.create(prompt=prompt)
    assert detail["prompt"] == prompt == app.generator.requests[0].prompt
    assert (await app.client.get(f"/image/{detail['guid']}")).json() == detail


# --- paths and methods ----------------------------------------------------------------------------------------


async def test_both_slash_forms_answer_the_same_without_a_redirect(app: HttpApp) -> None:
    guid = (await app.create())["guid"]
    for path in ("/image", f"/image/{guid}", f"/image/{guid}/content", "/user/me", "/healthz", "/readyz", "/docs",
                 "/openapi.json"):  # fmt: skip
        plain, slashed = [await app.client.get(p, auth=basic(ALICE)) for p in (path, path + "/")]
        assert (plain.status_code, plain.content) == (slashed.status_code, slashed.content)
        assert plain.status_code == 200
    for path in (f"/image/{guid}", f"/image/{guid}/"):
        response = await app.client.patch(path, json={"tags": ["x"]}, auth=basic(ALICE))
        assert (response.status_code, response.json()["tags"]) == (200, ["x"])
    assert (await app.client.post("/image/", json={"prompt": "x"})).status_code == 200
    assert (await app.client.delete(f"/image/{guid}/", auth=basic(ALICE))).status_code == 204


async def test_head_is_get_without_the_body(app: HttpApp) -> None:
    guid = (await app.create())["guid"]
    volatile = {"x-request-id"}
    images = ("/image", "/image/?limit=1", f"/image/{guid}", f"/image/{guid}/content", f"/image/{MISSING}")
    others = (
        "/user/me",
        "/healthz",
        "/readyz",
        "/docs/",
        "/openapi.json",
        "/login",
        "/docs/assets/swagger-ui.css",
        "/no",
    )
    for path in images + others:
        for auth in (None, ALICE):
            get, head = [await app.client.request(m, path, auth=basic(auth)) for m in ("GET", "HEAD")]
            assert head.status_code == get.status_code
            assert head.content == b""
            given, expected = ({k: v for k, v in a.headers.items() if k not in volatile} for a in (head, get))
            if get.status_code >= 400:  # the id of the request is in the body
                assert set(given) == set(expected)
            else:
                assert given == expected, path


async def test_the_guid_of_a_path_is_case_insensitive_and_strict_otherwise(app: HttpApp) -> None:
    guid = (await app.create())["guid"]
    assert (await app.client.get(f"/image/{guid.upper()}")).json()["guid"] == guid
    for wrong in (
        guid.replace("-", ""),
        "{" + guid + "}",
        "urn:uuid:" + guid,
        guid + "%0A",
        guid[:-1],
        "1",
        "%00",
        "🦆",
    ):
        for tail in ("", "/content"):
            assert (await app.client.get(f"/image/{wrong}{tail}")).status_code == 404, wrong


async def test_cross_origin_calls_are_allowed_for_the_configured_origins() -> None:
    async with http_app(PIXYPROXY_CORS_ORIGINS="https://a.example") as app:
        response = await app.client.get("/image", headers={"Origin": "https://a.example"})
        assert response.headers["access-control-allow-origin"] == "https://a.example"
        assert "X-Request-ID" in response.headers["access-control-expose-headers"]
        response = await app.client.get("/image", headers={"Origin": "https://b.example"})
        assert "access-control-allow-origin" not in response.headers
        response = await app.client.get("/nowhere", headers={"Origin": "https://a.example"})
        assert (response.status_code, response.headers["access-control-allow-origin"]) == (404, "https://a.example")
        preflight = {
            "Origin": "https://a.example",
            "Access-Control-Request-Method": "DELETE",
            "Access-Control-Request-Headers": "authorization",
        }
        assert (await app.client.options("/image/x", headers=preflight)).status_code == 200
    async with http_app() as app:
        response = await app.client.get("/image", headers={"Origin": "https://a.example"})
        assert "access-control-allow-origin" not in response.headers
