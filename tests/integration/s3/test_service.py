"""The service with its pictures on S3: delivery, maintenance, and outages while pictures are made."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import obstore
import pytest

from tests.fixtures.s3.fault_proxy import Exchange, FaultProxy
from tests.fixtures.s3.seaweedfs import S3Server
from tests.fixtures.service import Deadline, Service, environment, pixyproxy, problem

SIZE = {"size": "64x64"}


@pytest.fixture
def settings(s3_server: S3Server, fault_proxy: FaultProxy, s3_prefix: str) -> dict[str, str]:
    return s3_server.environment(s3_prefix, fault_proxy.url) | {"PIXYPROXY_LEASE_S": "0.5"}


@pytest.fixture
def service(settings: dict[str, str], tmp_path: Path) -> Iterator[Service]:
    with Service(tmp_path / "service", **settings) as service:
        yield service


def keys(server: S3Server, prefix: str) -> set[str]:
    return {meta["path"] for meta in obstore.list(server.client(prefix)).collect()}


def test_pictures_are_made_delivered_and_deleted(service: Service, s3_server: S3Server, s3_prefix: str) -> None:
    assert f"  blob store  s3 (pictures/{s3_prefix} at http://127.0.0.1:" in service.announced
    with service.client() as client:
        detail = client.post("/image", json={"prompt": "a duck", **SIZE}).json()
        guid, url = detail["guid"], detail["content_url"]
        whole = client.get(url)
        assert (whole.status_code, len(whole.content)) == (200, detail["size_bytes"])
        assert whole.headers["etag"] == f'"{detail["sha256"]}"'
        part = client.get(url, headers={"Range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, whole.content[10:20])
        assert client.get(url, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
        assert client.head(url).headers["content-length"] == str(detail["size_bytes"])
        assert client.get(detail["thumbnail_url"], params={"size": 128}).status_code == 200
        stem = f"{guid[:2]}/{guid[2:4]}/{guid}"
        found = keys(s3_server, s3_prefix)
        assert {"pixyproxy.id", f"{stem}.bin", f"{stem}.json"} <= found
        assert any(key.startswith(f"derived/{stem}.") for key in found)
        assert client.get("/readyz").json()["blob_store"] == "ok"
    assert keys(s3_server, s3_prefix) == found


@pytest.mark.parametrize("visibility", ["public", "private"])
def test_clients_are_sent_to_s3_once_they_may_see_the_picture(
    settings: dict[str, str], tmp_path: Path, visibility: str
) -> None:
    with Service(tmp_path / "service", **settings, S3_DELIVERY="redirect") as service:
        service.add_user("alice", "a long password of alice")
        with service.client(("alice", "a long password of alice")) as alice, service.client() as anybody:
            detail = alice.post("/image", json={"prompt": "a duck", "visibility": visibility, **SIZE}).json()
            url = detail["content_url"]
            sent = alice.get(url)
            assert (sent.status_code, sent.content) == (307, b"")
            assert sent.headers["cache-control"] == "private, no-store"
            assert "X-Amz-Expires=60" in sent.headers["location"]
            picture = httpx.get(sent.headers["location"], trust_env=False)
            assert len(picture.content) == detail["size_bytes"]
            assert picture.headers["content-type"] == "image/png"
            assert detail["filename"] in picture.headers["content-disposition"]
            part = alice.get(url, headers={"Range": "bytes=0-3"}, follow_redirects=True)
            assert (part.status_code, part.content) == (206, picture.content[:4])
            assert alice.get(url, headers={"If-None-Match": f'"{detail["sha256"]}"'}).status_code == 304
            assert alice.get(url, headers={"Range": "bytes=9999999-"}).status_code == 416
            assert anybody.get(url).status_code == (307 if visibility == "public" else 404)
            assert alice.get(detail["thumbnail_url"]).status_code == 200


@pytest.mark.parametrize("fault", [Exchange.lose_request, Exchange.lose_answer])
def test_a_picture_that_s3_does_not_take_is_rescued_and_appears_when_it_does(
    service: Service, fault_proxy: FaultProxy, tmp_path: Path, fault: "object"
) -> None:
    def lose_pictures(exchange: Exchange) -> None:
        if exchange.method in {"PUT", "HEAD"} and exchange.path.endswith(".bin"):
            assert callable(fault)
            fault(exchange)

    rescue = tmp_path / "service" / "data" / "rescue"
    with service.client() as client:
        with fault_proxy.failing(lose_pictures):
            answer = client.post("/image", json={"prompt": "a duck", **SIZE})
            assert answer.status_code == 503
            guid = problem(answer)["guid"]
            assert len(list(rescue.glob(f"{guid}.1.*"))) == 2
        deadline = Deadline("the rescued picture was adopted")
        while client.get(f"/image/{guid}").json()["status"] != "ready":
            deadline.wait()
        assert client.get(f"/image/{guid}/content").status_code == 200
        while list(rescue.glob("*")):
            deadline.wait()


def test_nothing_is_paid_while_s3_is_away(service: Service, fault_proxy: FaultProxy) -> None:
    with service.client() as client:
        with fault_proxy.down():
            answer = client.post("/image", json={"prompt": "a duck", **SIZE})
            assert (answer.status_code, problem(answer)["code"]) == (503, "blob-store-unavailable")
            assert client.get("/readyz").status_code == 503
        assert client.get("/image").json() == []
        assert client.post("/image", json={"prompt": "a duck", **SIZE}).status_code == 200


def test_the_commands_work_on_a_bucket(
    service: Service, settings: dict[str, str], s3_server: S3Server, s3_prefix: str, tmp_path: Path
) -> None:
    with service.client() as client:
        guids = [client.post("/image", json={"prompt": f"duck {n}", **SIZE}).json()["guid"] for n in range(2)]
    service.stop()
    folder, client_past = service.folder, s3_server.client(s3_prefix)
    checked = pixyproxy(folder, "check", "--deep", **settings)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    stray = f"{guids[0][:-4]}0000"
    obstore.put(client_past, f"{stray[:2]}/{stray[2:4]}/{stray}.bin", b"stray", use_multipart=False)
    key = f"{guids[1][:2]}/{guids[1][2:4]}/{guids[1]}.bin"
    whole = bytes(obstore.get(client_past, key).bytes())
    obstore.put(client_past, key, bytes(len(whole)), use_multipart=False)
    damaged = pixyproxy(folder, "check", "--deep", **settings)
    assert damaged.returncode == 1
    assert guids[1] in damaged.stdout + damaged.stderr
    obstore.put(client_past, key, whole, use_multipart=False)
    reconciled = pixyproxy(folder, "reconcile", **settings)
    assert stray in reconciled.stdout, reconciled.stdout + reconciled.stderr

    rebuilt = tmp_path / "rebuilt"
    rebuilt.mkdir()
    refused = pixyproxy(rebuilt, "generate", "a duck", **settings)
    assert refused.returncode == 2
    assert "S3_BUCKET, S3_PREFIX, PIXYPROXY_DATA_DIR: " in refused.stderr
    done = pixyproxy(rebuilt, "rebuild", **settings)
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    with Service(rebuilt, **settings) as again, again.client() as client:
        assert {image["guid"] for image in client.get("/image").json()} == set(guids)
        assert client.get(f"/image/{guids[0]}/content").status_code == 200


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"S3_BUCKET": "no-such-bucket"}, "there is no such bucket"),
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "the secret does not belong to the access key"),
        ({"S3_ENDPOINT_URL": "http://127.0.0.1:1"}, "S3 cannot be reached"),
    ],
    ids=["bucket", "secret", "endpoint"],
)
def test_the_start_says_what_is_wrong(
    settings: dict[str, str], tmp_path: Path, values: dict[str, str], reason: str
) -> None:
    result = pixyproxy(tmp_path, "serve", **(settings | values))
    assert result.returncode == 2
    line = result.stderr.strip()
    assert "\n" not in line
    assert line.startswith("pixyproxy: S3_BUCKET, S3_ENDPOINT_URL, ")
    assert reason in line
    assert environment(tmp_path, **(settings | values))["AWS_SECRET_ACCESS_KEY"] not in line
