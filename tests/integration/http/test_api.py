"""Every route of the API on a real server and both databases."""

import hashlib
import io
import json
import re
import sqlite3
import uuid
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.fixtures.service import Service, lasting, problem
from tests.fixtures.services import ALICE, BOB
from tests.fixtures.sql.mysql_servers import MySQLSettings

MISSING = "00000000-0000-4000-8000-000000000000"
# The sample of the agreed API, key by key.
IMAGE_DETAIL = """
{"guid": "0b9f…", "filename": "a-rubber-duck-on-a-sink-0b9f1c2d.png", "prompt": "a rubber duck on a sink",
 "tags": ["duck"], "author": "alice", "visibility": "public", "status": "ready", "hidden": false,
 "created_at": "2026-11-21T10:00:00.123456Z", "updated_at": "2026-11-21T10:00:09.654321Z",
 "media_type": "image/png", "width": 1024, "height": 1024, "size_bytes": 1482211, "sha256": "…",
 "generator": "openai", "model": "gpt-image-2", "parameters": {"size": "1024x1024"}, "revised_prompt": null,
 "usage": {"input_tokens": 12, "output_tokens": 1056, "total_tokens": 1068},
 "cost": {"usd": "0.031740", "state": "priced", "source": "genai-prices 0.2.3", "prices_of": "2026-11-02"},
 "queue": null, "derived_from": [],
 "content_url": "/image/0b9f…/content/a-rubber-duck-on-a-sink-0b9f1c2d.png",
 "thumbnail_url": "/image/0b9f…/thumbnail", "placeholder": null}
"""
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def unique() -> str:
    """Return a tag that no other test uses."""
    return f"t{uuid.uuid4().hex}"


def create(client: httpx.Client, **fields: Any) -> dict[str, Any]:
    response = client.post("/image", json={"prompt": "a duck", "size": "64x64"} | fields)
    assert response.status_code == 200, response.text
    detail: dict[str, Any] = response.json()
    return detail


def found(client: httpx.Client, **filters: Any) -> list[str]:
    response = client.get("/image", params=filters)
    assert response.status_code == 200, response.text
    return [detail["guid"] for detail in response.json()]


def delete_row(service: Service, guid: str) -> None:
    """Delete a row by hand, as an operator may at any time."""
    settings = service.settings()
    if settings.repository == "mysql":
        server = MySQLSettings(settings.db_host or "", settings.db_port, settings.db_user or "", "", settings.db_name)
        server.query("DELETE FROM images WHERE guid = %s", guid)
    else:
        connection = sqlite3.connect(settings.data_dir / "pixyproxy.sqlite3")
        with connection:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("DELETE FROM images WHERE guid = ?", (guid,))
        connection.close()


def test_create_returns_all_details(service: Service) -> None:
    before = datetime.now(UTC)
    with service.client(ALICE) as client:
        response = client.post(
            "/image", json={"prompt": "a rubber duck on a sink", "tags": [" Duck", "duck"], "size": "1024x1024"}
        )
        detail = response.json()
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        assert response.headers["location"] == f"{service.url}/image/{detail['guid']}"
        assert lasting(client.get(response.headers["location"]).json()) == lasting(detail)
    assert list(detail) == list(json.loads(IMAGE_DETAIL))
    assert str(uuid.UUID(detail["guid"])) == detail["guid"]
    assert detail["filename"] == f"a-rubber-duck-on-a-sink-{detail['guid'][:8]}.png"
    expected = {"prompt": "a rubber duck on a sink", "tags": ["duck"], "author": "alice", "visibility": "public",
                "status": "ready", "media_type": "image/png", "width": 1024, "height": 1024, "generator": "sketch",
                "parameters": {"size": "1024x1024"}, "revised_prompt": None,
                "content_url": f"/image/{detail['guid']}/content/{detail['filename']}",
                "thumbnail_url": f"/image/{detail['guid']}/thumbnail"}  # fmt: skip
    assert {name: detail[name] for name in expected} == expected
    assert TIME.fullmatch(detail["created_at"])
    assert TIME.fullmatch(detail["updated_at"])
    created, updated = (datetime.fromisoformat(detail[name]) for name in ("created_at", "updated_at"))
    assert before <= created <= updated <= datetime.now(UTC)


def test_anonymous_images_are_public_and_without_author(service: Service) -> None:
    with service.client() as client:
        detail = create(client)
        assert (detail["author"], detail["visibility"]) == (None, "public")
        refused = client.post("/image", json={"prompt": "x", "visibility": "private"})
        assert (refused.status_code, problem(refused)["errors"][0]["loc"]) == (422, ["visibility"])


@pytest.mark.parametrize("output_format", ["png", "jpeg", "webp"])
def test_the_options_are_passed_on(output_format: str, service: Service) -> None:
    with service.client(ALICE) as client:
        options = {"size": "96x64", "quality": "low", "background": "opaque", "output_format": output_format}
        detail = create(client, **options, model="any", filename="mine.bin")
        assert (detail["parameters"], detail["filename"]) == (options, "mine.bin")
        assert (detail["width"], detail["height"], detail["media_type"]) == (96, 64, f"image/{output_format}")
        response = client.get(detail["content_url"])
        with Image.open(io.BytesIO(response.content)) as picture:
            assert (picture.size, picture.format) == ((96, 64), output_format.upper())
        assert response.headers["content-type"] == f"image/{output_format}"


def test_details(service: Service) -> None:
    with service.client() as client:
        detail = create(client)
        for path in (f"/image/{detail['guid']}", f"/image/{detail['guid'].upper()}/"):
            response = client.get(path)
            assert (response.status_code, response.json()) == (200, detail)
        for wrong in (MISSING, "5", detail["guid"][:-1], "%00", "..%2F..%2Fetc%2Fpasswd"):
            response = client.get(f"/image/{wrong}")
            assert response.status_code == 404
            problem(response)


def test_content(service: Service) -> None:
    with service.client(ALICE) as client:
        detail = create(client, prompt="eine Ente 🦆 auf dem Wasser")
        url = detail["content_url"]
        whole = client.get(url)
        data = whole.content
        assert whole.status_code == 200
        assert (len(data), hashlib.sha256(data).hexdigest()) == (detail["size_bytes"], detail["sha256"])
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            assert picture.size == (detail["width"], detail["height"])
        headers = whole.headers
        assert headers["content-type"] == "image/png"
        assert headers["content-length"] == str(len(data))
        assert headers["etag"] == f'"{detail["sha256"]}"'
        assert headers["cache-control"] == "public, max-age=3600"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["accept-ranges"] == "bytes"
        assert headers["content-disposition"] == f'inline; filename="{detail["filename"]}"'
        modified = parsedate_to_datetime(headers["last-modified"])
        assert modified == datetime.fromisoformat(detail["created_at"]).replace(microsecond=0)

        for condition in ({"If-None-Match": headers["etag"]}, {"If-Modified-Since": headers["last-modified"]}):
            response = client.get(url, headers=condition)
            assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", headers["etag"])
        assert client.get(url, headers={"If-None-Match": '"other"'}).status_code == 200
        assert problem(client.get(url, headers={"If-Match": '"other"'}))["status"] == 412

        for wanted, start, stop in (
            ("bytes=0-9", 0, 10),
            ("bytes=10-", 10, len(data)),
            ("bytes=-7", len(data) - 7, len(data)),
        ):
            response = client.get(url, headers={"Range": wanted})
            assert (response.status_code, response.content) == (206, data[start:stop])
            assert response.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(data)}"
        resumed = client.get(url, headers={"Range": "bytes=10-", "If-Range": headers["etag"]})
        assert (resumed.status_code, data[:10] + resumed.content) == (206, data)
        assert client.get(url, headers={"Range": "bytes=10-", "If-Range": '"old"'}).content == data
        response = client.get(url, headers={"Range": f"bytes={len(data)}-"})
        assert (problem(response)["status"], response.headers["content-range"]) == (416, f"bytes */{len(data)}")

        head = client.head(url)
        assert (head.status_code, head.content) == (200, b"")
        volatile = {"date", "x-request-id"}
        assert {k: v for k, v in head.headers.items() if k not in volatile} == {
            k: v for k, v in headers.items() if k not in volatile
        }


def test_a_large_picture_is_delivered_whole_and_in_ranges(service: Service) -> None:
    with service.client() as client:
        detail = create(client, size="1536x1024", output_format="png")
        data = client.get(detail["content_url"]).content
        assert hashlib.sha256(data).hexdigest() == detail["sha256"]
        pieces = b""
        while len(pieces) < len(data):
            wanted = f"bytes={len(pieces)}-{len(pieces) + 20_000}"
            pieces += client.get(detail["content_url"], headers={"Range": wanted}).content
        assert pieces == data


def test_the_list_is_a_bare_array_newest_first(service: Service) -> None:
    with service.client() as client:
        tag = unique()
        made = [create(client, tags=[tag]) for _ in range(3)]
        response = client.get("/image", params={"tag": tag})
        assert (response.status_code, response.json()) == (200, made[::-1])
        assert response.headers["content-type"] == "application/json"
        assert "link" not in response.headers
        assert client.get("/image/").json()[: len(made)] == made[::-1]


def test_filters_work_alone_and_combined(service: Service) -> None:
    tag, other = unique(), unique()
    with service.client(ALICE) as alice, service.client(BOB) as bob, service.client() as anybody:
        one = create(alice, prompt="Ein großer grüner Papagei", tags=[tag, "Bird"], filename="Papagei_1.PNG")
        two = create(bob, prompt="a small green parrot", tags=[tag, "bird", other])
        three = create(alice, prompt="鹦鹉 🦜 100% _sure\\", tags=[tag], visibility="private")
        one_, two_, three_ = (detail["guid"] for detail in (one, two, three))

        def names(client: httpx.Client = anybody, **filters: Any) -> list[str]:
            return found(client, **({"tag": tag} | filters))

        assert names() == [two_, one_]
        assert names(alice) == [three_, two_, one_]
        assert names(prompt="gree") == [two_]
        assert names(prompt="GRUN gruen") == []
        assert names(prompt="GRUN gross") == names(prompt="grü papa") == names(prompt="GRUNER papagei") == [one_]
        assert names(alice, prompt="鹦鹉") == names(alice, prompt="🦜") == names(alice, prompt="100 sure") == [three_]
        assert names(prompt="鹦鹉") == []
        assert names(filename="papagei_1") == names(filename="GEI_1.p") == [one_]
        assert names(filename="papagei%") == names(filename="papageiX1") == []
        assert names(guid=one_) == names(guid=one_.upper()) == [one_]
        assert names(guid=three_) == names(guid=MISSING) == []
        assert names(alice, guid=three_) == [three_]
        assert names(tag=[tag, " BIRD "]) == [two_, one_]
        assert names(tag=[tag, "bird", other]) == [two_]
        assert names(tag=[tag, unique()]) == []
        assert names(author="alice") == [one_]
        assert names(author="Alice") == []
        assert names(model=one["model"]) == [two_, one_]
        assert names(model=one["model"].upper()) == names(model="no such model") == []
        assert names(alice, author="alice") == [three_, one_]
        assert names(visibility="public") == [two_, one_]
        assert names(visibility="private") == names(bob, visibility="private") == []
        assert names(alice, visibility="private") == [three_]
        assert names(status="ready") == [two_, one_]
        assert names(status="failed") == names(alice, status="generating") == names(status="unknown") == []
        assert names(created_after=one["created_at"]) == [two_]
        assert names(created_before=two["created_at"]) == [one_]
        hour = timedelta(hours=1)
        earlier = datetime.fromisoformat(one["created_at"]) - hour
        assert names(created_after=earlier.isoformat(), created_before=(earlier + 2 * hour).isoformat()) == [two_, one_]
        assert names(created_before=earlier.replace(tzinfo=None).isoformat()) == []
        everything = {"prompt": "green", "filename": "parrot", "guid": two_, "tag": [tag, "bird"], "author": "bob",
                      "visibility": "public", "status": "ready", "created_after": one["created_at"],
                      "created_before": "2999-01-01", "limit": "1"}  # fmt: skip
        assert names(alice, **everything) == [two_]
        assert names(alice, **(everything | {"prompt": "green duck"})) == []


def test_pages_stay_right_while_images_are_added_and_deleted(service: Service) -> None:
    tag = unique()
    with service.client(ALICE) as client:
        made = [create(client, prompt=f"Ente & Söhne {i}", tags=[tag, "a b"])["guid"] for i in range(7)]
        response = client.get("/image", params={"limit": 2, "tag": [tag, "A B"], "prompt": "söhne", "author": "alice"})
        seen = [detail["guid"] for detail in response.json()]
        turn = 0
        while "link" in response.headers:
            assert re.fullmatch(r'<[^>]+>; rel="next"', response.headers["link"])
            turn += 1
            create(client, prompt=f"Söhne later {turn}", tags=[tag, "a b"])
            if turn == 1:
                assert client.delete(f"/image/{seen[-1]}").status_code == 204
            response = client.get(response.links["next"]["url"])
            assert response.status_code == 200
            assert 1 <= len(response.json()) <= 2
            seen += [detail["guid"] for detail in response.json()]
        assert seen == made[::-1]
        assert turn == 3


def test_change(service: Service) -> None:
    with service.client(ALICE) as client:
        detail = create(client, tags=["old"])
        path = f"/image/{detail['guid']}"
        response = client.patch(path, json={"tags": ["New ", "new", "鸭"], "filename": "ënte 🦆.png"})
        changed = response.json()
        assert response.status_code == 200
        assert changed["updated_at"] > detail["updated_at"]
        expected = detail | {"tags": ["new", "鸭"], "filename": "ënte 🦆.png", "updated_at": changed["updated_at"]}
        expected["content_url"] = f"{path}/content/%C3%ABnte%20%F0%9F%A6%86.png"
        assert lasting(changed) == lasting(client.get(path).json()) == lasting(expected)
        assert found(client, guid=detail["guid"], tag="鸭") == [detail["guid"]]
        assert found(client, guid=detail["guid"], tag="old") == []
        assert found(client, guid=detail["guid"], filename="ENTE 🦆") == [detail["guid"]]
        disposition = client.get(detail["content_url"]).headers["content-disposition"]
        assert disposition == "inline; filename=\"_nte _.png\"; filename*=UTF-8''%C3%ABnte%20%F0%9F%A6%86.png"
        assert client.patch(path, json={"visibility": "private"}).json()["visibility"] == "private"
        assert client.get(detail["content_url"]).headers["cache-control"] == "private, no-store"
        with service.client() as anybody:
            assert anybody.get(path).status_code == 404
        assert lasting(client.patch(path, json={}).json()) == lasting(client.get(path).json())
        for wrong in ({"prompt": "x"}, {"tags": [""]}, {"filename": "a/b"}, {"visibility": "x"}, {"guid": MISSING}):
            response = client.patch(path, json=wrong)
            assert (response.status_code, problem(response)["code"]) == (422, "validation-failed")


def test_delete(service: Service) -> None:
    with service.client(ALICE) as client:
        detail = create(client)
        path = f"/image/{detail['guid']}"
        assert any(detail["guid"] in file.name for file in service.files())
        response = client.delete(path)
        assert (response.status_code, response.content) == (204, b"")
        assert "content-length" not in response.headers
        for gone in (client.get(path), client.get(f"{path}/content"), client.delete(path), client.patch(path, json={})):
            assert problem(gone)["status"] == 404
        assert found(client, guid=detail["guid"]) == []
        assert not any(detail["guid"] in file.name for file in service.files())


def test_a_row_deleted_by_hand_is_gone_at_once(service: Service) -> None:
    with service.client() as client:
        tag = unique()
        detail = create(client, tags=[tag])
        assert client.get(detail["content_url"]).status_code == 200
        delete_row(service, detail["guid"])
        assert client.get(f"/image/{detail['guid']}").status_code == 404
        assert client.get(detail["content_url"]).status_code == 404
        assert found(client, tag=tag) == []


def test_the_current_user(service: Service) -> None:
    with service.client(ALICE) as client:
        assert client.get("/user/me").json() == {
            "username": "alice",
            "class_key": "cs101",
            "role": "student",
            "valid_until": None,
            "password_set_by": "command line",
        }
    with service.client(BOB) as client:
        assert client.get("/user/me/").json()["class_key"] is None
    with service.client() as client:
        response = client.get("/user/me")
        assert (problem(response)["status"], response.headers["www-authenticate"]) == (
            401,
            'Basic realm="pixyproxy", charset="UTF-8"',
        )


def test_health_and_readiness(service: Service) -> None:
    with service.client() as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        response = client.get("/readyz")
        assert response.status_code == 200
        assert response.json() == {"status": "ok", "database": "ok", "blob_store": "ok", "generator": "ok"}


def test_head_works_wherever_get_does(service: Service) -> None:
    with service.client(ALICE) as client:
        guid = create(client)["guid"]
        for path in ("/image", f"/image/{guid}/", f"/image/{guid}/content", f"/image/{MISSING}", "/user/me", "/healthz",
                     "/readyz", "/docs", "/openapi.json", "/login", "/docs/assets/swagger-ui.css", "/no"):  # fmt: skip
            get, head = client.get(path), client.head(path)
            assert (head.status_code, head.content) == (get.status_code, b"")
            if get.status_code < 400:
                # A placeholder may be added to a listed image at any time.
                while (again := client.get(path)).content != get.content:
                    get, head = again, client.head(path)
                assert head.headers.get("content-length") == get.headers.get("content-length"), path
            assert head.headers.get("content-type") == get.headers.get("content-type")


def test_the_internal_id_appears_nowhere(service: Service) -> None:
    with service.client(ALICE) as client:
        detail = create(client)
        assert "id" not in detail
        assert "id" not in client.get("/openapi.json").json()["components"]["schemas"]["ImageDetail"]["properties"]
        cursors = re.findall(r"cursor=([^&>]+)", client.get("/image?limit=1").headers.get("link", ""))
        assert not any(cursor.isdigit() for cursor in cursors)


def test_unknown_paths_and_wrong_methods(service: Service) -> None:
    with service.client() as client:
        assert problem(client.get("/nowhere"))["code"] == "not-found"
        response = client.put("/image", json={})
        assert (problem(response)["code"], response.headers["allow"]) == ("method-not-allowed", "GET, HEAD, POST")


def test_the_log_has_two_lines_for_each_request(service: Service) -> None:
    with service.client(ALICE) as client:
        detail = create(client, prompt="velvet words that nobody may log")
        responses = [
            client.get(detail["content_url"]),
            client.get(detail["content_url"], headers={"Range": "bytes=0-4"}),
            client.head(detail["content_url"]),
            client.get("/nowhere%0A2026-11-21%20forged"),
            client.put("/image"),
            client.get("/image", params={"prompt": "velvet", "x": "1"}),
            client.get("/user/me", auth=("alice", "wrong")),
        ]
    for response in responses:
        start, end = service.log_of(response)
        assert "REQUEST START" in start
        assert f"REQUEST END {response.request.method}" in end
        status, sent, duration = end.split()[-3:]
        assert (status, sent) == (str(response.status_code), f"{len(response.content)}B")
        assert re.fullmatch(r"\d+\.\dms", duration)
    assert "velvet" not in service.log
    assert "\nforged" not in service.log
