"""Hidden images on real databases: over HTTP, and after the database was copied or rebuilt."""

import uuid
from pathlib import Path

import pytest

from tests.fixtures.service import Service, pixyproxy
from tests.fixtures.services import ALICE
from tests.fixtures.sql.mysql_servers import MySQLSettings

SECRET = "secret of the staff"
SMALL = {"prompt": "a hidden duck", "size": "64x64"}


def statuses(service: Service, guid: str, *viewers: tuple[str, str] | None) -> list[int]:
    """Return the status of the details for each viewer, which all ways to an image must agree on."""
    found = []
    for viewer in viewers:
        with service.client(viewer) as client:
            one = client.get(f"/image/{guid}").status_code
            # The first thumbnail is made from a real picture.
            for tail in ("/content", "/thumbnail?size=128"):
                assert client.get(f"/image/{guid}{tail}").status_code == one
            for query in ({"guid": guid}, {"prompt": "hidden", "guid": guid}, {"prompt": "hid"}, {"limit": 200}):
                listed = [image["guid"] for image in client.get("/image", params=query).json()]
                assert (guid in listed) is (one == 200), (viewer, query)
            assert client.get(f"/view/{guid}", headers={"Accept": "text/html"}).status_code == one
        found.append(one)
    return found


def test_a_teacher_hides_an_image_of_the_own_class(service: Service) -> None:
    own, other = (f"teacher {uuid.uuid4()}", SECRET), (f"teacher {uuid.uuid4()}", SECRET)
    service.add_user(*own, class_key="cs101", role="teacher")
    service.add_user(*other, class_key="cs102", role="teacher")
    with service.client(ALICE) as client:
        guid = client.post("/image", json=SMALL).json()["guid"]
        assert client.patch(f"/image/{guid}", json={"hidden": True}).status_code == 403
    with service.client(other) as client:
        assert client.patch(f"/image/{guid}", json={"hidden": True}).status_code == 403
    assert statuses(service, guid, None, ALICE, own, other) == [200, 200, 200, 200]
    with service.client(own) as client:
        hidden = client.patch(f"/image/{guid}", json={"hidden": True})
        assert (hidden.status_code, hidden.json()["hidden"], hidden.json()["visibility"]) == (200, True, "public")
        lines = service.log_of(hidden, 3)
        assert f" {own[0]} hid the image {guid} of alice" in lines[1]
    assert statuses(service, guid, None, ALICE, own, other) == [404, 200, 200, 404]
    with service.client(own) as client:
        assert client.patch(f"/image/{guid}", json={"hidden": False}).json()["hidden"] is False
    assert statuses(service, guid, None, other) == [200, 200]


@pytest.mark.parametrize("way", ["rebuild", "copy"])
def test_a_hidden_image_stays_hidden(tmp_path: Path, mysql_settings: MySQLSettings, way: str) -> None:
    root, miller = ("root", SECRET), ("miller", SECRET)
    with Service(tmp_path) as service:
        service.add_user(*ALICE, class_key="9a")
        service.add_user(*root, role="admin")
        service.add_user(*miller, class_key="9a", role="teacher")
        with service.client(ALICE) as client:
            guid = client.post("/image", json=SMALL).json()["guid"]
        with service.client(root) as client:
            orphan = client.post("/image", json=SMALL, auth=None).json()["guid"]
            for one in (guid, orphan):
                assert client.patch(f"/image/{one}", json={"hidden": True}).status_code == 200
    values = {"PIXYPROXY_REPOSITORY": "mysql", **mysql_settings.environment()} if way == "copy" else {}
    if way == "copy":
        done = pixyproxy(tmp_path, "copy-database", "--to", "mysql", **mysql_settings.environment())
    else:
        for file in (tmp_path / "data").glob("pixyproxy.sqlite3*"):
            file.unlink()
        done = pixyproxy(tmp_path, "rebuild")
    assert done.returncode == 0, done.stdout + done.stderr
    with Service(tmp_path, **values) as service:
        if way == "rebuild":  # the roster is gone too
            service.add_user(*root, role="admin")
            service.add_user(*miller, class_key="9a", role="teacher")
            assert statuses(service, guid, None, root, miller) == [404, 200, 404]
        else:
            assert statuses(service, guid, None, ALICE, root, miller) == [404, 200, 200, 200]
        assert statuses(service, orphan, None, root, miller) == [404, 200, 404]
        with service.client(root) as client:
            assert client.delete(f"/image/{orphan}").status_code == 204
            assert client.patch(f"/image/{guid}", json={"hidden": False}).status_code == 200
        assert statuses(service, guid, None, miller) == [200, 200]
