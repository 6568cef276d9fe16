"""Thumbnails from a running service: made once for all who ask, kept, and gone with their image."""

import asyncio
import io
from typing import Any

import httpx
from PIL import Image

from tests.fixtures.service import PATIENCE_S, Deadline, Service
from tests.fixtures.services import ALICE


def create(client: httpx.Client, **fields: Any) -> dict[str, Any]:
    answer = client.post("/image", json={"prompt": "a duck", "size": "1024x768"} | fields)
    assert answer.status_code == 200, answer.text
    detail: dict[str, Any] = answer.json()
    return detail


def derived(service: Service, guid: str) -> list[str]:
    return [file.name for file in service.files() if "derived" in file.parts and guid in file.name]


async def asked_at_once(url: str, count: int) -> list[httpx.Response]:
    limits = httpx.Limits(max_connections=count)
    async with httpx.AsyncClient(timeout=PATIENCE_S, limits=limits, trust_env=False, verify=False) as client:
        return await asyncio.gather(*(client.get(url) for _ in range(count)))


def test_a_hundred_askers_and_one_decoding(service: Service) -> None:
    with service.client() as client:
        detail = create(client)
        answers = asyncio.run(asked_at_once(f"{service.url}{detail['thumbnail_url']}?size=512", 100))
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1
        found = Image.open(io.BytesIO(answers[0].content))
        assert (found.format, found.size) == ("WEBP", (512, 384))
        for answer in answers:
            service.log_of(answer)
        made = [line for line in service.log.splitlines() if "made thumbnail" in line and detail["guid"] in line]
        assert len(made) == 1
        [name] = derived(service, detail["guid"])
        assert name.endswith("-512.webp")
        etag = answers[0].headers["etag"]
        again = client.get(f"{detail['thumbnail_url']}/?size=512", headers={"If-None-Match": etag})
        assert (again.status_code, again.headers["etag"], again.content) == (304, etag, b"")
        head = client.head(f"{detail['thumbnail_url']}?size=512")
        assert (head.status_code, head.content) == (200, b"")
        assert int(head.headers["content-length"]) == len(answers[0].content)


def test_they_go_with_their_image(service: Service) -> None:
    with service.client(ALICE) as client:
        detail = create(client)
        for size, accept in ((128, "*/*"), (256, "image/jpeg")):
            answer = client.get(detail["thumbnail_url"], params={"size": size}, headers={"Accept": accept})
            assert answer.status_code == 200
        assert len(derived(service, detail["guid"])) == 2
        assert client.delete(f"/image/{detail['guid']}").status_code == 204
        assert derived(service, detail["guid"]) == []
        assert client.get(detail["thumbnail_url"]).status_code == 404


def test_the_placeholder_comes_by_itself(service: Service) -> None:
    with service.client() as client:
        detail = create(client)
        deadline = Deadline("the image had a placeholder")
        while (found := client.get(f"/image/{detail['guid']}").json())["placeholder"] is None:
            deadline.wait()
        assert found["placeholder"].startswith("data:image/webp;base64,")
        assert len(found["placeholder"]) < 500
        assert found == detail | {"placeholder": found["placeholder"]}
        assert derived(service, detail["guid"]) == []
