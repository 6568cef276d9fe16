"""Delivery of content: headers, conditions, ranges, and a store that fails midway."""

import hashlib
import re
from collections.abc import AsyncIterator

import pytest

from pixyproxy.adapters.memory.blob_store import MemoryBlobStore
from pixyproxy.domain import errors
from pixyproxy.domain.filename import content_disposition
from pixyproxy.domain.generation import GeneratedImage
from pixyproxy.ports.blob_store import BlobReader
from tests.fixtures.core import PNG
from tests.fixtures.http_app import ALICE, HttpApp, basic, http_app, log_lines

ETAG = f'"{hashlib.sha256(PNG).hexdigest()}"'


@pytest.fixture
async def app() -> AsyncIterator[HttpApp]:
    async with http_app() as opened:
        yield opened


async def test_the_whole_image_with_all_its_headers(app: HttpApp) -> None:
    detail = await app.create(prompt="Ente 🦆 ÖÄ")
    response = await app.client.get(detail["content_url"])
    assert (response.status_code, response.content) == (200, PNG)
    headers = response.headers
    assert headers["content-type"] == "image/png"
    assert headers["content-length"] == str(len(PNG))
    assert headers["etag"] == ETAG
    assert headers["accept-ranges"] == "bytes"
    assert headers["cache-control"] == "public, max-age=3600"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-disposition"] == content_disposition(detail["filename"])
    assert re.fullmatch(r"Sat, 21 Nov 2026 10:00:\d\d GMT", headers["last-modified"])


async def test_no_cache_keeps_a_private_image(app: HttpApp) -> None:
    detail = await app.create(visibility="private")
    for headers in ({}, {"If-None-Match": ETAG}, {"Range": "bytes=0-1"}):
        response = await app.client.get(detail["content_url"], headers=headers, auth=basic(ALICE))
        assert response.headers["cache-control"] == "private, no-store"


async def test_a_drawing_cannot_act_as_a_page_of_the_service(app: HttpApp) -> None:
    drawing = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>1</script></svg>'
    app.generator.outcome = GeneratedImage(drawing)
    image = await app.create()
    assert (image["media_type"], image["filename"][-4:]) == ("image/svg+xml", ".svg")
    response = await app.client.get(image["content_url"])
    assert "sandbox" in response.headers["content-security-policy"]
    assert "default-src 'none'" in response.headers["content-security-policy"]


async def test_an_image_that_the_client_has_is_not_read(app: HttpApp, monkeypatch: pytest.MonkeyPatch) -> None:
    detail = await app.create()

    async def read(*_: object, **__: object) -> BlobReader:
        raise AssertionError("the store was read")

    monkeypatch.setattr(app.blobs, "read", read)
    response = await app.client.get(detail["content_url"], headers={"If-None-Match": f'"x", W/{ETAG}'})
    assert (response.status_code, response.content) == (304, b"")
    assert (response.headers["etag"], response.headers["cache-control"]) == (ETAG, "public, max-age=3600")
    assert "content-type" not in response.headers
    response = await app.client.head(detail["content_url"])
    assert (response.status_code, response.headers["content-length"]) == (200, str(len(PNG)))
    response = await app.client.head(detail["content_url"], headers={"If-None-Match": ETAG})
    assert response.status_code == 304


async def test_repeated_condition_headers_are_one_list(app: HttpApp) -> None:
    detail = await app.create()
    headers = [(b"if-none-match", b'"x"'), (b"if-none-match", ETAG.encode())]
    response = await app.raw("GET", detail["content_url"], headers=headers)
    assert response.status == 304


async def test_a_part_of_the_image(app: HttpApp) -> None:
    detail = await app.create()
    response = await app.client.get(detail["content_url"], headers={"Range": "bytes=1-3"})
    assert (response.status_code, response.content) == (206, PNG[1:4])
    assert response.headers["content-range"] == f"bytes 1-3/{len(PNG)}"
    assert response.headers["content-length"] == "3"
    assert response.headers["etag"] == ETAG
    assert response.headers["content-type"] == "image/png"


async def test_ranges_are_for_get_only(app: HttpApp) -> None:
    """RFC 9110, section 14.2."""
    detail = await app.create()
    for wanted in ("bytes=1-3", "bytes=5000-"):
        response = await app.client.head(detail["content_url"], headers={"Range": wanted})
        assert (response.status_code, response.headers["content-length"]) == (200, str(len(PNG)))
        assert "content-range" not in response.headers


async def test_a_range_beyond_the_image_is_a_problem_that_names_its_size(app: HttpApp) -> None:
    detail = await app.create()
    response = await app.client.get(detail["content_url"], headers={"Range": f"bytes={len(PNG)}-"})
    assert (response.status_code, response.json()["code"]) == (416, "range-not-satisfiable")
    assert response.headers["content-range"] == f"bytes */{len(PNG)}"
    assert response.headers["content-type"] == "application/problem+json"


async def test_a_failed_precondition_is_a_problem(app: HttpApp) -> None:
    detail = await app.create()
    response = await app.client.get(detail["content_url"], headers={"If-Match": '"other"'})
    assert (response.status_code, response.json()["code"]) == (412, "precondition-failed")


async def test_the_location_is_sent_instead_of_the_bytes_behind_nginx(monkeypatch: pytest.MonkeyPatch) -> None:
    async with http_app(PIXYPROXY_ACCEL_PREFIX="/_images/") as app:
        detail = await app.create()
        location = f"ab/cd/{detail['guid']}.bin"

        async def named(guid: str, *, size: int) -> str:
            assert (guid, size) == (detail["guid"], len(PNG))
            return location

        # The store of this app has no files, so the service sends the bytes.
        response = await app.client.get(detail["content_url"])
        assert (response.status_code, response.content) == (200, PNG)
        monkeypatch.setattr(app.blobs, "location", named)
        for headers in ({}, {"Range": "bytes=1-3"}, {"If-None-Match": '"other"'}):
            response = await app.client.get(detail["content_url"], headers=headers)
            assert (response.status_code, response.content) == (200, b""), headers
            assert response.headers["x-accel-redirect"] == f"/_images/{location}"
            assert (response.headers["etag"], response.headers["content-type"]) == (ETAG, "image/png")
            assert response.headers["cache-control"] == "public, max-age=3600"
            assert response.headers["x-accel-expires"] == "1"
            assert response.headers["content-disposition"] == content_disposition(detail["filename"])
            assert response.headers["x-content-type-options"] == "nosniff"
            assert "content-range" not in response.headers
        # nginx would use the date of the file, or send several ranges.
        for headers, status, content in (
            ({"If-Match": ETAG}, 200, PNG),
            ({"If-Unmodified-Since": "Sat, 21 Nov 2099 10:00:00 GMT"}, 200, PNG),
            ({"Range": "bytes=1-3", "If-Range": ETAG}, 206, PNG[1:4]),
            ({"Range": "bytes=1-3", "If-Range": '"other"'}, 200, PNG),
            ({"Range": "bytes=0-0,2-3"}, 200, PNG),
        ):
            response = await app.client.get(detail["content_url"], headers=headers)
            assert (response.status_code, response.content) == (status, content), headers
            assert not {"x-accel-redirect", "x-accel-expires"} & set(response.headers)
        response = await app.client.get(detail["content_url"], headers={"If-None-Match": ETAG})
        assert (response.status_code, "x-accel-redirect" in response.headers) == (304, False)
        response = await app.client.head(detail["content_url"])
        assert (response.headers["content-length"], "x-accel-redirect" in response.headers) == (str(len(PNG)), False)
        private = await app.create(visibility="private")
        response = await app.client.get(private["content_url"])
        assert (response.status_code, "x-accel-redirect" in response.headers) == (404, False)

        async def named_too(guid: str, *, size: int) -> str:
            return f"ab/cd/{guid}.bin"

        # The response to the author of a private image is not for shared caches.
        monkeypatch.setattr(app.blobs, "location", named_too)
        response = await app.client.get(private["content_url"], auth=basic(ALICE))
        assert (response.status_code, "x-accel-redirect" in response.headers) == (200, True)
        assert "x-accel-expires" not in response.headers


async def test_a_file_that_nginx_would_not_find_is_a_server_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async with http_app(PIXYPROXY_ACCEL_PREFIX="/_images") as app:
        detail = await app.create()

        async def named(guid: str, *, size: int) -> str:
            raise errors.BlobMissingError("gone", guid=guid)

        monkeypatch.setattr(app.blobs, "location", named)
        response = await app.client.get(detail["content_url"])
        assert (response.status_code, response.json()["code"]) == (500, "blob-missing")
        assert "x-accel-redirect" not in response.headers


async def test_access_is_checked_before_conditions_and_ranges(app: HttpApp) -> None:
    detail = await app.create(visibility="private")
    for headers in ({"If-None-Match": "*"}, {"If-Match": '"x"'}, {"Range": "bytes=0-0"}, {"Range": "bytes=99999-"}):
        response = await app.client.get(detail["content_url"], headers=headers)
        assert response.status_code == 404, headers


async def test_an_image_without_bytes_is_not_ready(app: HttpApp) -> None:
    app.generator.outcome = errors.PromptRejectedError("no")
    refused = await app.client.post("/image", json={"prompt": "x"}, auth=basic(ALICE))
    response = await app.client.get(f"/image/{refused.json()['guid']}/content")
    assert (response.status_code, response.json()["code"]) == (409, "image-not-ready")
    assert int(response.headers["retry-after"]) > 0


async def test_missing_or_changed_bytes_are_a_server_error(app: HttpApp) -> None:
    detail = await app.create()
    await app.blobs.put(detail["guid"], b"other", {})
    response = await app.client.get(detail["content_url"])
    assert (response.status_code, response.json()["code"]) == (500, "blob-corrupt")
    assert {"etag", "content-disposition"}.isdisjoint(response.headers)
    await app.blobs.delete(detail["guid"])
    response = await app.client.get(detail["content_url"])
    assert (response.status_code, response.json()["code"]) == (500, "blob-missing")


class PiecesReader(BlobReader):
    """Four bytes at a time; fails after `good` pieces if there are more; counts how often it was closed."""

    def __init__(self, data: bytes, good: int) -> None:
        self._pieces = [data[i : i + 4] for i in range(0, len(data), 4)]
        self._good = good
        self._next = 0
        self.closed = 0

    async def __anext__(self) -> bytes:
        if self._next == len(self._pieces):
            raise StopAsyncIteration
        if self._next == self._good:
            raise errors.BlobStoreError("the disk is gone")
        self._next += 1
        return self._pieces[self._next - 1]

    async def close(self) -> None:
        self.closed += 1


async def read_in_pieces(app: HttpApp, monkeypatch: pytest.MonkeyPatch, good: int = 1000) -> list[PiecesReader]:
    readers: list[PiecesReader] = []
    original = MemoryBlobStore.read

    async def read(guid: str, *, size: int, start: int = 0, stop: int | None = None) -> BlobReader:
        async with await original(app.blobs, guid, size=size, start=start, stop=stop) as whole:
            readers.append(PiecesReader(b"".join([piece async for piece in whole]), good))
        return readers[-1]

    monkeypatch.setattr(app.blobs, "read", read)
    return readers


async def test_a_large_image_is_sent_in_pieces(app: HttpApp, monkeypatch: pytest.MonkeyPatch) -> None:
    data = PNG + bytes(range(100))
    app.generator.outcome = GeneratedImage(data)
    detail = await app.create()
    readers = await read_in_pieces(app, monkeypatch)
    response = await app.client.get(detail["content_url"])
    assert (response.content, response.headers["content-length"]) == (data, str(len(data)))
    response = await app.client.get(detail["content_url"], headers={"Range": "bytes=10-99"})
    assert (response.status_code, response.content, response.headers["content-length"]) == (206, data[10:100], "90")
    response = await app.client.get(detail["content_url"], headers={"Range": "bytes=0-1"})
    assert response.content == data[:2]
    assert [reader.closed for reader in readers] == [1, 1, 1]


async def test_a_body_that_cannot_be_read_to_its_end_is_cut_short(
    app: HttpApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    detail = await app.create()
    readers = await read_in_pieces(app, monkeypatch, good=2)
    with log_lines() as lines:
        response = await app.raw("GET", detail["content_url"])
    assert (response.status, response.body, response.complete) == (200, PNG[:8], False)
    assert response.header("content-length") == str(len(PNG))
    assert readers[0].closed == 1
    [start, broken, end] = lines
    assert "REQUEST START" in start
    assert "ERROR" in broken
    assert "BlobStoreError: the disk is gone" in broken
    assert f"REQUEST END GET /image/{detail['guid']}/content/* 200 8B" in end


async def test_a_first_piece_that_cannot_be_read_is_an_error_response(
    app: HttpApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    detail = await app.create()
    readers = await read_in_pieces(app, monkeypatch, good=0)
    response = await app.client.get(detail["content_url"])
    assert (response.status_code, response.json()["code"]) == (503, "blob-store-unavailable")
    assert {"etag", "content-disposition"}.isdisjoint(response.headers)
    assert readers[0].closed == 1
