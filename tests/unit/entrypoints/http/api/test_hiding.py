"""Images that staff hide, and those without an author, over HTTP."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from pixyproxy.domain.errors import DBConnectionError
from pixyproxy.domain.user import Role
from tests.fixtures.core import PNG
from tests.fixtures.http_app import MISSING, HttpApp, basic, http_app, log_lines

SECRET = "secret of everybody"
PEOPLE: list[tuple[str, str | None, Role]] = [
    ("ann", "9a", Role.STUDENT),
    ("ben", "9a", Role.STUDENT),
    ("miller", "9a", Role.TEACHER),
    ("smith", "9b", Role.TEACHER),
    ("lost", None, Role.TEACHER),
    ("root", None, Role.ADMIN),
    ("boss", "9a", Role.ADMIN),
]
ANN = ("ann", SECRET)
CONCERNED = ("ann", "miller", "root")
STRANGERS = (None, "ben", "smith", "lost")


@pytest.fixture
async def app() -> AsyncIterator[HttpApp]:
    async with http_app() as app:
        await app.add_people(PEOPLE, SECRET)
        yield app


async def send(app: HttpApp, viewer: str | None, method: str, path: str, **options: Any) -> httpx.Response:
    auth = httpx.USE_CLIENT_DEFAULT if viewer is None else basic((viewer, SECRET))
    return await app.client.request(method, path, auth=auth, **options)


async def patch(app: HttpApp, viewer: str | None, guid: str, **changes: Any) -> httpx.Response:
    return await send(app, viewer, "PATCH", f"/image/{guid}", json=changes)


async def hidden_of_ann(app: HttpApp, **fields: Any) -> dict[str, Any]:
    """Return an image of ann that her teacher has hidden."""
    detail = await app.create(auth=ANN, **fields)
    response = await patch(app, "miller", detail["guid"], hidden=True)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def bare(response: httpx.Response) -> dict[str, Any]:
    """Return an error without what differs in each response."""
    problem: dict[str, Any] = response.json()
    return {name: problem[name] for name in problem.keys() - {"request_id", "instance"}}


async def test_a_hidden_image_exists_for_those_concerned_only(app: HttpApp) -> None:
    made = await app.create(auth=ANN, prompt="a duck", tags=["bath"])
    assert made["hidden"] is False
    hidden = (await patch(app, "miller", made["guid"], hidden=True)).json()
    assert (hidden["hidden"], hidden["visibility"], hidden["tags"]) == (True, "public", ["bath"])
    assert hidden["updated_at"] > made["updated_at"]
    guid = hidden["guid"]
    edit = await app.create(auth=ANN, edit_of=[guid])
    searches = [{}, {"prompt": "du"}, {"tag": "bath"}, {"author": "ann"}, {"guid": guid}, {"visibility": "public"}]
    paths = [f"/image/{guid}", f"/image/{guid}/content", hidden["content_url"], f"/image/{guid}/thumbnail"]
    for viewer in CONCERNED:
        assert (await send(app, viewer, "GET", paths[0])).json() == hidden
        assert (await send(app, viewer, "GET", paths[1])).content == PNG
        assert (await send(app, viewer, "GET", paths[3])).status_code == 422  # the scripted picture is no real one
        for query in searches:
            listed = (await send(app, viewer, "GET", "/image", params=query)).json()
            assert [one for one in listed if one["guid"] == guid] == [hidden], (viewer, query)
        assert f"/view/{guid}" in (await send(app, viewer, "GET", f"/view/{edit['guid']}")).text
        for page in ("/", f"/view/{guid}"):
            assert guid in (await send(app, viewer, "GET", page, headers={"Accept": "text/html"})).text
    for viewer in STRANGERS:
        for path in paths:
            refused, missing = [await send(app, viewer, "GET", one) for one in (path, path.replace(guid, MISSING))]
            assert (refused.status_code, bare(refused)) == (404, bare(missing)), (viewer, path)
        for query in searches:
            listed = (await send(app, viewer, "GET", "/image", params=query)).json()
            assert guid not in [one["guid"] for one in listed], (viewer, query)
        for page, status in (("/", 200), (f"/view/{guid}", 404)):
            response = await send(app, viewer, "GET", page, headers={"Accept": "text/html"})
            assert (response.status_code, f"/image/{guid}" in response.text) == (status, False)
        assert f"/view/{guid}" not in (await send(app, viewer, "GET", f"/view/{edit['guid']}")).text
        for path in ("/image", "/price"):
            refused = await send(app, viewer, "POST", path, json={"prompt": "an edit", "edit_of": [guid]})
            assert refused.status_code == 404, (viewer, path)
    assert (await send(app, "miller", "POST", "/image", json={"prompt": "x", "edit_of": [guid]})).status_code == 200


async def test_it_is_shown_again(app: HttpApp) -> None:
    guid = (await hidden_of_ann(app))["guid"]
    shown = await patch(app, "root", guid, hidden=False)
    assert (shown.status_code, shown.json()["hidden"]) == (200, False)
    assert (await send(app, None, "GET", f"/image/{guid}/content")).content == PNG
    assert guid in (await send(app, "ben", "GET", "/image")).text


async def test_caches_do_not_keep_what_is_hidden(app: HttpApp) -> None:
    made = await app.create(auth=ANN)
    content = await send(app, "ann", "GET", made["content_url"])
    assert content.headers["cache-control"] == "public, max-age=3600"
    await patch(app, "miller", made["guid"], hidden=True)
    for headers in ({}, {"If-None-Match": content.headers["etag"]}, {"Range": "bytes=0-3"}):
        for viewer in CONCERNED:
            response = await send(app, viewer, "GET", made["content_url"], headers=headers)
            assert response.status_code in {200, 206, 304}
            assert response.headers["cache-control"] == "private, no-store"
        assert (await send(app, None, "GET", made["content_url"], headers=headers)).status_code == 404


async def test_a_page_of_a_hidden_picture_is_not_described_to_other_sites(app: HttpApp) -> None:
    made = await app.create(auth=ANN)
    for viewer in CONCERNED:
        assert "og:image" in (await send(app, viewer, "GET", f"/view/{made['guid']}")).text
    await patch(app, "miller", made["guid"], hidden=True)
    for viewer in CONCERNED:
        page = (await send(app, viewer, "GET", f"/view/{made['guid']}")).text
        assert ("og:image" in page, "noindex" in page, "hidden by staff" in page) == (False, True, True)
        assert "hidden by staff" in (await send(app, viewer, "GET", "/", headers={"Accept": "text/html"})).text


async def test_who_may_hide(app: HttpApp) -> None:
    guid = (await app.create(auth=ANN))["guid"]
    for viewer, status in ((None, 401), ("ann", 403), ("ben", 403), ("smith", 403), ("lost", 403)):
        for hidden in (True, False):
            response = await patch(app, viewer, guid, hidden=hidden)
            assert response.status_code == status, viewer
    assert (await send(app, "ann", "GET", f"/image/{guid}")).json()["hidden"] is False
    for viewer in ("miller", "root", "boss"):
        assert (await patch(app, viewer, guid, hidden=True)).status_code == 200
        assert (await patch(app, viewer, guid, hidden=False)).status_code == 200
    private = (await app.create(auth=ANN, visibility="private"))["guid"]
    for viewer in ("miller", "root", "ben"):
        assert (await patch(app, viewer, private, hidden=True)).status_code == 404
    assert (await patch(app, "ann", private, hidden=True)).status_code == 403
    own = (await app.create(auth=("boss", SECRET), visibility="private"))["guid"]
    refused = await patch(app, "boss", own, hidden=True)
    assert (refused.status_code, "is private" in refused.json()["detail"]) == (403, True)
    of_teacher = (await app.create(auth=("miller", SECRET)))["guid"]
    assert (await patch(app, "miller", of_teacher, hidden=True)).status_code == 403
    for viewer in ("miller", "root"):
        assert (await patch(app, viewer, MISSING, hidden=True)).status_code == 404
    for wrong in ("yes", 1, [True]):
        assert (await patch(app, "miller", guid, hidden=wrong)).status_code == 422


async def test_each_field_has_its_own_right(app: HttpApp) -> None:
    guid = (await app.create(auth=ANN, tags=["a"]))["guid"]
    for viewer in ("miller", "root"):
        for changes in ({"tags": ["b"]}, {"hidden": True, "tags": ["b"]}, {"hidden": True, "tags": []}, {}):
            assert (await patch(app, viewer, guid, **changes)).status_code == 403, (viewer, changes)
    for changes in ({"hidden": True, "tags": ["b"]}, {"hidden": False, "visibility": "private"}):
        assert (await patch(app, "ann", guid, **changes)).status_code == 403
    found = (await send(app, "ann", "GET", f"/image/{guid}")).json()
    assert (found["hidden"], found["tags"], found["visibility"]) == (False, ["a"], "public")
    assert (await patch(app, "miller", guid, hidden=True, tags=None)).status_code == 200
    own = (await app.create(auth=("boss", SECRET)))["guid"]
    both = await patch(app, "boss", own, hidden=True, tags=["b"])
    assert (both.status_code, both.json()["hidden"], both.json()["tags"]) == (200, True, ["b"])
    assert (await send(app, "miller", "GET", f"/image/{own}")).status_code == 404


async def test_the_author_goes_on_changing_a_hidden_image_and_cannot_show_it(app: HttpApp) -> None:
    guid = (await hidden_of_ann(app))["guid"]
    assert (await patch(app, "ann", guid, tags=["new"])).json()["hidden"] is True
    assert (await patch(app, "ann", guid, hidden=False)).status_code == 403
    private = (await patch(app, "ann", guid, visibility="private")).json()
    assert (private["visibility"], private["hidden"]) == ("private", True)
    for viewer in ("miller", "root"):
        assert (await send(app, viewer, "GET", f"/image/{guid}")).status_code == 404
        assert (await patch(app, viewer, guid, hidden=False)).status_code == 404
    assert (await patch(app, "ann", guid, visibility="public")).json()["hidden"] is True
    assert (await send(app, None, "GET", f"/image/{guid}")).status_code == 404
    assert (await send(app, "miller", "GET", f"/image/{guid}")).status_code == 200
    assert (await send(app, "ann", "DELETE", f"/image/{guid}")).status_code == 204


async def test_no_link_opens_a_hidden_image(app: HttpApp) -> None:
    made = await app.create(auth=ANN, visibility="private")
    link = (await send(app, "ann", "POST", f"/view/{made['guid']}/link")).json()["url"]
    assert (await app.client.get(link)).content == PNG
    assert (await patch(app, "ann", made["guid"], visibility="public")).status_code == 200
    assert (await patch(app, "miller", made["guid"], hidden=True)).status_code == 200
    assert (await app.client.get(link)).status_code == 404
    thumbnail = link.replace("/content/", "/thumbnail#").partition("#")[0] + "?" + link.partition("?")[2]
    assert (await app.client.get(thumbnail)).status_code == 404
    edit = {"prompt": "an edit", "images": [{"image_url": link}]}
    assert (await app.client.post("/v1/images/edits", json=edit)).status_code == 404
    await patch(app, "miller", made["guid"], hidden=False)
    assert (await app.client.get(link)).content == PNG


async def test_a_hidden_image_follows_its_author_to_another_class(app: HttpApp) -> None:
    guid = (await hidden_of_ann(app))["guid"]
    path = f"/image/{guid}"
    assert (await send(app, "root", "PATCH", "/user/ann", json={"class_key": "9b"})).status_code == 200
    for viewer, status in (("miller", 404), ("smith", 200), ("ann", 200)):
        assert (await send(app, viewer, "GET", path)).status_code == status
        assert (guid in (await send(app, viewer, "GET", "/image")).text) is (status == 200)
    assert (await patch(app, "miller", guid, hidden=False)).status_code == 404
    assert (await send(app, "root", "DELETE", "/user/ann")).status_code == 204
    for viewer, status in (("smith", 404), ("root", 200)):
        assert (await send(app, viewer, "GET", path)).status_code == status
    assert (await patch(app, "root", guid, hidden=False)).status_code == 200


async def test_the_log_says_who_hid_and_who_deleted(app: HttpApp) -> None:
    guid = (await app.create(auth=ANN))["guid"]
    orphan = (await app.create(auth=None))["guid"]
    with log_lines() as lines:
        await patch(app, "miller", guid, hidden=True)
        await patch(app, "miller", guid, hidden=True)
        await patch(app, "root", guid, hidden=False)
        await patch(app, "root", orphan, hidden=True)
        assert (await send(app, "root", "DELETE", f"/image/{orphan}")).status_code == 204
    audit = [line.partition("] ")[2].partition("] ")[2] for line in lines if "image" in line and "REQUEST" not in line]
    assert audit == [
        f"miller hid the image {guid} of ann",
        f"root showed again the image {guid} of ann",
        f"root hid the image {orphan}, which has no author",
        f"root deleted the image {orphan}, which has no author",
    ]


async def test_an_image_without_an_author_is_an_administrators(app: HttpApp) -> None:
    guid = (await app.create(auth=None))["guid"]
    path = f"/image/{guid}"
    for viewer, status in ((None, 401), ("ann", 403), ("miller", 403), ("smith", 403), ("lost", 403)):
        assert (await send(app, viewer, "DELETE", path)).status_code == status
        assert (await patch(app, viewer, guid, hidden=True)).status_code == status
    assert (await patch(app, "root", guid, tags=["a"])).status_code == 403
    assert (await patch(app, "root", guid, hidden=True)).status_code == 200
    for viewer, status in ((None, 404), ("ann", 404), ("miller", 404), ("root", 200)):
        assert (await send(app, viewer, "GET", path)).status_code == status
    refused = await send(app, "root", "DELETE", path, params={"status": "queued"})
    assert (refused.status_code, refused.json()["code"]) == (409, "image-not-queued")
    assert (await send(app, "root", "DELETE", path)).status_code == 204
    assert (await send(app, "root", "GET", path)).status_code == 404
    assert (await send(app, "root", "DELETE", f"/image/{(await app.create(auth=ANN))['guid']}")).status_code == 403


async def test_the_sidecar_has_it_unless_the_store_fails(app: HttpApp) -> None:
    guid = (await hidden_of_ann(app))["guid"]
    assert (await app.blobs.read_sidecar(guid))["hidden"] is True
    await patch(app, "miller", guid, hidden=False)
    assert (await app.blobs.read_sidecar(guid))["hidden"] is False


async def test_an_outage_of_the_roster_hides_nothing(app: HttpApp, monkeypatch: pytest.MonkeyPatch) -> None:
    guid = (await app.create(auth=ANN))["guid"]
    users = app.container.user_repository()

    async def get(username: str) -> Any:
        if username == "ann":
            raise DBConnectionError("The database is away.")
        return await type(users).get(users, username)

    monkeypatch.setattr(users, "get", get)
    assert (await patch(app, "miller", guid, hidden=True)).status_code == 503
    assert (await send(app, None, "GET", f"/image/{guid}")).status_code == 200
