"""`pixyproxy copy-images` moves a store to S3 and back, while a service runs."""

from pathlib import Path

import obstore
import pytest

from tests.fixtures.s3.seaweedfs import S3Server
from tests.fixtures.service import Service, lasting, pixyproxy

SIZE = {"size": "64x64"}


@pytest.fixture
def settings(s3_server: S3Server, s3_prefix: str) -> dict[str, str]:
    return s3_server.environment(s3_prefix) | {"PIXYPROXY_BLOB_STORE": "filesystem"}


def create(service: Service, *prompts: str) -> list[str]:
    with service.client(("alice", "a long password of alice")) as client:
        return [client.post("/image", json={"prompt": prompt, **SIZE}).json()["guid"] for prompt in prompts]


def test_a_store_moves_to_s3_while_the_service_runs_and_back(
    settings: dict[str, str], s3_server: S3Server, s3_prefix: str, tmp_path: Path
) -> None:
    folder = tmp_path / "service"
    with Service(folder, **settings) as service:
        service.add_user("alice", "a long password of alice")
        guids = create(service, "one duck", "two ducks", "three ducks")
        first = pixyproxy(folder, "copy-images", "--to", "s3", **settings)
        assert (first.returncode, first.stdout) == (0, "3 copied\n"), first.stderr
        guids += create(service, "four ducks")
        with service.client(("alice", "a long password of alice")) as client:
            assert client.patch(f"/image/{guids[0]}", json={"tags": ["moved"]}).status_code == 200
            assert client.delete(f"/image/{guids[1]}").status_code == 204
            before = {guid: lasting(client.get(f"/image/{guid}").json()) for guid in guids if guid != guids[1]}
            bytes_before = {guid: client.get(f"/image/{guid}/content").content for guid in before}
        files = {path: path.read_bytes() for path in service.files()}
        second = pixyproxy(folder, "copy-images", "--to", "s3", **settings)
        assert (second.returncode, second.stdout) == (0, "1 copied, 1 described anew, 1 there already\n")
        assert {path: path.read_bytes() for path in service.files()} == files

    on_s3 = settings | {"PIXYPROXY_BLOB_STORE": "s3"}
    with Service(folder, **on_s3) as service, service.client(("alice", "a long password of alice")) as client:
        assert {guid: lasting(client.get(f"/image/{guid}").json()) for guid in before} == before
        assert {guid: client.get(f"/image/{guid}/content").content for guid in before} == bytes_before
        guids += create(service, "five ducks")
    checked = pixyproxy(folder, "check", "--deep", **on_s3)
    assert checked.returncode == 0, checked.stdout

    elsewhere = on_s3 | {"PIXYPROXY_IMAGES_DIR": str(tmp_path / "elsewhere")}
    back = pixyproxy(folder, "copy-images", "--to", "filesystem", **elsewhere)
    # The picture that was deleted in the folder after its copy is one without a row on S3.
    assert (back.returncode, back.stdout) == (0, "5 copied\n"), back.stderr
    on_disk = elsewhere | {"PIXYPROXY_BLOB_STORE": "filesystem"}
    checked = pixyproxy(folder, "check", "--deep", **on_disk)
    assert checked.returncode == 0, checked.stdout


def test_a_damaged_picture_is_named_and_the_target_is_not_ready(
    settings: dict[str, str], s3_server: S3Server, s3_prefix: str, tmp_path: Path
) -> None:
    folder = tmp_path / "service"
    with Service(folder, **settings) as service:
        service.add_user("alice", "a long password of alice")
        _, damaged, undescribed = create(service, "one duck", "two ducks", "three ducks")
    path = folder / "images" / damaged[:2] / damaged[2:4] / f"{damaged}.bin"
    data = path.read_bytes()
    path.write_bytes(bytes(len(data)))
    (folder / "images" / undescribed[:2] / undescribed[2:4] / f"{undescribed}.json").unlink()
    result = pixyproxy(folder, "copy-images", "--to", "s3", **settings)
    assert (result.returncode, result.stdout) == (1, "2 copied, 1 not copied\n")
    assert f"{damaged}  The bytes are not those that the sidecar describes." in result.stderr
    keys = {meta["path"] for meta in obstore.list(s3_server.client(s3_prefix)).collect()}
    assert "pixyproxy.id" not in keys
    assert f"{undescribed[:2]}/{undescribed[2:4]}/{undescribed}.json" in keys
    refused = pixyproxy(folder, "generate", "a duck", **(settings | {"PIXYPROXY_BLOB_STORE": "s3"}))
    assert refused.returncode == 2
    path.write_bytes(data)
    again = pixyproxy(folder, "copy-images", "--to", "s3", **settings)
    assert (again.returncode, again.stdout) == (0, "1 copied, 2 there already\n")


def test_what_is_rescued_has_to_be_adopted_first(settings: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "service"
    folder_of(folder)
    assert pixyproxy(folder, "generate", "a duck", "-o", str(tmp_path / "duck.png"), **settings).returncode == 0
    [image] = (folder / "images").rglob("*.bin")
    aside = folder / "images" / "aside"
    aside.mkdir()
    image.rename(aside / f"{image.stem}.1.bin")
    image.with_suffix(".json").rename(aside / f"{image.stem}.1.json")
    result = pixyproxy(folder, "copy-images", "--to", "s3", **settings)
    assert (result.returncode, result.stdout) == (1, "nothing to copy\n")
    assert "1 rescued pictures or responses wait" in result.stderr
    pixyproxy(folder, "reconcile", "--apply", **settings)
    result = pixyproxy(folder, "copy-images", "--to", "s3", **settings)
    assert (result.returncode, result.stdout) == (0, "1 copied\n"), result.stderr


def folder_of(path: Path) -> Path:
    path.mkdir(exist_ok=True)
    return path


def test_wrong_stores_are_refused(
    settings: dict[str, str], s3_server: S3Server, s3_prefix: str, tmp_path: Path
) -> None:
    folder = folder_of(tmp_path / "service")
    without = {name: value for name, value in settings.items() if name != "S3_BUCKET"}
    result = pixyproxy(folder, "copy-images", "--to", "s3", **without)
    assert (result.returncode, result.stderr) == (
        2,
        "pixyproxy: S3_BUCKET: is missing; pixyproxy copy-images copies to or from that bucket\n",
    )
    pixyproxy(folder, "migrate", **settings)
    result = pixyproxy(folder, "copy-images", "--to", "s3", **settings)
    assert result.returncode == 1
    assert "does not carry the identity of this database" in result.stderr
    assert pixyproxy(folder, "generate", "a duck", "-o", str(tmp_path / "duck.png"), **settings).returncode == 0
    marker = b"0b9f1c2d-4e5f-4a6b-8c7d-0e1f2a3b4c5d\n"
    obstore.put(s3_server.client(s3_prefix), "pixyproxy.id", marker, use_multipart=False)
    result = pixyproxy(folder, "copy-images", "--to", "s3", **settings)
    assert result.returncode == 1
    assert "belongs to another database" in result.stderr
    result = pixyproxy(folder, "copy-images", "--to", "s3", **(settings | {"S3_BUCKET": "no-such-bucket"}))
    assert result.returncode == 2
    assert "S3_BUCKET, S3_ENDPOINT_URL, " in result.stderr
